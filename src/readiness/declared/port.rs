//! `port`: who listens there and from where it can be reached, as the kernel's own tables have it.
use super::{
    kind::{Look, problem},
    scene::Scene,
};
use crate::{
    agents::ports::{self, Holder},
    config::OptionProblem,
    domain::Fault,
    health::TextWant,
    readiness::{Found, Proof, proof::blocking},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Looks at who listens on a TCP port of this machine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PortCheckOptions")]
pub struct Options {
    #[schemars(range(min = 1))]
    port: u16,
    /// Must somebody listen? With false, nobody may.
    #[serde(default = "yes")]
    listening: bool,
    /// It must be reachable from this machine only.
    #[serde(default)]
    loopback: bool,
    /// Text that the command line of whoever listens must hold, or `/regex/`.
    #[serde(default)]
    process: Option<String>,
}

fn yes() -> bool {
    true
}

pub struct Port {
    wanted: Arc<Wanted>,
}

struct Wanted {
    port: u16,
    listening: bool,
    loopback: bool,
    process: Option<TextWant>,
}

/// What is known of the listeners on a port.
struct Seen {
    addresses: BTreeSet<IpAddr>,
    /// None unless it was asked who they are.
    holders: Option<Vec<Holder>>,
}

impl Look for Port {
    const NAME: &'static str = "port";
    const ABOUT: &'static str = "looks at who listens on a TCP port, and on which addresses";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if options.port == 0 {
            problems.push(problem("/port", "port 0 cannot be asked", None));
        }
        if !options.listening && (options.loopback || options.process.is_some()) {
            problems.push(problem("/listening", "where nobody listens there is nothing else to see", None));
        }
        let process = options.process.as_deref().map(TextWant::parse).transpose();
        let process =
            process.map_err(|why| problems.push(problem("/process", why, None))).unwrap_or_default();
        let Options { port, listening, loopback, .. } = options;
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { wanted: Arc::new(Wanted { port, listening, loopback, process }) })
    }

    fn resource(&self) -> String {
        format!("port/{}", self.wanted.port)
    }

    async fn look(&self, _: &Scene<'_>) -> Found {
        let wanted = Arc::clone(&self.wanted);
        // Reads a part of /proc: not on a thread that others wait for.
        blocking(move || Ok(wanted.judge(&wanted.see()?))).await.unwrap_or_else(Found::from)
    }
}

impl Wanted {
    fn see(&self) -> Result<Seen, Fault> {
        let port = self.port;
        let cannot = |error: io::Error| Fault::internal(format!("cannot see who listens on {port}: {error}"));
        let mut addresses = BTreeSet::new();
        listeners(&fs::read_to_string("/proc/net/tcp").map_err(cannot)?, port, &mut addresses);
        match fs::read_to_string("/proc/net/tcp6") {
            Ok(table) => listeners(&table, port, &mut addresses),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        let asked = self.process.is_some() && !addresses.is_empty();
        let holders = if asked { Some(ports::holders(port).map_err(cannot)?) } else { None };
        Ok(Seen { addresses, holders })
    }

    fn judge(&self, seen: &Seen) -> Found {
        let port = self.port;
        let shown: Vec<String> = seen.addresses.iter().map(ToString::to_string).collect();
        let shown = shown.join(", ");
        if seen.addresses.is_empty() {
            let told = format!("nobody listens on port {port}");
            return if self.listening { Found::fail(told) } else { Found::pass(told) };
        }
        if !self.listening {
            return Found::fail(format!("somebody listens on port {port} ({shown}), and nobody may"));
        }
        let mut proof = Proof::default();
        proof.holds(true, format!("port {port} is listened on at {shown}"));
        if self.loopback {
            let open: Vec<String> =
                seen.addresses.iter().filter(|a| !a.is_loopback()).map(ToString::to_string).collect();
            let told = if open.is_empty() { "this machine only".into() } else { open.join(", ") };
            proof.holds(open.is_empty(), format!("it can be reached by way of {told}"));
        }
        if let Some(want) = &self.process {
            let Some(holders) = seen.holders.as_deref().filter(|holders| !holders.is_empty()) else {
                return Found::error(format!("cannot see whose process listens on port {port}"));
            };
            for holder in holders {
                let held = want.fits(&holder.command);
                let fit = if held { "fits" } else { "does not fit" };
                proof.holds(held, format!("process {} that listens {fit} {want}", holder.pid));
            }
        }
        proof.judge(format!("port {port} is listened on as wanted"))
    }
}

/// `sl local_address rem_address st …`, where the state of a listener is 0A.
fn listeners(table: &str, port: u16, found: &mut BTreeSet<IpAddr>) {
    for line in table.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(_), Some("0A")) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let Some((address, number)) = local.split_once(':') else { continue };
        if u16::from_str_radix(number, 16) == Ok(port) {
            found.extend(address_of(address));
        }
    }
}

/// As the kernel prints it: words of 32 bits in the machine's own order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&word(at * 8)?);
    }
    // An IPv4 address written as an IPv6 one is what it means.
    Some(Ipv6Addr::from(bytes).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use super::*;
    use crate::domain::{FleetSnapshot, Outcome};
    use proptest::prelude::*;
    use serde_json::json;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_listener_is_seen_with_where_it_can_be_reached_and_whose_it_is() {
        let fleet = FleetSnapshot::default();
        let inside = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let open = TcpListener::bind("0.0.0.0:0").expect("a listener");
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let (inner, outer) = (port(&inside), port(&open));
        for (options, outcome, told) in [
            (json!({"port": inner, "listening": false}), Outcome::Fail, "nobody may"),
            (json!({"port": outer, "loopback": true}), Outcome::Fail, "by way of 0.0.0.0"),
            (json!({"port": inner, "process": "no such command line"}), Outcome::Fail, "does not fit"),
            (json!({"port": inner, "loopback": true}), Outcome::Pass, "as wanted"),
            (json!({"port": inner, "process": "/agentctl/"}), Outcome::Pass, "as wanted"),
        ] {
            let found = tried("port", options.clone(), &fleet).await;
            assert!(found.outcome == outcome && found.summary.contains(told), "{options}: {found:?}");
        }
        drop(inside);
        assert_eq!(tried("port", json!({ "port": inner }), &fleet).await.outcome, Outcome::Fail);
        assert_eq!(
            tried("port", json!({"port": inner, "listening": false}), &fleet).await.outcome,
            Outcome::Pass
        );
    }

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 0100007F:1F90 00000000:0000 0A 0\n1: 00000000:1F90 00000000:0000 01 0\n\
            2: 00000000000000000000000001000000:1F90 0:0 0A 0\n\
            3: 0000000000000000FFFF00000100007F:1F90 0:0 0A 0\n4: 00000000:1F91 0:0 0A 0\n5: zz\n6: x:1F90 y 0A\n";
        let mut found = BTreeSet::new();
        listeners(table, 8080, &mut found);
        // What is printed in the order of a machine whose words begin with their lowest byte.
        if cfg!(target_endian = "little") {
            let seen: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(seen, ["127.0.0.1", "::1"], "an established connection or another port was taken");
        }
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(table in "[0-9A-F: \nzé]{0,200}", hex in "[0-9A-Fé]{0,40}") {
            listeners(&table, 80, &mut BTreeSet::new());
            let _ = address_of(&hex);
        }
    }

    #[test]
    fn what_contradicts_itself_is_a_problem() {
        assert_eq!(
            refused("port", json!({"port": 80, "listening": false, "loopback": true})),
            ["/listening"]
        );
        assert_eq!(refused("port", json!({"port": 0, "process": "/(/"})), ["/port", "/process"]);
    }
}
