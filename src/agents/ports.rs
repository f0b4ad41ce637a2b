//! Who listens on a port: from /proc/net/tcp{,6} to the socket's inode to the process that holds it.
use super::procfs::{self, Table};
use std::{collections::HashSet, fs, io};

/// A process that listens on a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub pgid: i32,
    /// Its command line, cut to 200 characters; untrusted text.
    pub command: String,
}

/// Whose the listeners on a port are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// Nobody listens.
    None,
    /// Every listener is held by the instance.
    Ours,
    /// At least one is held by nobody of the instance; by this pid, if we may see it.
    Foreign(Option<i32>),
}

/// Everyone who listens on this port, on any local address. Empty when nobody does; a holder that we may not look
/// into (another user's) is left out, so ask `is_listening` too.
pub fn holders(port: u16) -> io::Result<Vec<Holder>> {
    let inodes = listening_inodes(port)?;
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    let holding = |pid: &i32| !held(*pid, &inodes).is_empty();
    Ok(procfs::pids()
        .filter(holding)
        .map(|pid| Holder {
            pid,
            pgid: procfs::read(pid).map_or(0, |process| process.pgid),
            command: procfs::command(pid),
        })
        .collect())
}

/// Does anything listen on this port?
pub fn is_listening(port: u16) -> io::Result<bool> {
    Ok(!listening_inodes(port)?.is_empty())
}

/// Whether each listener on `port` belongs to the instance whose main process is `leader`: to its process group,
/// its descendants, or whoever carries its marker (workers that forked twice inherit the socket or open their own
/// with SO_REUSEPORT). A socket that a member holds counts as the instance's, whoever else inherited it.
pub fn listeners_in_group(port: u16, leader: i32, fleet_id: &str, instance: &str) -> io::Result<Listeners> {
    let mut open = listening_inodes(port)?;
    if open.is_empty() {
        return Ok(Listeners::None);
    }
    // The main process is asked first: for most agents that is the whole answer, without a pass over /proc.
    for inode in held(leader, &open) {
        open.remove(&inode);
    }
    if open.is_empty() {
        return Ok(Listeners::Ours);
    }
    let table = Table::scan();
    let roots = table.processes.iter().filter(|process| {
        process.pid == leader || process.pgid == leader || table.is_marked(process.pid, fleet_id, instance)
    });
    let members = table.with_descendants(roots.map(|process| process.pid));
    for process in &members {
        for inode in held(process.pid, &open) {
            open.remove(&inode);
        }
    }
    if open.is_empty() {
        return Ok(Listeners::Ours);
    }
    let stranger = table.processes.iter().find(|process| !held(process.pid, &open).is_empty());
    Ok(Listeners::Foreign(stranger.map(|process| process.pid)))
}

/// TCP_LISTEN in include/net/tcp_states.h.
const LISTEN: &str = "0A";

fn listening_inodes(port: u16) -> io::Result<HashSet<u64>> {
    let mut found = HashSet::new();
    listening_in(&fs::read_to_string("/proc/net/tcp")?, port, &mut found);
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => listening_in(&text, port, &mut found),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`
fn listening_in(text: &str, port: u16, found: &mut HashSet<u64>) {
    for line in text.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let Some((_, local)) = fields.next().and_then(|address| address.rsplit_once(':')) else { continue };
        if u16::from_str_radix(local, 16) != Ok(port) || fields.nth(1) != Some(LISTEN) {
            continue;
        }
        found.extend(fields.nth(5).and_then(|inode| inode.parse::<u64>().ok()));
    }
}

/// Which of these sockets the process holds. Empty when we may not look into it.
fn held(pid: i32, inodes: &HashSet<u64>) -> HashSet<u64> {
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
        let foreign = listeners_in_group(port, i32::MAX, "no fleet", "no/0").expect("looked");
        assert_eq!(foreign, Listeners::Foreign(Some(procfs::own_pid())));
        drop(listener);
        assert_eq!(listeners_in_group(port, 1, "f", "a/0").expect("looked"), Listeners::None);
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
        let ours = listeners_in_group(port, leader, "ports-test", "web/0");
        let others = listeners_in_group(port, leader, "ports-test", "web/1");
        let holder = holders(port);
        for marked in procfs::marked("ports-test") {
            let pid = rustix::process::Pid::from_raw(marked.pid).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        child.wait().expect("reaped");
        assert_eq!(ours.expect("looked"), Listeners::Ours);
        assert!(matches!(others.expect("looked"), Listeners::Foreign(Some(pid)) if pid != leader));
        assert!(
            holder
                .expect("looked")
                .iter()
                .all(|holder| holder.pid != leader && holder.command.contains("python"))
        );
    }

    #[test]
    fn only_listening_sockets_of_that_very_port_count() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 111 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 222 1 0 100 0 0 10 0\n\
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 333 1 0 100 0 0 10 0\n\
            broken line\n";
        let mut found = HashSet::new();
        listening_in(text, 8080, &mut found);
        assert_eq!(found, HashSet::from([111]));
    }
}
