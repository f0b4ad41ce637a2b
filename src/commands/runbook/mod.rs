//! The runbook: what somebody needs to know at night, put together from what the daemon knows now and what the manifest
//! declares. Nothing in it is written down twice. Both ends.
mod agent;
mod book;
mod check;
mod declared;
mod fleet;
mod forms;
mod look;
mod offline;
mod serve;

pub use serve::routes;

use crate::cli::{CliError, Ctl, Exit, Output};
use serve::{Request, Show};
use std::path::{Path, PathBuf};

/// What to know and to type at night: of the fleet, of one agent, or of one check.
///
/// It is made of facts: where things are, what runs, how to go back with the exact commands, who answers for what, what
/// is wrong now. Without a daemon it is made from the manifest alone, and says what cannot be known then.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// An agent, or the id of a check such as DB-001 [default: the fleet]
    #[arg(value_name = "AGENT|CHECK")]
    about: Option<String>,
    /// The manifest to go by when no daemon answers [default: $AGENTD_CONFIG, ./agentd.toml, then the user's or the machine's]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// What agentd was started with, if no daemon answers
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Args {
    /// Markdown is a form of it, as of reports.
    pub fn shows(output: Output) -> bool {
        output == Output::Markdown
    }
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let Args { about, config, state_dir } = args;
    let mut book = match ctl.client.call::<Show>(&Request { about: about.clone() }).await {
        Ok(book) => book,
        Err(CliError::Unreachable { path, why }) => {
            ctl.ui.note(&format!("agentd cannot be reached at {}: {why}", path.display()));
            let socket = ctl.socket_named.then(|| absolute(&path));
            let state_dir = state_dir.as_deref().map(absolute);
            offline::book(about.as_deref(), offline::Given { config, state_dir, socket })?
        }
        Err(other) => return Err(other),
    };
    if ctl.socket_named {
        // To be typed as it stands, also by who has not named the socket in the environment.
        book.aim(&format!("agentctl --socket {}", quoted(&absolute(ctl.client.socket()))));
    }
    match ctl.output {
        Output::Markdown => ctl.ui.data(&forms::markdown(&book))?,
        Output::Name => ctl.ui.data(&format!("{}\n", book.about))?,
        output => output.print(&ctl.ui, &book, |_| forms::text(&book, &ctl.ui))?,
    }
    Ok(Exit::Ok)
}

/// Who reads it may stand elsewhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// As a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("/run/agentd/agentd.sock")), "/run/agentd/agentd.sock");
        assert_eq!(quoted(Path::new("/a b/$(x)'s")), "'/a b/$(x)'\\''s'");
    }
}
