//! Two kinds of probe that need no HTTP: a closed port is refused, and a command is cut off with all that it started.
use super::stage::{PATIENCE, millis, stands, told, watch};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Fault, ProbeState},
    readiness::{Found, Ground, Proof, check::settle, proof::poll, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, io, net::Ipv4Addr, time::Duration};
use tokio::net::{TcpListener, TcpSocket};

/// How long the command is given: enough for a shell to start its children on a busy machine.
pub const CUT: Duration = Duration::from_millis(1500);
/// Leaves its own number and its children's, one of them in a session of its own where that can be had.
const SCRIPT: &str = "sleep 600 & echo $! > child; \
    if command -v setsid >/dev/null; then setsid sh -c 'echo $$ > outcast; exec sleep 600' & fi; \
    echo $$ > leader; wait";

/// `elsewhere` points the probe of the closed port at the open one; a test breaks it so.
pub async fn closed_port(ground: &Ground, elsewhere: bool) -> Found {
    let exercise = async {
        let cannot = |error: io::Error| Fault::internal(format!("cannot hold a port: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot)?;
        let open = listener.local_addr().map_err(cannot)?.port();
        // Held and not listening, so that nobody else can open it meanwhile.
        let held = TcpSocket::new_v4().map_err(cannot)?;
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(cannot)?;
        let closed = if elsewhere { open } else { held.local_addr().map_err(cannot)?.port() };
        let probe = |name: &str, port: u16| {
            json!({
                "name": name,
                "kind": "tcp",
                "every": "60ms",
                "deadline": "4s",
                "options": { "host": "127.0.0.1", "port": port },
            })
        };
        let fleet = watch(ground, vec![probe("open", open), probe("closed", closed)]).await?;
        let passes = stands(&fleet, "open", ProbeState::Passing, PATIENCE).await.is_some();
        let fails = stands(&fleet, "closed", ProbeState::Failing, PATIENCE).await;
        let detail = fails.and_then(|probe| probe.last).map(|last| last.detail);
        let mut proof = Proof::default();
        proof.holds(
            passes,
            format!("a port where somebody listens {}", if passes { "passes" } else { "does not pass" }),
        );
        proof.holds(
            detail.as_ref().is_some_and(|detail| detail.contains("refused")),
            match &detail {
                Some(detail) => format!("a port where nobody listens fails: {detail}"),
                None => "a port where nobody listens is taken for open".into(),
            },
        );
        fleet.finish().await;
        drop((listener, held));
        Ok(proof.judge("an open port was told from a closed one"))
    };
    settle(exercise.await)
}

/// `deadline` is what the command has, 1.5 s is what is expected; a test breaks it.
pub async fn killed_as_a_group(ground: &Ground, deadline: Duration) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let probe = json!({
            "name": "stuck",
            "kind": "exec",
            "every": "1h",
            "deadline": millis(deadline),
            "failure_threshold": 1,
            "options": { "command": ["/bin/sh", "-c", SCRIPT], "workdir": plot.path() },
        });
        let fleet = watch(ground, vec![probe]).await?;
        let cut = stands(&fleet, "stuck", ProbeState::Failing, PATIENCE).await;
        let pid = |name: &str| fs::read_to_string(plot.path().join(name)).ok()?.trim().parse::<i32>().ok();
        let (Some(leader), Some(child)) = (pid("leader"), pid("child")) else {
            return Ok(Found::error("the command did not come to start its children").all_seen(told(&fleet)));
        };
        let processes: Vec<i32> = [leader, child].into_iter().chain(pid("outcast")).collect();
        let alive = || processes.iter().filter(|pid| survivors::alive(**pid)).count();
        // Not waited for where nothing was cut: they live for ten minutes.
        let gone = cut.is_some() && poll(PATIENCE, || (alive() == 0).then_some(())).await.is_some();
        let mut proof = Proof::default();
        let detail = cut.and_then(|probe| probe.last).map(|last| last.detail);
        proof.holds(
            detail.is_some(),
            match detail {
                Some(detail) => format!("a command that does not end fails: {detail}"),
                None => format!("a command that does not end was not cut off within {PATIENCE:?}"),
            },
        );
        proof.holds(gone, format!("of its {} processes {} are alive after that", processes.len(), alive()));
        if pid("outcast").is_none() {
            proof.holds(true, "this machine has no setsid: none of them left its group");
        }
        fleet.finish().await;
        Ok(proof.judge("the command was cut off, and nothing of it is left"))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const CLOSED_PORT: Saboteur = Saboteur {
    of: "HM-014",
    at_work: || tried(closed_port, false, [("a probe that asks another port", true)]).boxed(),
};

#[cfg(test)]
pub const KILLED: Saboteur = Saboteur {
    of: "HM-015",
    at_work: || {
        let broken = [("a deadline that does not cut", Duration::from_secs(60))];
        tried(killed_as_a_group, CUT, broken).boxed()
    },
};
