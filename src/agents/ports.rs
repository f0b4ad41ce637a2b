//! Who listens on a port: from the socket's inode to the process that holds it.
use super::procfs::{self, Table};
use std::{fs, io};

/// A process that listens on a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub pgid: i32,
    /// Its command line, cut to 200 characters; untrusted text.
    pub command: String,
}

/// Whose the listeners on a port are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// Nobody listens.
    None,
    /// Every listener is held by the instance.
    Ours,
    /// At least one is held by nobody of the instance; by this one, if we may see it.
    Foreign(Option<Holder>),
}

pub use super::listening::inodes;

/// Everyone who listens on this port, on any local address. Empty when nobody does; a holder that we may not look
/// into (another user's) is left out, so ask `is_listening` too. Looks into every process: tens of milliseconds.
pub fn holders(port: u16) -> io::Result<Vec<Holder>> {
    let open = inodes(port)?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    Ok(procfs::pids().filter(|pid| !held(*pid, &open).is_empty()).map(Holder::of).collect())
}

/// Does anything listen on this port?
pub fn is_listening(port: u16) -> io::Result<bool> {
    Ok(!inodes(port)?.is_empty())
}

/// Whether each of these listening sockets belongs to the instance whose main process is `leader`: to its process
/// group, its descendants, or whoever carries its marker (workers that forked twice inherit the socket or open
/// their own with SO_REUSEPORT). A socket that a member holds counts as the instance's, whoever else inherited it.
/// Usually looks into one process; into every one only when that one does not hold them all.
pub fn owner(inodes: &[u64], leader: i32, instance: Option<&str>) -> Listeners {
    let mut open = inodes.to_vec();
    if open.is_empty() {
        return Listeners::None;
    }
    // The main process is asked first: for most agents that is the whole answer, without a pass over /proc.
    open.retain({
        let held = held(leader, &open);
        move |inode| !held.contains(inode)
    });
    if open.is_empty() {
        return Listeners::Ours;
    }
    let table = Table::scan();
    // Of two fleets with an agent of the same name, the one that started the main process.
    let fleet = table.marker(leader).map(|marker| marker.fleet.as_str());
    let marked = |pid: i32| {
        instance.is_some()
            && table.marker(pid).is_some_and(|marker| {
                Some(marker.instance.as_str()) == instance && fleet.is_none_or(|fleet| fleet == marker.fleet)
            })
    };
    let roots = table
        .processes
        .iter()
        .filter(|process| process.pid == leader || process.pgid == leader || marked(process.pid));
    for process in table.with_descendants(roots.map(|process| process.pid)) {
        let held = held(process.pid, &open);
        open.retain(|inode| !held.contains(inode));
        if open.is_empty() {
            return Listeners::Ours;
        }
    }
    let stranger = table.processes.iter().find(|process| !held(process.pid, &open).is_empty());
    Listeners::Foreign(stranger.map(|process| Holder::of(process.pid)))
}

impl Holder {
    fn of(pid: i32) -> Self {
        let pgid = procfs::read(pid).map_or(0, |process| process.pgid);
        Self { pid, pgid, command: procfs::command(pid) }
    }
}

/// Which of these sockets the process holds. Empty when we may not look into it.
fn held(pid: i32, inodes: &[u64]) -> Vec<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            inodes.contains(&inode).then_some(inode)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        process::{Command, Stdio},
    };

    #[test]
    fn a_listener_of_ours_is_named_and_a_closed_port_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        assert!(is_listening(port).expect("looked"));
        let holder =
            holders(port).expect("looked").into_iter().find(|holder| holder.pid == procfs::own_pid());
        assert!(!holder.expect("this process").command.is_empty());
        let open = inodes(port).expect("looked");
        let foreign = owner(&open, i32::MAX, Some("no/0"));
        assert!(
            matches!(&foreign, Listeners::Foreign(Some(holder)) if holder.pid == procfs::own_pid()),
            "{foreign:?}"
        );
        assert_eq!(owner(&open, procfs::own_pid(), None), Listeners::Ours);
        // One socket that nobody holds among them (another user's, say) is enough.
        let with_another: Vec<u64> = open.iter().copied().chain([u64::MAX]).collect();
        assert_eq!(owner(&with_another, procfs::own_pid(), None), Listeners::Foreign(None));
        drop(listener);
        assert_eq!(owner(&inodes(port).expect("looked"), 1, Some("a/0")), Listeners::None);
        assert!(!is_listening(port).expect("looked"));
    }

    #[test]
    fn a_worker_that_forked_twice_into_its_own_session_still_belongs_to_its_instance() {
        let program = "import os,socket,sys,time\n\
            s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); port=s.getsockname()[1]\n\
            r,w=os.pipe()\n\
            if os.fork()==0:\n os.setsid()\n if os.fork()==0:\n  os.write(w,b'x'); time.sleep(60)\n os._exit(0)\n\
            os.wait(); os.read(r,1); s.close(); print(port,flush=True); time.sleep(60)";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .env(procfs::FLEET_VARIABLE, "ports-test")
            .env(procfs::INSTANCE_VARIABLE, "web/0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let port = line.trim().parse().expect("a port");
        let leader = child.id().cast_signed();
        let open = inodes(port).expect("looked");
        let ours = owner(&open, leader, Some("web/0"));
        let others = owner(&open, leader, Some("web/1"));
        let holder = holders(port);
        for marked in procfs::marked("ports-test") {
            let pid = rustix::process::Pid::from_raw(marked.pid).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        child.wait().expect("reaped");
        assert_eq!(ours, Listeners::Ours);
        assert!(matches!(others, Listeners::Foreign(Some(holder)) if holder.pid != leader));
        assert!(
            holder
                .expect("looked")
                .iter()
                .all(|holder| holder.pid != leader && holder.command.contains("python"))
        );
    }
}
