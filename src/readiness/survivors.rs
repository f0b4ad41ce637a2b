//! Who of a scratch fleet is still alive, by the marker in the environment of its processes. This asks /proc itself
//! and not the supervisor, since the supervisor is what is being proved.
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

/// Set by the supervisor in each child; children of children inherit it.
pub const VARIABLE: &str = "AGENTD_FLEET";
/// The same, with the name of the instance.
const INSTANCE: &str = "AGENTD_INSTANCE";

/// Living processes (zombies are dead) with this mark, not ourselves.
pub fn marked(mark: &str) -> io::Result<Vec<i32>> {
    let wanted = format!("{VARIABLE}={mark}");
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if pid == own {
            continue;
        }
        // Gone meanwhile, or not ours to look into: then it is not of our fleet either. A zombie's is empty.
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environ.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The instance that a process says it is of, if it says so; an error if we may not look into it.
pub fn instance(pid: i32) -> io::Result<Option<String>> {
    let environ = fs::read(format!("/proc/{pid}/environ"))?;
    let prefix = format!("{INSTANCE}=");
    let name = environ.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(prefix.as_bytes()));
    Ok(name.map(|name| String::from_utf8_lossy(name).into_owned()))
}

/// Kills until none is left, since they may fork meanwhile; gives up after two seconds.
pub fn kill_all(mark: &str) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let left = marked(mark)?;
        if left.is_empty() || mark.is_empty() {
            return Ok(());
        }
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "scratch processes would not die"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Is this process alive (a zombie is not)?
pub fn alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// Has it moved into a session of its own? Then no signal to its old group reaches it.
pub fn leads_session(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.session == pid)
}

/// SIGKILL to one scratch process.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone already is as good as killed.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Of `/proc/PID/stat`, what is asked here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    /// 0 when the leader lives outside of our PID namespace, as in a container that was entered from the host.
    session: i32,
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Third and sixth field of proc_pid_stat(5). The second, the name, may itself hold spaces and parentheses.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, session: fields.nth(2)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name() {
        let table = [
            ("7 (sh) S 1 7 7 0 -1", Some(Stat { state: 'S', session: 7 })),
            ("7 (a) b) (c) Z 1 7 5 0 -1", Some(Stat { state: 'Z', session: 5 })),
            ("7 (sh) S 0 0 0 0 -1", Some(Stat { state: 'S', session: 0 })),
            ("7 (sh) S 0", None),
            ("", None),
        ];
        for (line, wanted) in table {
            assert_eq!(parse(line), wanted, "{line}");
        }
    }
}
