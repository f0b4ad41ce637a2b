//! Files that follow from the command tree and from the facts behind it: completions and man pages. Kept in the repository, and a test compares.
use super::{
    Cli,
    completion::{Shell, script},
    manual,
};
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
    domain::Fault,
};
use clap::CommandFactory;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Write the completions and man pages that ship with agentctl.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the pages of agentctl and its commands go
    #[arg(long, value_name = "DIR")]
    man: PathBuf,
    /// Where the completions go
    #[arg(long, value_name = "DIR")]
    completions: PathBuf,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let mut written = 0;
    for (shell, file) in
        [(Shell::Bash, "agentctl.bash"), (Shell::Zsh, "_agentctl"), (Shell::Fish, "agentctl.fish")]
    {
        put(&args.completions, file, script(shell)?.as_bytes())?;
        written += 1;
    }
    let mut root = Cli::command();
    root.build();
    written += pages(&args.man, &root)?;
    for (file, text) in manual::pages() {
        put(&args.man, file, text.as_bytes())?;
        written += 1;
    }
    ctl.ui.note(&format!("wrote {written} files"));
    Ok(Exit::Ok)
}

/// A page for this command and for each that is not hidden below it; how many.
fn pages(directory: &Path, command: &clap::Command) -> Result<u32, Fault> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .manual("agentctl manual")
        .render(&mut text)
        .map_err(|error| Fault::internal(format!("cannot write the page of {name}: {error}")))?;
    text.extend_from_slice(exit_status().as_bytes());
    put(directory, &format!("{name}.1"), &text)?;
    let mut written = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        written += pages(directory, inner)?;
    }
    Ok(written)
}

/// The codes are the same for every command.
pub(super) fn exit_status() -> String {
    let mut text = String::from(".SH \"EXIT STATUS\"\n");
    for (exit, meaning) in Exit::ALL {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{meaning}\n", *exit as u8);
    }
    text
}

fn put(directory: &Path, file: &str, text: &[u8]) -> Result<(), Fault> {
    let path = directory.join(file);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| Fault::usage(format!("cannot write {}: {error}", path.display())))
}
