//! The table, and the exit code that follows from it.
use super::{
    installation,
    item::{Item, State},
    machine, separation,
};
use crate::{
    cli::{CliError, Ctl, Exit, Ui, escape},
    config::{Paths, Settings},
    daemon::Route,
};
use serde::Serialize;
use std::fmt::Write;

/// Look at the installation: programs, machine, directories, manifest, daemon.
///
/// Changes nothing. Exits 1 if something that agentd needs does not work.
#[derive(clap::Args, Debug)]
pub struct Args {}

#[derive(Serialize)]
struct Seen {
    schema_version: u32,
    items: Vec<Item>,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

pub async fn run(_args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let (mut items, settings) = installation::look(ctl).await;
    let mut settings = settings.map_or_else(Settings::default, |settings| Settings::clone(&settings));
    settings.daemon.socket = Some(ctl.client.socket().to_owned());
    let paths = Paths::new(&settings);
    items.extend(machine::look(&paths.state_dir, &paths.runtime_dir));
    items.push(separation::look(ctl, &settings).await);
    let seen = Seen { schema_version: 1, items };
    ctl.output.print(&ctl.ui, &seen, |_| table(&ctl.ui, &seen.items))?;
    let worst = seen.items.iter().map(|item| item.state).max();
    Ok(if worst == Some(State::Fail) { Exit::Negative } else { Exit::Ok })
}

fn table(ui: &Ui, items: &[Item]) -> String {
    let width = items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for item in items {
        let (word, style) = match item.state {
            State::Ok => ("ok  ", "32"),
            State::Warn => ("warn", "33"),
            State::Fail => ("FAIL", "1;31"),
        };
        let _ = writeln!(text, "{}  {:width$}  {}", ui.paint(style, word), item.name, escape(&item.detail));
        if let Some(hint) = &item.hint {
            let _ = writeln!(text, "      {:width$}  {}", "", ui.paint("36", &escape(hint)));
        }
    }
    let count = |state| items.iter().filter(|item| item.state == state).count();
    let (warn, fail) = (count(State::Warn), count(State::Fail));
    let _ = match (fail, warn) {
        (0, 0) => writeln!(text, "\nAll is well."),
        (0, _) => writeln!(text, "\nIt works; {warn} to look at."),
        _ => writeln!(text, "\n{fail} to mend, {warn} to look at."),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ColorChoice;

    #[test]
    fn what_fails_is_counted_and_shown_with_its_hint() {
        let ui = Ui::new(ColorChoice::Never, false);
        let items = [
            Item::ok("kernel", "fine"),
            Item::fail("disk space", "12 MiB \x1b[2J free", "free some"),
            Item::warn("daemon", "none", "start it"),
        ];
        assert_eq!(
            table(&ui, &items),
            "ok    kernel      fine\nFAIL  disk space  12 MiB \\u{1b}[2J free\n                  free some\n\
             warn  daemon      none\n                  start it\n\n1 to mend, 1 to look at.\n"
        );
    }
}
