//! Core dumps off: what the daemon resolves for its agents passes through its memory.
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// For good. Agents inherit the limit, which theirs is anyway; `exec` makes a child dumpable again. A machine that
/// refuses is told in the log and by validation, and does not keep the daemon from running.
pub fn forbid() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "cannot forbid core files");
    }
    // A core pattern that is a pipe takes no notice of the limit.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "cannot keep other processes from reading the daemon's memory");
    }
}
