//! Runs the real agentctl and keeps all it said.
use std::{
    ffi::OsStr,
    fmt,
    path::Path,
    process::{Command, Output, Stdio},
};

/// How one of our programs ended and what it said.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Itself, if it ended with this code; else the test fails with all that was said.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}) in {self}"))
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

pub fn agentctl_bin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agentctl"))
}

/// agentctl as a script would call it: no terminal, no colour, none of the caller's own AGENTD_ variables.
pub fn agentctl(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Answer {
    let mut command = Command::new(agentctl_bin());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AGENT") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null()).output().expect("agentctl runs").into()
}
