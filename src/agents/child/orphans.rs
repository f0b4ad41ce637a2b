//! Makes the daemon the one to whom orphans fall, and reaps them without robbing anyone who waits for a child.
use crate::agents::procfs;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use std::{
    collections::HashSet,
    io,
    sync::{Mutex, PoisonError},
};

/// Descendants that lose their parent become children of this process instead of init's: they stay in our tree.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Reaps zombies that nobody waits for, and says how many. A zombie that is not in `known` (the pids of living main
/// processes) is left alone the first time it is seen: whoever spawned it (a probe, a command) reaps it meanwhile.
/// Call it every few seconds.
pub fn reap_orphans<S: std::hash::BuildHasher>(known: &HashSet<i32, S>) -> usize {
    let me = procfs::own_pid();
    let zombies: HashSet<(i32, u64)> = procfs::pids()
        .filter_map(procfs::read)
        .filter(|process| process.ppid == me && process.is_dead() && !known.contains(&process.pid))
        .map(|process| (process.pid, process.start))
        .collect();
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = seen.replace(zombies.clone()).unwrap_or_default();
    drop(seen);
    zombies.intersection(&before).filter(|(pid, _)| reap(*pid)).count()
}

/// Zombies at the last call.
static SEEN: Mutex<Option<HashSet<(i32, u64)>>> = Mutex::new(None);

fn reap(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(Some(_)))
}
