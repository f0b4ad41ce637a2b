//! Who of the fleet, the daemon included, listens where others than this machine can reach it. Asked of the kernel.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    agents::procfs::{self, Table},
    config::Settings,
    domain::{Fault, FleetSnapshot},
    readiness::{Evidence, Found, Ground, Proof, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::MetadataExt,
    sync::Arc,
};

const DAEMON: &str = "agentd";
/// How many listeners that are well are named in the evidence.
const SHOWN: usize = 30;

pub async fn declared(evidence: &Evidence) -> Found {
    let fleet_id = evidence.supervisor.fleet_id().to_owned();
    let allowed = allowed(&evidence.settings, evidence.fleet());
    exercise(&evidence.ground, (fleet_id, allowed, sockets)).await
}

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

/// A listener with whose it is.
type Owned = (String, Listener);

/// A process of the fleet and the sockets that it holds; none if the kernel does not tell us.
struct Member {
    who: String,
    uid: u32,
    sockets: Option<BTreeSet<u64>>,
}

/// On which ports an agent may listen beyond this machine.
type Allowed = BTreeMap<String, BTreeSet<u16>>;
/// All listening sockets of this machine.
type Sockets = fn() -> io::Result<Vec<Listener>>;

async fn exercise(_: &Ground, (fleet_id, allowed, sockets): (String, Allowed, Sockets)) -> Found {
    // Nothing is accepted on them, and they are gone before the fleet is looked at.
    let planted = async {
        let bind =
            |ip: Ipv4Addr| TcpListener::bind((ip, 0)).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let open = bind(Ipv4Addr::UNSPECIFIED).map_err(cannot)?;
        let closed = bind(Ipv4Addr::LOCALHOST).map_err(cannot)?;
        let table = Table::fresh().await;
        let seen = blocking({
            let (table, fleet_id) = (Arc::clone(&table), fleet_id.clone());
            move || look(&table, &fleet_id, sockets)
        });
        let (reached, _) = seen.await?;
        let mut proof = Proof::default();
        for (what, address, must) in
            [("a listener of ours on every address", open.0, true), ("one on loopback", closed.0, false)]
        {
            let hit = reached.iter().any(|(_, listener)| listener.address == address && beyond(address.ip()));
            let did = if hit { "seen as open" } else { "not seen as open" };
            proof.holds(hit == must, format!("planted: {what} was {did}"));
        }
        drop((open, closed));
        let (reached, hidden) = blocking(move || look(&table, &fleet_id, sockets)).await?;
        Ok(judge(proof, &reached, &hidden, &allowed))
    };
    settle(planted.await)
}

fn cannot(error: io::Error) -> Fault {
    Fault::internal(format!("cannot look at listeners: {error}"))
}

/// The fleet's listeners with whose they are, and the members of whom that cannot be known.
fn look(table: &Table, fleet_id: &str, sockets: Sockets) -> Result<(Vec<Owned>, Vec<String>), Fault> {
    let members = members(table, fleet_id);
    let listening = sockets().map_err(cannot)?;
    let mut by_inode: HashMap<u64, &str> = HashMap::new();
    let (mut by_uid, mut hidden) = (HashMap::new(), Vec::new());
    let own = rustix::process::geteuid().as_raw();
    for member in &members {
        match &member.sockets {
            Some(sockets) => by_inode.extend(sockets.iter().map(|inode| (*inode, member.who.as_str()))),
            // A uid that is the agent's alone names it as well.
            None if member.uid != own && member.uid != 0 => {
                by_uid.extend([(member.uid, member.who.as_str())]);
            }
            None => hidden.push(member.who.clone()),
        }
    }
    let whose = |listener: &Listener| {
        by_inode.get(&listener.inode).or_else(|| by_uid.get(&listener.uid)).map(|who| (*who).to_owned())
    };
    let mut found: Vec<_> =
        listening.into_iter().filter_map(|listener| Some((whose(&listener)?, listener))).collect();
    found.sort();
    Ok((found, hidden))
}

/// Every process that bears the fleet's mark or descends from one that does, and this one.
fn members(table: &Table, fleet_id: &str) -> Vec<Member> {
    let me = procfs::own_pid();
    let ours = |pid: i32| {
        if pid == me {
            return Some(DAEMON.to_owned());
        }
        table.any_marker(pid).filter(|marker| marker.fleet == fleet_id).map(|marker| marker.instance.clone())
    };
    let living = table.processes.iter().filter(|process| !process.is_dead());
    let members = living.filter_map(|process| {
        let who = ours(process.pid)?;
        // One that ended meanwhile holds nothing.
        let uid = fs::metadata(format!("/proc/{}", process.pid)).ok()?.uid();
        let sockets = held(process.pid).ok();
        (sockets.is_some() || process.is_alive_now()).then_some(Member { who, uid, sockets })
    });
    members.collect()
}

/// Inodes of the sockets that a process holds.
fn held(pid: i32) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = match fs::read_link(entry.path()) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let inode: Option<u64> =
            target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        found.extend(inode);
    }
    Ok(found)
}

fn sockets() -> io::Result<Vec<Listener>> {
    let mut found = parse(&fs::read_to_string("/proc/net/tcp")?);
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => found.extend(parse(&text)),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`, addresses in words of the machine's order.
fn parse(table: &str) -> Vec<Listener> {
    let listener = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (ip, port) = fields.next()?.split_once(':')?;
        if fields.nth(1)? != "0A" {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        let word =
            |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
        let ip = match ip.len() {
            8 => IpAddr::from(word(0)?),
            32 => {
                let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
                IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?))
            }
            _ => return None,
        };
        let address = SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?);
        Some(Listener { address, uid, inode })
    };
    table.lines().skip(1).filter_map(listener).collect()
}

/// Can another machine reach it?
fn beyond(ip: IpAddr) -> bool {
    !ip.to_canonical().is_loopback()
}

fn allowed(settings: &Settings, fleet: &FleetSnapshot) -> Allowed {
    let mut allowed = Allowed::new();
    for agent in &settings.agents {
        let instances =
            fleet.agent(agent.name.as_str()).map(|agent| agent.instances.as_slice()).unwrap_or_default();
        for instance in instances {
            let ports =
                agent.exposes.iter().filter_map(|port| if *port == 0 { instance.port } else { Some(*port) });
            allowed.entry(instance.id.to_string()).or_default().extend(ports);
        }
    }
    allowed
}

fn judge(mut proof: Proof, found: &[Owned], hidden: &[String], allowed: &Allowed) -> Found {
    let blind = proof.broken();
    let mut open = Vec::new();
    let mut shown = 0;
    for (who, Listener { address, .. }) in found {
        let agent = who.rsplit_once('/').map_or(who.as_str(), |(agent, _)| agent);
        if !beyond(address.ip()) {
            if shown < SHOWN {
                proof.holds(true, format!("{who} listens on {address}, which is loopback"));
            }
            shown += 1;
        } else if allowed.get(who).is_some_and(|ports| ports.contains(&address.port())) {
            proof.holds(true, format!("{who} listens on {address}, as `exposes` of {agent} says"));
        } else {
            let port = address.port();
            let what = if who == DAEMON {
                format!("{who} listens on {address}: other machines reach the daemon itself")
            } else {
                format!(
                    "{who} listens on {address}: bind it to 127.0.0.1, or write exposes = [{port}] for {agent}"
                )
            };
            proof.holds(false, what);
            open.push((who.clone(), *address));
        }
    }
    let mut told =
        proof.judge(format!("{} listeners of the fleet, none open to other machines unsaid", found.len()));
    if shown > SHOWN {
        told = told.seen(format!("and {} more on loopback", shown - SHOWN));
    }
    told = told.seen("source: /proc/net/tcp and tcp6, by the sockets that the processes hold");
    if open.is_empty() && !hidden.is_empty() && !blind {
        let why = format!("the sockets of {} processes cannot be seen: {}", hidden.len(), hidden.join(", "));
        return Found { evidence: told.evidence, ..Found::error(why) };
    }
    open.into_iter().fold(told, |told, (who, address)| {
        told.about(format!("{who}/port/{}", address.port()), address.ip().to_string())
    })
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-008",
    at_work: || {
        async {
            let fleet = format!("listener-test-{}", fastrand::u64(..));
            let (child, port) = Tattler::start(&fleet, Ipv4Addr::UNSPECIFIED);
            let (shy, _) = Tattler::start(&format!("{fleet}-shy"), Ipv4Addr::LOCALHOST);
            let says = |ports: &[u16]| Allowed::from([("orders/0".into(), ports.iter().copied().collect())]);
            let broken: [(_, (String, Allowed, Sockets)); 3] = [
                ("an agent that listens on every address", (fleet.clone(), says(&[]), sockets)),
                ("another port declared", (fleet.clone(), says(&[port ^ 1]), sockets)),
                ("a look that sees nothing", (fleet.clone(), says(&[port]), || Ok(Vec::new()))),
            ];
            let mut tried = tried(exercise, (fleet, says(&[port]), sockets as Sockets), broken).await;
            let (_base, ground) = crate::readiness::checks::scratch_ground();
            tried.sound.push(exercise(&ground, (shy.fleet.clone(), says(&[]), sockets)).await);
            let told = format!("{:?}", tried.broken[0].1);
            assert!(told.contains(&format!("orders/0 listens on 0.0.0.0:{port}")), "{told}");
            drop(child);
            tried
        }
        .boxed()
    },
};

/// A child that holds a listening socket, marked as an agent of a fleet.
#[cfg(test)]
struct Tattler {
    fleet: String,
    child: std::process::Child,
}

#[cfg(test)]
impl Tattler {
    /// Its stdin is the socket.
    fn start(fleet: &str, host: Ipv4Addr) -> (Self, u16) {
        let socket = TcpListener::bind((host, 0)).expect("a listener");
        let port = socket.local_addr().expect("an address").port();
        let child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .env(procfs::FLEET_VARIABLE, fleet)
            .env(procfs::INSTANCE_VARIABLE, "orders/0")
            .stdin(std::os::fd::OwnedFd::from(socket))
            .spawn()
            .expect("a child");
        (Self { fleet: fleet.into(), child }, port)
    }
}

#[cfg(test)]
impl Drop for Tattler {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("its end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_only_loopback_is_closed() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 111 1 0\n\
            1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 222 1 0\n\
            2: 0100007F:1F92 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 333 1 0\n\
            3: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 5 0 444 1\n\
            4: 00000000000000000000000000000000:0051 00000000000000000000000000000000:0000 0A 0:0 0:0 0 5 0 555 1\n\
            5: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 0:0 0:0 0 5 0 666 1\n\
            broken\n";
        let found: Vec<_> = parse(table)
            .into_iter()
            .map(|l| (l.address.to_string(), l.uid, l.inode, beyond(l.address.ip())))
            .collect();
        assert_eq!(
            found,
            [
                ("127.0.0.1:8080".to_owned(), 1000, 111, false),
                ("0.0.0.0:8081".to_owned(), 0, 222, true),
                ("[::1]:80".to_owned(), 5, 444, false),
                ("[::]:81".to_owned(), 5, 555, true),
                ("[::ffff:127.0.0.1]:82".to_owned(), 5, 666, false),
            ]
        );
    }

    #[test]
    fn what_cannot_be_seen_is_no_pass() {
        let mut proof = Proof::default();
        proof.holds(true, "planted");
        let found = judge(proof, &[], &["orders/0".into()], &Allowed::new());
        assert_eq!(found.outcome, crate::domain::Outcome::Error);
    }
}
