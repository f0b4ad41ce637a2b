//! `agentctl help`: of a command, as clap would, and of topics that belong to no command.
use super::Cli;
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
    domain::Fault,
};
use clap::CommandFactory;
use std::fmt::Write;

/// A topic that is not a command: its name, what it is about, and its text.
type Topic = (&'static str, &'static str, fn() -> String);

const TOPICS: &[Topic] = &[("exit-codes", "what each exit code means", exit_codes)];

/// Show help for a command or a topic.
///
/// The only topic is exit-codes: what each exit code means.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A command (`agent list`) or a topic (`exit-codes`)
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let text = match args.words.as_slice() {
        [word] if topic(word).is_some() => topic(word).map(|(.., text)| text()).unwrap_or_default(),
        words => command_help(words, ctl.ui.color)?,
    };
    ctl.ui.data(&text)?;
    Ok(Exit::Ok)
}

fn topic(word: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|(name, ..)| *name == word)
}

fn exit_codes() -> String {
    let mut text = String::new();
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(text, "{:>3}  {meaning}", *exit as u8);
    }
    text
}

fn command_help(words: &[String], color: bool) -> Result<String, Fault> {
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for word in words {
        let known = command.find_subcommand(word).is_some();
        if !known {
            let topics: Vec<_> = TOPICS.iter().map(|(name, ..)| *name).collect();
            return Err(Fault::usage(format!(
                "cannot help with `{}`: neither a command nor a topic ({})",
                word.escape_debug(),
                topics.join(", ")
            ))
            .hint("`agentctl help` lists the commands"));
        }
        command = command.find_subcommand_mut(word).ok_or_else(|| Fault::internal("cannot find it twice"))?;
    }
    let help = if words.is_empty() { command.render_help() } else { command.render_long_help() };
    let mut text = if color { help.ansi().to_string() } else { help.to_string() };
    if words.is_empty() {
        text.push_str("\nTopics (agentctl help TOPIC):\n");
        for (name, about, _) in TOPICS {
            let _ = writeln!(text, "  {name}  {about}");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_explained_once() {
        let text = exit_codes();
        assert_eq!(text.lines().count(), Exit::ALL.len());
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 70, 130] {
            let lines = text.lines().filter(|line| line.trim_start().starts_with(&format!("{code}  ")));
            assert_eq!(lines.count(), 1, "{code} in {text}");
        }
    }

    #[test]
    fn help_of_a_command_is_its_own_and_of_nonsense_a_refusal() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(command_help(&words("version"), false).expect("known").contains("Usage: agentctl version"));
        assert!(command_help(&[], false).expect("the root").contains("exit-codes"));
        assert!(command_help(&words("version nonsense"), false).is_err());
        assert!(command_help(&words("nonsense"), false).is_err());
    }
}
