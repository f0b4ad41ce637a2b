//! quickstart interrupted: whatever the moment, nothing runs on and no directory is left.
use crate::support::{agentctl_bin, ends};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};
use tempfile::TempDir;

struct Tour {
    scratch: TempDir,
    child: Child,
    said: Receiver<String>,
}

impl Tour {
    fn begin() -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(agentctl_bin());
        command.args(["quickstart", "--template", "minimal"]).env("TMPDIR", scratch.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("agentctl runs");
        let said = lines(child.stderr.take().expect("piped"));
        Self { scratch, child, said }
    }

    /// Until it says a line that holds these words.
    #[track_caller]
    fn says(&self, words: &str) {
        let mut heard = Vec::new();
        while let Ok(line) = self.said.recv_timeout(Duration::from_secs(30)) {
            if line.contains(words) {
                return;
            }
            heard.push(line);
        }
        panic!("never said {words:?}, but {heard:?}");
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("signalled");
    }

    /// Processes that run a program of the tour's directory.
    fn processes(&self, program: &str) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |pid: &i32| {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            exe.starts_with(self.scratch.path()) && exe.to_string_lossy().contains(program)
        };
        pids.filter(ours).filter_map(Pid::from_raw).collect()
    }

    #[track_caller]
    fn ended_without_a_trace(&mut self) {
        assert!(ends(&self.child), "it goes on");
        let status = self.child.wait().expect("reaped");
        let left = self.processes("");
        let files: Vec<_> = fs::read_dir(self.scratch.path()).expect("a directory").flatten().collect();
        let rest: Vec<String> = self.said.try_iter().collect();
        assert!(left.is_empty() && files.is_empty(), "{left:?} {files:?} {rest:?}");
        assert_eq!(status.code(), Some(130), "{rest:?}");
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.processes("") {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn an_interrupt_at_any_stage_leaves_nothing() {
    for stage in ["Starting agentd", "agents are ready", "$ agentctl validate"] {
        let mut tour = Tour::begin();
        tour.says(stage);
        tour.interrupt();
        tour.ended_without_a_trace();
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_a_daemon_that_hangs() {
    let mut tour = Tour::begin();
    tour.says("agents are ready");
    let daemons = tour.processes("bin/agentd");
    let [daemon] = daemons[..] else { panic!("{daemons:?}") };
    kill_process(daemon, Signal::STOP).expect("signalled");
    tour.interrupt();
    tour.says("Stopping the daemon");
    assert!(Path::new(&format!("/proc/{}", daemon.as_raw_nonzero())).exists(), "it was stopped, not killed");
    tour.interrupt();
    tour.ended_without_a_trace();
}
