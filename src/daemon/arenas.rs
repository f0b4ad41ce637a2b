//! Few arenas. glibc gives each new thread one of its own and keeps in it what was once used: after a dozen validations,
//! with threads for each scratch store, the daemon held 100 MiB; with two arenas it holds 41.
use super::anew::this_program;
use std::{env, os::unix::process::CommandExt, process::id};

/// Read by glibc before `main`, and by nobody else.
pub const VARIABLE: &str = "MALLOC_ARENA_MAX";
pub const ARENAS: &str = "2";

/// Starts this program anew in this process, with few arenas, unless whoever started it has said how many. Returns where
/// that is not needed, or cannot be done: more memory is no reason not to serve.
pub fn start_with_few() {
    if !cfg!(target_env = "gnu") || env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(mut command) = this_program() else { return };
    let error = command.env(VARIABLE, ARENAS).exec();
    tracing::warn!(%error, pid = id(), "cannot start anew with few arenas of memory");
}
