//! What /proc tells of processes: one pass over the table, the marker each agent carries, who a process is.
//! A process is named by pid and start time together, because a pid alone is used again.
use crate::domain::InstanceId;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::OnceCell;

/// The variable that names the fleet in the environment of every process that agentd starts.
pub const FLEET_VARIABLE: &str = "AGENTD_FLEET";
/// The variable that names the instance beside it.
pub const INSTANCE_VARIABLE: &str = "AGENTD_INSTANCE";

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: i32,
    pub ppid: i32,
    pub pgid: i32,
    /// Its session.
    pub sid: i32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot.
    pub start: u64,
    pub state: u8,
}

impl Process {
    /// Ended, and only waits to be reaped.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Still the same process, and running.
    pub fn is_alive_now(&self) -> bool {
        read(self.pid).is_some_and(|now| now.start == self.start && !now.is_dead())
    }
}

/// A process that carries our marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    pub pid: i32,
    pub pid_start: u64,
    pub pgid: i32,
    pub instance: InstanceId,
}

/// The marker as it stands in an environment; untrusted until compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub fleet: String,
    pub instance: String,
}

/// The process table at one moment, with the markers of whom we may read.
#[derive(Debug, Default)]
pub struct Table {
    pub processes: Vec<Process>,
    markers: HashMap<i32, Marker>,
    /// Of those without a marker of their own: that of an ancestor, who may be gone by now.
    inherited: HashMap<i32, Marker>,
    /// Of those without any marker whose parent is gone: what is left to tell them by.
    traces: HashMap<i32, Trace>,
}

/// What tells of a process that has shed its environment and its ancestors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub uid: u32,
    /// Device and inode of the FIFOs that it has as stdin, stdout or stderr.
    pub fifos: Vec<(u64, u64)>,
}

impl Table {
    /// One pass over /proc: about ten microseconds a process.
    pub fn scan() -> Self {
        let mut table = Self::default();
        let mut buffer = Vec::new();
        for pid in pids() {
            let Some(process) = read(pid) else { continue };
            // Children of kthreadd (2) are the kernel's own and have no environment.
            if process.ppid != 2
                && !process.is_dead()
                && let Some(marker) = marker_with(pid, &mut buffer)
            {
                table.markers.insert(pid, marker);
            }
            table.processes.push(process);
        }
        table.look_up_lineage();
        let me = own_pid();
        for process in &table.processes {
            let alone = (process.ppid == me || process.ppid == 1) && !process.is_dead();
            if alone && table.any_marker(process.pid).is_none() {
                table.traces.insert(process.pid, trace(process.pid));
            }
        }
        table
    }

    /// Whoever has no marker has that of the nearest ancestor with one: remembered from pass to pass, because a process
    /// that forks twice loses its ancestors, and may have shed its own environment before.
    fn look_up_lineage(&mut self) {
        let me = own_pid();
        let parents: HashMap<i32, &Process> =
            self.processes.iter().map(|process| (process.pid, process)).collect();
        let mut known = LINEAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still = BTreeMap::new();
        for process in &self.processes {
            if process.ppid == 2 || process.is_dead() || self.markers.contains_key(&process.pid) {
                continue;
            }
            let key = (process.pid, process.start);
            let mut marker = known.get(&key);
            let mut above = process.ppid;
            for _ in 0..DEEPEST_DESCENT {
                if marker.is_some() || above == me || above <= 1 {
                    break;
                }
                let Some(parent) = parents.get(&above) else { break };
                marker = self.markers.get(&above).or_else(|| known.get(&(above, parent.start)));
                above = parent.ppid;
            }
            if let Some(marker) = marker {
                self.inherited.insert(process.pid, marker.clone());
                still.insert(key, marker.clone());
            }
        }
        *known = still;
    }

    /// Its own marker, or that of an ancestor that it had.
    pub fn any_marker(&self, pid: i32) -> Option<&Marker> {
        self.markers.get(&pid).or_else(|| self.inherited.get(&pid))
    }

    /// Processes that nobody's marker accounts for and whose parent is gone, with what tells of them.
    pub fn traces(&self) -> &HashMap<i32, Trace> {
        &self.traces
    }

    /// A table whose pass began after this call. Callers that ask within two milliseconds share one, so that
    /// stopping a whole fleet does not read /proc once an agent.
    pub async fn fresh() -> Arc<Self> {
        let batch = Batch::join();
        let pass = batch.table.get_or_init(|| async {
            tokio::time::sleep(GATHER).await;
            Batch::close();
            // A failed join means the runtime is going down; scan here then.
            let scanned = tokio::task::spawn_blocking(Self::scan).await;
            Arc::new(scanned.unwrap_or_else(|_| Self::scan()))
        });
        pass.await.clone()
    }

    pub fn marker(&self, pid: i32) -> Option<&Marker> {
        self.markers.get(&pid)
    }

    /// Is this process marked as of this instance, or descends from one that was?
    pub fn is_marked(&self, pid: i32, fleet: &str, instance: &str) -> bool {
        self.any_marker(pid).is_some_and(|marker| marker.fleet == fleet && marker.instance == instance)
    }

    /// `roots` and everything below them, each once.
    pub fn with_descendants(&self, roots: impl IntoIterator<Item = i32>) -> Vec<Process> {
        let mut wanted: std::collections::HashSet<i32> = roots.into_iter().collect();
        // A child usually follows its parent in pid order, so that two or three passes settle it.
        loop {
            let before = wanted.len();
            for process in &self.processes {
                if wanted.contains(&process.ppid) {
                    wanted.insert(process.pid);
                }
            }
            if wanted.len() == before {
                break;
            }
        }
        self.processes.iter().filter(|process| wanted.contains(&process.pid)).copied().collect()
    }
}

/// Every living process that carries the marker of this fleet.
pub fn marked(fleet_id: &str) -> Vec<Marked> {
    let table = Table::scan();
    let ours = |process: &Process| {
        let marker = table.marker(process.pid).filter(|marker| marker.fleet == fleet_id)?;
        let instance = marker.instance.parse().ok()?;
        Some(Marked { pid: process.pid, pid_start: process.start, pgid: process.pgid, instance })
    };
    let me = own_pid();
    table.processes.iter().filter(|process| process.pid != me).filter_map(ours).collect()
}

/// One process as it is now.
pub fn read(pid: i32) -> Option<Process> {
    let mut buffer = [0_u8; 512];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    parse_stat(&buffer[..length])
}

/// Its command line, spaces between the arguments, cut to 200 characters. Untrusted text.
pub fn command(pid: i32) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/cmdline")) {
        let _ = file.take(1024).read_to_end(&mut bytes);
    }
    if bytes.is_empty() {
        bytes = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().chars().take(200).collect()
}

/// The marker in the environment that the process was started with.
pub fn marker(pid: i32) -> Option<Marker> {
    marker_with(pid, &mut Vec::new())
}

/// Names this boot of the machine: start times count from it.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Every pid there is.
pub fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
}

/// Markers of those who have none themselves and had an ancestor with one, at the last pass.
static LINEAGE: Mutex<BTreeMap<(i32, u64), Marker>> = Mutex::new(BTreeMap::new());
/// No sane tree is deeper; in a deeper one the lower end is looked up in a later pass.
const DEEPEST_DESCENT: u32 = 64;

/// How long the first to ask for a table waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// No sane environment is longer; a longer one is read so far.
const ENVIRONMENT_LIMIT: u64 = 1 << 20;

/// Those who wait for the same pass.
struct Batch {
    table: OnceCell<Arc<Table>>,
}

/// The batch that has not begun its pass, while somebody waits in it.
static OPEN: Mutex<Weak<Batch>> = Mutex::new(Weak::new());

impl Batch {
    fn join() -> Arc<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.upgrade().unwrap_or_else(|| {
            let batch = Arc::new(Self { table: OnceCell::new() });
            *open = Arc::downgrade(&batch);
            batch
        })
    }

    /// From here on a newcomer needs a later pass.
    fn close() {
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
    }
}

/// `pid (comm) state ppid pgrp …`: comm may hold spaces and brackets, so the fields count from the last `)`.
fn parse_stat(bytes: &[u8]) -> Option<Process> {
    let open = bytes.iter().position(|byte| *byte == b'(')?;
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(&bytes[..open]).ok()?.trim().parse().ok()?;
    let mut fields = std::str::from_utf8(bytes.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgid = fields.next()?.parse().ok()?;
    let sid = fields.next()?.parse().ok()?;
    // The session was field 6; the start time is field 22.
    let start = fields.nth(15)?.parse().ok()?;
    Some(Process { pid, ppid, pgid, sid, start, state })
}

fn marker_with(pid: i32, buffer: &mut Vec<u8>) -> Option<Marker> {
    buffer.clear();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT_LIMIT).read_to_end(buffer).ok()?;
    parse_marker(buffer)
}

fn trace(pid: i32) -> Trace {
    let uid = fs::metadata(format!("/proc/{pid}")).map_or(0, |process| process.uid());
    let fifos = (0..3).filter_map(|descriptor| fifo_id(Path::new(&format!("/proc/{pid}/fd/{descriptor}"))));
    Trace { uid, fifos: fifos.collect() }
}

/// Device and inode of a FIFO: by these, not by its name, two descriptors are known to be of the same.
pub fn fifo_id(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    file.file_type().is_fifo().then(|| (file.dev(), file.ino()))
}

fn parse_marker(environ: &[u8]) -> Option<Marker> {
    let value = |name: &str| {
        environ.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            String::from_utf8(value.to_vec()).ok()
        })
    };
    Some(Marker { fleet: value(FLEET_VARIABLE)?, instance: value(INSTANCE_VARIABLE)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_name_cannot_forge_the_other_fields() {
        let line = b"42 (a) S 1 1 (b ) c) R 7 8 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 12345 0 0";
        let process = parse_stat(line).expect("a stat line");
        assert_eq!((process.pid, process.ppid, process.pgid, process.start), (42, 7, 8, 12345));
        assert_eq!(process.state, b'R');
        assert_eq!(parse_stat(b"42 (cut off) S 1"), None);
    }

    #[test]
    fn this_process_is_in_the_table_with_its_parent_above_it() {
        let me = read(own_pid()).expect("ourselves");
        assert!(me.is_alive_now());
        let table = Table::scan();
        assert!(table.with_descendants([me.ppid]).iter().any(|process| process.pid == me.pid));
        assert!(
            !Process { start: me.start + 1, ..me }.is_alive_now(),
            "another start time is another process"
        );
        assert!(!boot_id().is_empty());
    }

    #[test]
    fn a_marker_needs_both_variables_whole() {
        let marker = |text: &[u8]| parse_marker(text);
        assert_eq!(marker(b"PATH=/bin\0AGENTD_FLEET=f\0"), None);
        assert_eq!(marker(b"XAGENTD_FLEET=f\0AGENTD_INSTANCE=a/0\0"), None);
        let found = marker(b"A=1\0AGENTD_FLEET=f\0AGENTD_INSTANCE=a/0\0").expect("a marker");
        assert_eq!((found.fleet.as_str(), found.instance.as_str()), ("f", "a/0"));
    }

    #[tokio::test]
    async fn those_who_ask_together_share_a_pass_and_a_later_one_gets_a_later_pass() {
        let (first, second) = tokio::join!(Table::fresh(), Table::fresh());
        let third = Table::fresh().await;
        assert!(!first.processes.is_empty() && !second.processes.is_empty());
        assert!(!Arc::ptr_eq(&first, &third), "an old table answered a new question");
    }

    proptest! {
        #[test]
        fn no_stat_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_stat(&bytes);
            let _ = parse_marker(&bytes);
        }
    }
}
