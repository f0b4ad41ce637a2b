//! What instances use of the machine, every process of each added up: whoever is in its cgroup or carries its marker.
//! One pass over /proc for the whole fleet. It blocks: not on a thread of the runtime.
use super::{
    cgroup,
    procfs::{Table, own_pid},
};
use crate::domain::InstanceId;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    sync::LazyLock,
};

/// Of all processes together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub processes: u64,
    pub threads: u64,
    /// Resident; what they share counts in each.
    pub memory_bytes: u64,
    /// Of those that run, and of children that they have waited for.
    pub cpu_s: f64,
    /// None where the kernel did not let us count those of one.
    pub open_files: Option<u64>,
}

/// Of one process; none if it is not there.
pub fn used_by(pid: i32) -> Option<Usage> {
    let mut buffer = [0_u8; 1024];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    let mut usage = parse(&buffer[..length])?;
    usage.open_files = open_files(pid);
    Some(usage)
}

/// Of every instance of the fleet that has a process.
pub fn used_by_fleet(fleet_id: &str) -> BTreeMap<InstanceId, Usage> {
    let table = Table::scan();
    let own = own_pid();
    let mut fleet: BTreeMap<InstanceId, Usage> = BTreeMap::new();
    for process in &table.processes {
        // Children of kthreadd (2) are the kernel's own.
        if process.pid == own || process.pid == 2 || process.ppid == 2 || process.is_dead() {
            continue;
        }
        let marked = || {
            let marker = table.any_marker(process.pid).filter(|marker| marker.fleet == fleet_id)?;
            marker.instance.parse().ok()
        };
        // A marker is only what a process says of itself.
        let Some(instance) = cgroup::owner_of(fleet_id, process.pid).or_else(marked) else { continue };
        if let Some(usage) = used_by(process.pid) {
            fleet.entry(instance).and_modify(|sum| sum.add(&usage)).or_insert(usage);
        }
    }
    fleet
}

impl Usage {
    fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        self.memory_bytes += other.memory_bytes;
        self.cpu_s += other.cpu_s;
        self.open_files = self.open_files.zip(other.open_files).map(|(mine, others)| mine + others);
    }
}

/// Kernels from 6.2 on say in one call how many there are; to others the directory is read.
fn open_files(pid: i32) -> Option<u64> {
    let path = format!("/proc/{pid}/fd");
    match fs::metadata(&path).ok()?.size() {
        0 => Some(fs::read_dir(&path).ok()?.count() as u64),
        count => Some(count),
    }
}

/// What the kernel counts in, as it told this process when it began: AT_CLKTCK and AT_PAGESZ.
static TICKS_A_SECOND: LazyLock<f64> = LazyLock::new(|| auxiliary(17).unwrap_or(100) as f64);
static PAGE: LazyLock<u64> = LazyLock::new(|| auxiliary(6).unwrap_or(4096));

fn auxiliary(wanted: usize) -> Option<u64> {
    const WORD: usize = size_of::<usize>();
    let vector = fs::read("/proc/self/auxv").ok()?;
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let mut pairs = vector.chunks_exact(2 * WORD);
    let pair = pairs.find(|pair| word(&pair[..WORD]) == Some(wanted))?;
    word(&pair[WORD..]).map(|value| value as u64).filter(|value| *value > 0)
}

/// `pid (comm) state …`: comm may hold spaces and brackets, so the fields count from the last `)`.
fn parse(stat: &[u8]) -> Option<Usage> {
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let fields: Vec<u64> =
        text.split_ascii_whitespace().map(|field| field.parse().unwrap_or_default()).take(22).collect();
    // utime, stime, cutime, cstime; num_threads; rss. The state is field 3, and the first here.
    let ticks: u64 = fields.get(11..15)?.iter().fold(0, |sum, ticks| sum.saturating_add(*ticks));
    Some(Usage {
        processes: 1,
        threads: *fields.get(17)?,
        memory_bytes: fields.get(21)?.saturating_mul(*PAGE),
        cpu_s: ticks as f64 / *TICKS_A_SECOND,
        open_files: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_name_cannot_forge_the_figures() {
        let line = b"42 (a) R 1 1 1 (b ) c) S 7 8 9 0 -1 0 1 2 3 4 150 50 20 30 20 0 5 0 12345 999 256 18446744073709551615 0";
        let usage = parse(line).expect("a stat line");
        assert_eq!((usage.threads, usage.memory_bytes), (5, 256 * *PAGE));
        assert!((usage.cpu_s - 250.0 / *TICKS_A_SECOND).abs() < 1e-9, "{usage:?}");
        assert_eq!(parse(b"42 (cut off) S 1"), None);
    }

    #[test]
    fn this_process_uses_something_and_nobody_carries_the_mark_of_no_fleet() {
        let own = used_by(own_pid()).expect("ourselves");
        assert!(own.memory_bytes > 1 << 20 && own.threads > 0, "{own:?}");
        let listed = fs::read_dir("/proc/self/fd").expect("a directory").count() as u64;
        assert!(own.open_files.is_some_and(|files| files.abs_diff(listed) < 64), "{own:?} {listed}");
        assert_eq!(used_by(i32::MAX), None);
        assert!(used_by_fleet("no such fleet").is_empty());
    }

    proptest! {
        #[test]
        fn no_stat_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
