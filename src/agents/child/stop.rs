//! Ends an instance until nothing of it is left: whoever is in its process group, descends from it, carries its
//! marker or sits in its cgroup. TERM, look, TERM again, KILL; and the answer is what a last look found.
use super::process::Child;
use crate::{
    agents::{
        cgroup::Cgroup,
        procfs::{self, Process, Table},
    },
    domain::InstanceId,
};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::{collections::HashSet, path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep};

/// What a stop took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Rounds of TERM.
    pub terms: u32,
    /// Processes that had to be killed.
    pub killed: u32,
    /// Processes still alive afterwards: 0, or the stop failed.
    pub survivors: u32,
}

/// The signs by which processes are known to be of one instance.
#[derive(Clone, Debug)]
pub struct Group {
    pub fleet_id: String,
    pub instance: InstanceId,
    /// pid and start time of the main process, whose pid is also the process group.
    pub leader: Option<(i32, u64)>,
    pub cgroup: Option<Cgroup>,
    /// The FIFOs of its output: who was born of it usually still has them, whatever else it has shed.
    pub fifos: Vec<PathBuf>,
    /// A uid that only this agent has; of its replicas, the first answers for what nothing else tells apart.
    pub uid: Option<u32>,
}

impl Group {
    /// Every living process of the instance.
    pub fn members(&self, table: &Table) -> Vec<Process> {
        let instance = self.instance.to_string();
        let fifos: Vec<(u64, u64)> = if table.traces().is_empty() {
            Vec::new()
        } else {
            self.fifos.iter().filter_map(|path| procfs::fifo_id(path)).collect()
        };
        let confined: HashSet<i32> =
            self.cgroup.as_ref().map(Cgroup::members).unwrap_or_default().into_iter().collect();
        // A pid that is a process group cannot be given away, but an empty group's can: then a stranger leads it.
        let group = self.leader.filter(|(pid, start)| {
            !table.processes.iter().any(|process| process.pid == *pid && process.start != *start)
        });
        let ours = |process: &&Process| {
            group.is_some_and(|(pid, _)| process.pid == pid || process.pgid == pid)
                || confined.contains(&process.pid)
                || table.is_marked(process.pid, &self.fleet_id, &instance)
                || table.traces().get(&process.pid).is_some_and(|trace| {
                    self.uid == Some(trace.uid) || trace.fifos.iter().any(|fifo| fifos.contains(fifo))
                })
        };
        let me = procfs::own_pid();
        // We may carry the marker of a fleet that runs us; never its instance's descendants by way of ourselves.
        let roots = table.processes.iter().filter(ours).map(|process| process.pid).filter(|pid| *pid != me);
        let mut members = table.with_descendants(roots);
        members.retain(|process| process.pid != me && !process.is_dead());
        members
    }
}

/// Ends what an instance left behind: after its main process ended by itself, or at boot after a daemon's death.
pub async fn sweep(group: &Group, timeout: Duration) -> StopReport {
    stop(group, None, timeout).await
}

/// `main` is reaped on the way.
pub(super) async fn stop(group: &Group, mut main: Option<&mut Child>, timeout: Duration) -> StopReport {
    let begun = Instant::now();
    let mut report = StopReport::default();
    let mut known = group.members(&*Table::fresh().await);
    let mut told: HashSet<(i32, u64)> = HashSet::new();
    if !known.is_empty() {
        report.terms = 1;
        let half = begun + timeout / 2;
        let end = begun + timeout;
        loop {
            // Whom the last look found and nobody has told yet.
            for process in &known {
                if told.insert((process.pid, process.start)) {
                    terminate(process);
                }
            }
            let until = if report.terms == 1 { half } else { end };
            let gone = until_gone(&known, main.as_deref_mut(), until).await;
            known = group.members(&*Table::fresh().await);
            if known.is_empty() || Instant::now() >= end {
                break;
            }
            if !gone && report.terms == 1 {
                report.terms = 2;
                told.clear();
            }
        }
        if !known.is_empty() {
            report.killed = kill_all(group, main.as_deref_mut()).await;
            known = group.members(&*Table::fresh().await);
        }
    }
    report.survivors = u32::try_from(known.len()).unwrap_or(u32::MAX);
    if let Some(main) = main
        && report.survivors == 0
    {
        main.wait().await;
    }
    report
}

/// How long killing may go on: only a process that the kernel holds (state D) takes longer.
const KILLING: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// True when all of these ended, false at `until`. Woken by the main process, else looks every few milliseconds.
async fn until_gone(known: &[Process], mut main: Option<&mut Child>, until: Instant) -> bool {
    let mut pause = Duration::from_millis(1);
    loop {
        if !known.iter().any(Process::is_alive_now) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        let nap = sleep(pause.min(until.saturating_duration_since(Instant::now())));
        match main.as_deref_mut() {
            Some(main) if main.ended().is_none() => {
                tokio::select! {
                    () = nap => {}
                    _ = main.wait() => {}
                }
            }
            _ => nap.await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Kills until a look finds nothing, or the time for it is over. Returns how many it killed.
async fn kill_all(group: &Group, mut main: Option<&mut Child>) -> u32 {
    let end = Instant::now() + KILLING;
    let mut killed: HashSet<(i32, u64)> = HashSet::new();
    while Instant::now() < end {
        let seen = tokio::task::spawn_blocking({
            let group = group.clone();
            move || kill_once(&group)
        });
        let Ok(seen) = seen.await else { break };
        killed.extend(seen.iter().map(|process| (process.pid, process.start)));
        if seen.is_empty() {
            break;
        }
        until_gone(&seen, main.as_deref_mut(), Instant::now() + Duration::from_millis(200)).await;
    }
    u32::try_from(killed.len()).unwrap_or(u32::MAX)
}

/// One pass. Something that forks faster than we read is first stopped where it stands: what is stopped forks no
/// more, and each look finds only what was born before the last stop took hold.
fn kill_once(group: &Group) -> Vec<Process> {
    let mut seen = group.members(&Table::scan());
    if group.cgroup.as_ref().is_none_or(|cgroup| !cgroup.kill()) && seen.len() > 1 {
        let mut stopped: HashSet<(i32, u64)> = HashSet::new();
        for _ in 0..50 {
            let mut news = false;
            for process in &seen {
                if stopped.insert((process.pid, process.start)) {
                    signal(process, Signal::STOP);
                    news = true;
                }
            }
            if !news {
                break;
            }
            seen = group.members(&Table::scan());
        }
    }
    for process in &seen {
        signal(process, Signal::KILL);
    }
    seen
}

/// A stopped process (state T) would hear TERM only once it is continued.
fn terminate(process: &Process) {
    signal(process, Signal::TERM);
    if matches!(process.state, b'T' | b't') {
        signal(process, Signal::CONT);
    }
}

/// To this process and no other: the pidfd holds it while the start time is compared.
fn signal(process: &Process, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
    if procfs::read(process.pid).is_some_and(|now| now.start == process.start) {
        let _ = rustix::process::pidfd_send_signal(&pidfd, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::child::fixture::{Scene, until};

    const SHORT: Duration = Duration::from_millis(600);

    /// The worst case that needs no cgroup: two forks, a session of its own, deaf to TERM, its parent gone.
    const ESCAPE: &str =
        "(setsid sh -c 'trap \"\" TERM; echo $$ > escaped; while :; do sleep 0.05; done' &) ; ";

    fn pid_in(text: &str) -> i32 {
        text.trim().parse().expect("a pid")
    }

    fn lives(pid: i32) -> bool {
        procfs::read(pid).is_some_and(|process| !process.is_dead())
    }

    #[tokio::test]
    async fn a_double_fork_in_its_own_session_that_ignores_term_does_not_survive() {
        let scene = Scene::new(&format!("{ESCAPE} exec sleep 1000"));
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        let escaped = pid_in(&scene.until("escaped").await);
        let process = procfs::read(escaped).expect("it lives");
        assert_ne!(
            (process.ppid, process.pgid),
            (child.pid, child.pid),
            "it did not escape: this shows nothing"
        );
        let report = child.stop(SHORT).await;
        assert_eq!((report.terms, report.survivors), (2, 0));
        assert!(report.killed >= 1, "{report:?}");
        assert!(!lives(escaped) && !lives(child.pid));
        assert_eq!(child.ended(), Some(super::super::Ended { code: None, signal: Some(15) }));
        assert_eq!(scene.marked(), 0);
    }

    /// No marker, no ancestor, no group, no session: its output alone tells whose it is.
    #[tokio::test]
    async fn one_that_shed_everything_but_its_output_does_not_survive() {
        crate::agents::child::become_subreaper().expect("a subreaper");
        let bare = "(env -i setsid /bin/sh -c 'trap \"\" TERM; echo $$ > escaped; while :; do sleep 0.05; done' &) ; ";
        let scene = Scene::new(&format!("{bare} exec sleep 1000"));
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        let escaped = pid_in(&scene.until("escaped").await);
        until(|| procfs::read(escaped).is_some_and(|process| process.ppid != child.pid)).await;
        assert_eq!(procfs::marker(escaped), None, "it carries a marker: this shows nothing");
        let report = child.stop(SHORT).await;
        assert_eq!(report.survivors, 0);
        assert!(!lives(escaped), "a stray survived");
    }

    /// Not even its output: that it once had a parent of ours is remembered.
    #[tokio::test]
    async fn one_that_was_seen_below_the_instance_is_known_when_its_parents_are_gone() {
        crate::agents::child::become_subreaper().expect("a subreaper");
        let bare = "env -i setsid /bin/sh -c 'exec >/dev/null 2>&1; env -i /bin/sh -c \"echo \\$\\$ > escaped; \
                    while :; do sleep 0.05; done\" & while [ ! -e go ]; do sleep 0.01; done' & ";
        let scene = Scene::new(&format!("{bare} exec sleep 1000"));
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        let escaped = pid_in(&scene.until("escaped").await);
        Table::scan();
        let parent = procfs::read(escaped).expect("it lives").ppid;
        std::fs::write(scene.dir.path().join("go"), "").expect("a file");
        until(|| procfs::read(escaped).is_some_and(|process| process.ppid != parent)).await;
        assert_eq!(procfs::marker(escaped), None, "it carries a marker: this shows nothing");
        assert_eq!(child.stop(SHORT).await.survivors, 0);
        assert!(!lives(escaped), "a stray survived");
    }

    #[tokio::test]
    async fn what_the_main_process_leaves_behind_is_swept() {
        let scene = Scene::new(&format!("{ESCAPE} while [ ! -e escaped ]; do sleep 0.01; done; exit 3"));
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        assert_eq!(child.wait().await.code, Some(3));
        let escaped = pid_in(&scene.until("escaped").await);
        assert!(lives(escaped), "it ended by itself: this shows nothing");
        let report = sweep(child.group(), SHORT).await;
        assert_eq!(report.survivors, 0);
        assert!(!lives(escaped));
        assert_eq!(sweep(child.group(), SHORT).await, StopReport::default(), "nothing left takes nothing");
    }

    #[tokio::test]
    async fn one_that_obeys_is_not_killed_and_takes_no_time() {
        let scene = Scene::new("sleep 1000 & sleep 1000");
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        until(|| scene.marked() == 3).await;
        let before = Instant::now();
        let report = child.stop(Duration::from_secs(20)).await;
        assert_eq!(report, StopReport { terms: 1, killed: 0, survivors: 0 });
        assert!(before.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_first_term_that_is_missed_is_followed_by_a_second() {
        let scene = Scene::new(
            "n=0; trap 'n=$((n+1)); echo $n > terms; [ $n -lt 2 ] || exit 0' TERM; echo > up; \
             while :; do sleep 0.02; done",
        );
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        scene.until("up").await;
        let report = child.stop(Duration::from_secs(4)).await;
        assert_eq!((report.terms, report.killed, report.survivors), (2, 0, 0));
        assert_eq!(child.ended().and_then(|ended| ended.code), Some(0));
    }

    #[tokio::test]
    async fn one_that_stands_still_is_woken_to_hear_term() {
        let scene = Scene::new("kill -STOP $$; exit 9");
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        let pid = child.pid;
        until(|| procfs::read(pid).is_some_and(|process| process.state == b'T')).await;
        let report = child.stop(Duration::from_secs(5)).await;
        assert_eq!((report.killed, report.survivors), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_fork_bomb_loses() {
        // Each generation ignores TERM and leaves its parent's session; bounded, so that a failure harms nobody.
        let bomb = "trap '' TERM; echo > lit; b() { [ $1 -gt 0 ] || return; \
                    (setsid sh -c \"trap '' TERM; sleep 0.01; sleep 30\" &); sleep 0.005; b $(($1-1)); }; \
                    while :; do b 20; done";
        let scene = Scene::new(bomb);
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        scene.until("lit").await;
        until(|| scene.marked() > 10).await;
        let report = child.stop(Duration::from_millis(200)).await;
        assert_eq!(report.survivors, 0, "{report:?}");
        assert!(report.killed > 10);
        assert_eq!(scene.marked(), 0);
    }

    #[tokio::test]
    async fn another_instance_of_the_same_fleet_is_not_touched() {
        let (one, mut two) = (Scene::new("sleep 1000"), Scene::new("sleep 1000"));
        two.spec.fleet_id.clone_from(&one.spec.fleet_id);
        two.spec.instance = "orders/1".parse().expect("an instance");
        let mut first = Child::spawn(&one.spec).expect("it starts");
        let mut second = Child::spawn(&two.spec).expect("it starts");
        assert_eq!(first.stop(SHORT).await.survivors, 0);
        assert!(lives(second.pid), "the neighbour was stopped too");
        // A recorded leader whose pid is somebody else's by now gives no right to that group.
        let stale = Group {
            leader: Some((second.pid, second.pid_start + 1)),
            fleet_id: "other".into(),
            ..first.group().clone()
        };
        assert_eq!(sweep(&stale, SHORT).await, StopReport::default());
        assert!(lives(second.pid), "a used pid was taken for the old process");
        assert_eq!(second.stop(SHORT).await.survivors, 0);
    }
}
