//! Makes the daemon the one to whom orphans fall, and reaps them without robbing anyone who waits for a child.
use crate::agents::{
    procfs::{self, Process, Table},
    users,
};
use rustix::process::{Pid, WaitId, WaitIdOptions};
use std::{
    collections::HashSet,
    fs, io,
    path::Path,
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

/// Says once of each stray that it is there: a living child of ours that we did not start, and that nothing tells whose
/// it is. Those that something tells of end with their instance. `fifos` is where the instances' FIFOs are.
pub fn report_strays<S: std::hash::BuildHasher>(table: &Table, known: &HashSet<i32, S>, fifos: &Path) {
    let found = strays(table, known, fifos);
    let now: HashSet<(i32, u64)> = found.iter().map(|process| (process.pid, process.start)).collect();
    let before = REPORTED.lock().unwrap_or_else(PoisonError::into_inner).replace(now).unwrap_or_default();
    for stray in found.iter().filter(|stray| !before.contains(&(stray.pid, stray.start))) {
        let command = procfs::command(stray.pid);
        let command = command.escape_debug();
        tracing::warn!(pid = stray.pid, %command, "a process that nobody answers for has fallen to agentd");
    }
}

/// What we start ourselves keeps our session; who has another was born of a child of ours.
fn strays<S: std::hash::BuildHasher>(table: &Table, known: &HashSet<i32, S>, fifos: &Path) -> Vec<Process> {
    let me = procfs::own_pid();
    let Some(session) = procfs::read(me).map(|process| process.sid) else { return Vec::new() };
    let suspect = |process: &&Process| {
        process.ppid == me
            && process.sid != session
            && !known.contains(&process.pid)
            && table.traces().contains_key(&process.pid)
    };
    let suspects: Vec<Process> = table.processes.iter().filter(suspect).copied().collect();
    if suspects.is_empty() {
        return suspects;
    }
    let entries = fs::read_dir(fifos).into_iter().flatten().flatten();
    let ours: HashSet<(u64, u64)> = entries.filter_map(|entry| procfs::fifo_id(&entry.path())).collect();
    let told = |process: &Process| {
        table.traces().get(&process.pid).is_some_and(|trace| {
            users::RANGE.contains(&trace.uid) || trace.fifos.iter().any(|fifo| ours.contains(fifo))
        })
    };
    suspects.into_iter().filter(|process| !told(process)).collect()
}

/// Strays at the last call.
static REPORTED: Mutex<Option<HashSet<(i32, u64)>>> = Mutex::new(None);

/// Zombies at the last call.
static SEEN: Mutex<Option<HashSet<(i32, u64)>>> = Mutex::new(None);

fn reap(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::child::{
        Child,
        fixture::{Scene, until},
    };

    #[tokio::test]
    async fn a_stray_is_one_without_any_sign_and_one_with_its_output_is_not() {
        become_subreaper().expect("a subreaper");
        let loose = |file: &str, quiet: &str| {
            format!("(env -i setsid /bin/sh -c '{quiet} echo $$ > {file}; exec sleep 1000' &) ; ")
        };
        let (mute, loud) = (loose("mute", "exec >/dev/null 2>&1 ;"), loose("loud", ""));
        let scene = Scene::new(&format!("{mute} {loud} while :; do sleep 0.05; done"));
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        let pid = |text: String| text.trim().parse::<i32>().expect("a pid");
        let (mute, loud) = (pid(scene.until("mute").await), pid(scene.until("loud").await));
        let me = procfs::own_pid();
        let ours = |pid| procfs::read(pid).is_some_and(|process| process.ppid == me);
        until(|| ours(mute) && ours(loud)).await;
        let known = HashSet::from([child.pid]);
        let found: Vec<i32> =
            strays(&Table::scan(), &known, scene.dir.path()).iter().map(|process| process.pid).collect();
        // It may have been seen below its parent on the way, and is then no stray but the instance's.
        let remembered = Table::scan().any_marker(mute).is_some();
        assert_eq!(found.contains(&mute), !remembered);
        assert!(!found.contains(&loud) && !found.contains(&child.pid), "{found:?}");
        child.stop(std::time::Duration::from_secs(2)).await;
        if let Some(pid) = Pid::from_raw(mute) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let known = HashSet::new();
        until(|| {
            reap_orphans::<std::hash::RandomState>(&known);
            procfs::read(mute).is_none()
        })
        .await;
    }
}
