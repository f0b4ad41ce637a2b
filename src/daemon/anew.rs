//! This very program, in this very process, from its beginning: every handle, thread and lock of its former life is gone,
//! and whoever watches it sees the same process.
use crate::domain::Fault;
use std::{
    env, fs, io, os::unix::fs::MetadataExt, os::unix::process::CommandExt, path::PathBuf, process::Command,
};

/// Where the kernel keeps what runs, even if another file bears its name by now.
const RUNS: &str = "/proc/self/exe";

/// With the arguments, the environment and the streams that it has. Returns where that cannot be done: then it ends.
pub fn start_anew() -> Fault {
    let error = this_program().map_or_else(|error| error, |mut command| command.exec());
    Fault::internal(format!("cannot start anew: {error}"))
        .hint("start agentd again: it goes on where it was; `agentctl operation list` shows with what")
}

/// Of the same file: one that was put in its place since must not go on with what this one began.
pub fn this_program() -> io::Result<Command> {
    let named = env::current_exe()?;
    let same = |path: &PathBuf| {
        let (named, runs) = (fs::metadata(path).ok()?, fs::metadata(RUNS).ok()?);
        Some((named.dev(), named.ino()) == (runs.dev(), runs.ino()))
    };
    let program = if same(&named) == Some(true) { named } else { RUNS.into() };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    Ok(command)
}
