//! Completion for the shell: flags and commands from the command tree, names from the daemon.
use super::Cli;
use crate::{
    cli::{CliError, Ctl, Exit, names},
    config::{Sources, load},
    daemon::{Route, kinds},
    domain::Fault,
    readiness::Readiness,
};
use clap::CommandFactory;
use clap_complete::{
    CompletionCandidate,
    engine::ArgValueCandidates,
    env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh},
};

/// The variable that makes agentctl answer a shell instead of running.
const VARIABLE: &str = "AGENTCTL_COMPLETE";

/// Asks for names, and gives none rather than wait.
type Source = fn() -> Vec<String>;

/// What completes an argument, by the name its value has in the usage line.
const NAMES: &[(&str, Source)] = &[
    ("AGENT", agents),
    ("AGENTS", agents),
    ("AGENT[/N]", agents),
    ("INSTANCE", agents),
    ("ID", checks),
    ("ID|CATEGORY", checks),
    ("CHECK", checks),
    ("AGENT|CHECK", agents_and_checks),
    ("WAIVER", waivers),
    ("RUN", runs),
    ("A", runs),
    ("B", runs),
];

/// Print the script that makes a shell complete agentctl.
///
/// Add one of these to the shell's start file:
///
///   bash:  source <(agentctl completion bash)
///   zsh:   source <(agentctl completion zsh)
///   fish:  agentctl completion fish | source
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    ctl.ui.data(&script(args.shell)?)?;
    Ok(Exit::Ok)
}

/// Answers a shell that asks for candidates, and ends the process; returns at once otherwise. To be called before
/// anything else, since it must find stdout unused.
pub fn answer_the_shell() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(|| with_names(Cli::command())).var(VARIABLE).complete();
    }
}

/// What the shell is told once; it then asks the `agentctl` in its PATH each time.
pub fn script(shell: Shell) -> Result<String, Fault> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "agentctl", "agentctl", "agentctl", &mut script)
        .map_err(|error| Fault::internal(format!("cannot write the completion script: {error}")))?;
    let script = String::from_utf8_lossy(&script);
    Ok(format!("{}\n", script.trim()))
}

/// The command tree with a source of names on every argument that takes some.
fn with_names(command: clap::Command) -> clap::Command {
    command.mut_subcommands(with_names).mut_args(|arg| {
        let value = arg
            .get_value_names()
            .and_then(<[_]>::first)
            .map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string);
        match NAMES.iter().find(|(name, _)| *name == value) {
            Some((_, source)) => arg.add(ArgValueCandidates::new(|| candidates(*source))),
            None => arg,
        }
    })
}

fn candidates(source: Source) -> Vec<CompletionCandidate> {
    source().into_iter().map(CompletionCandidate::new).collect()
}

fn agents() -> Vec<String> {
    names("agents/list?", "agents", "name")
}

fn checks() -> Vec<String> {
    let manifest = load(&Sources::from_process(None, None), &kinds());
    let declared = manifest.map_or_else(|_| Vec::new(), |loaded| loaded.settings.checks.clone());
    Readiness::checks_with(&declared).into_iter().map(|check| check.id).collect()
}

fn agents_and_checks() -> Vec<String> {
    [agents(), checks()].concat()
}

fn runs() -> Vec<String> {
    names("readiness/list?limit=50", "runs", "run")
}

fn waivers() -> Vec<String> {
    names("waivers/list?", "waivers", "id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shells_script_asks_agentctl() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell).expect("a script");
            assert!(script.contains(VARIABLE) && script.contains("agentctl"), "{script}");
        }
    }

    #[test]
    fn the_tree_with_names_is_sound() {
        with_names(Cli::command()).debug_assert();
    }
}
