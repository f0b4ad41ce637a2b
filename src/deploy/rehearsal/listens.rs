//! On which ports the processes of the living fleet listen, as the kernel says: what an agent opens by itself cannot be
//! moved for a rehearsal. It blocks.
use crate::{
    agents::procfs::Table,
    domain::{AgentName, FleetSnapshot},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

/// TCP_LISTEN in include/net/tcp_states.h, as /proc writes it.
const LISTEN: &str = "0A";

/// Ports that an agent was not given, by agent. Where the kernel does not say, none are known.
pub fn of_its_own(fleet: &FleetSnapshot) -> BTreeMap<AgentName, BTreeSet<u16>> {
    let open = listening();
    let table = Table::scan();
    let mut found: BTreeMap<AgentName, BTreeSet<u16>> = BTreeMap::new();
    for (agent, instance) in fleet.instances() {
        let Some(pid) = instance.pid else { continue };
        let ports = table.with_descendants([pid]).into_iter().flat_map(|process| held(process.pid, &open));
        let ports: BTreeSet<u16> = ports.filter(|port| Some(*port) != instance.port).collect();
        if !ports.is_empty() {
            found.entry(agent.name.clone()).or_default().extend(ports);
        }
    }
    found
}

/// Inode → port of every TCP socket that listens.
fn listening() -> HashMap<u64, u16> {
    let texts = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    texts.iter().flat_map(|text| text.lines().skip(1)).filter_map(listener).collect()
}

/// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 31234 …`, as proc_pid_net(5) has it.
fn listener(line: &str) -> Option<(u64, u16)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTEN).then_some((inode, u16::from_str_radix(port, 16).ok()?))
}

fn held(pid: i32, open: &HashMap<u64, u16>) -> Vec<u16> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let port = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        open.get(&inode).copied()
    };
    descriptors.filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_seen_and_a_line_of_proc_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31234 1 x";
        assert_eq!(listener(line), Some((31_234, 8080)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None, "it is connected, and does not listen");
        assert_eq!(listener("sl local_address"), None);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let own = std::process::id().cast_signed();
        assert!(held(own, &listening()).contains(&port));
        drop(socket);
        assert!(!held(own, &listening()).contains(&port));
    }
}
