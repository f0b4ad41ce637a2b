//! stdout and stderr: data on the one, everything else on the other; colour, width, quiet, broken pipe.
use super::CliError;
pub use crate::domain::visible as escape;
use std::{
    env, io,
    io::{IsTerminal, Write},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy)]
pub struct Ui {
    pub color: bool,
    /// Colour for what goes to stderr.
    pub color_err: bool,
    pub quiet: bool,
    pub terminal: bool,
}

impl Ui {
    pub fn new(choice: ColorChoice, quiet: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            color: colored(choice, terminal),
            color_err: colored(choice, io::stderr().is_terminal()),
            quiet,
            terminal,
        }
    }

    /// Columns of the terminal on stdout; none if it is none, and then nothing is cut.
    pub fn width(&self) -> Option<usize> {
        if !self.terminal {
            return None;
        }
        crossterm::terminal::size()
            .ok()
            .map(|(columns, _)| usize::from(columns))
            .filter(|columns| *columns > 20)
    }

    /// Data, to stdout.
    pub fn data(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::BrokenPipe),
            Err(error) => Err(CliError::Protocol(format!("cannot write to stdout: {error}"))),
        }
    }

    /// What is not data, to stderr, unless --quiet. A closed stderr is not worth failing for.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// An error: shown even with --quiet. That nobody reads on is none.
    pub fn error(&self, error: &CliError) {
        if matches!(error, CliError::BrokenPipe) {
            return;
        }
        let mut err = io::stderr().lock();
        let head = if self.color_err { "\x1b[1;31merror\x1b[0m" } else { "error" };
        let _ = writeln!(err, "{head}: {}", escape(&error.to_string()));
        if let Some(hint) = error.hint() {
            let head = if self.color_err { "\x1b[1;36mhint\x1b[0m" } else { "hint" };
            let _ = writeln!(err, " {head}: {}", escape(hint));
        }
    }

    /// A headline and what it speaks of, styled already and free of control characters but its own.
    pub fn problems(&self, headline: &str, rendered: &str) {
        let head = if self.color_err { "\x1b[1;31merror\x1b[0m" } else { "error" };
        let _ = writeln!(io::stderr().lock(), "{head}: {}\n\n{rendered}", escape(headline));
    }

    /// `text` in an SGR style (`"1;31"`) if colour is on. The text must already be escaped.
    pub fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// --color beats CLICOLOR_FORCE beats NO_COLOR beats the terminal.
fn colored(choice: ColorChoice, terminal: bool) -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE") && env::var_os("CLICOLOR_FORCE") != Some("0".into()) => {
            true
        }
        ColorChoice::Auto if set("NO_COLOR") => false,
        ColorChoice::Auto => terminal && env::var_os("TERM") != Some("dumb".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_prints_cannot_drive_the_terminal() {
        let hostile = "ok\x1b]0;owned\x07\x1b[2J\u{202e}txt";
        let safe = escape(hostile);
        assert!(!safe.contains('\x1b') && !safe.contains('\x07') && !safe.contains('\u{202e}'), "{safe}");
        assert!(safe.starts_with("ok\\u{1b}]0;owned"), "{safe}");
        assert_eq!(escape("naïve\tline\n"), "naïve\tline\n");
    }
}
