//! Targets that answer well and are not: a body that says otherwise, a data route that fails, a stranger on the port.
use super::stage::{
    EVERY, PATIENCE, THRESHOLD, UNHURRIED, dependency, millis, server, shortened, sleeper, stands, status,
    watch,
};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, ProbeState},
    readiness::{
        Found, Ground, Proof,
        check::settle,
        faults::{FaultServer, Manner},
        proof::poll,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::{Value, json};

/// `assertion` is what the probe demands of the body; a test breaks it.
pub async fn by_body(ground: &Ground, assertion: Value) -> Found {
    let exercise = async {
        let (honest, lying) = (server(Manner::Healthy).await?, server(Manner::Lying).await?);
        let expect = json!({ "status": 200, "json": assertion });
        let probes = vec![
            dependency("honest", &honest, THRESHOLD, expect.clone()),
            dependency("lying", &lying, THRESHOLD, expect),
        ];
        let fleet = watch(ground, probes).await?;
        let honest = stands(&fleet, "honest", ProbeState::Passing, PATIENCE).await;
        let lying = stands(&fleet, "lying", ProbeState::Failing, PATIENCE).await;
        let mut proof = Proof::default();
        proof.holds(
            honest.is_some(),
            format!("200 with a healthy body {}", if honest.is_some() { "passes" } else { "does not pass" }),
        );
        // For what it says, and not for being late.
        let detail = lying.as_ref().and_then(|probe| probe.last.as_ref()).map(|last| last.detail.clone());
        proof.holds(
            detail.as_ref().is_some_and(|detail| detail.contains("critical")),
            match &detail {
                Some(detail) => format!("200 with a critical body fails: {detail}"),
                None => "200 with a critical body is taken for health".into(),
            },
        );
        fleet.finish().await;
        Ok(proof.judge("the body decided, not the status").seen(shortened()))
    };
    settle(exercise.await)
}

/// `path` is what the probe of the data route asks, `/data` is what is expected of it; a test breaks it.
pub async fn by_data_route(ground: &Ground, path: &str) -> Found {
    let exercise = async {
        let (hollow, sound) = (server(Manner::Hollow).await?, server(Manner::Healthy).await?);
        let route = |name: &str, server: &FaultServer, path: &str| {
            let mut probe = dependency(name, server, THRESHOLD, json!({ "status": 200 }));
            probe["options"]["url"] = json!(server.url_of(path));
            probe
        };
        let probes = vec![
            route("green", &hollow, "/health"),
            route("data", &hollow, path),
            route("sound-data", &sound, path),
        ];
        let fleet = watch(ground, probes).await?;
        let green = stands(&fleet, "green", ProbeState::Passing, PATIENCE).await.is_some();
        let data = stands(&fleet, "data", ProbeState::Failing, PATIENCE).await;
        let sound = stands(&fleet, "sound-data", ProbeState::Passing, PATIENCE).await.is_some();
        let mut proof = Proof::default();
        let passes = |yes: bool| if yes { "passes" } else { "does not pass" };
        proof.holds(green, format!("/health of a service whose data route fails {}", passes(green)));
        let detail = data.and_then(|probe| probe.last).map(|last| last.detail);
        proof.holds(
            detail.as_ref().is_some_and(|detail| detail.contains("500")),
            match &detail {
                Some(detail) => format!("the declared data route behind it fails: {detail}"),
                None => "the declared data route behind it is taken for well".into(),
            },
        );
        proof.holds(sound, format!("a data route that is well {}", passes(sound)));
        fleet.finish().await;
        Ok(proof.judge("the data route was asked, not only /health").seen(shortened()))
    };
    settle(exercise.await)
}

/// What the guarded probes ask of who answers; a test leaves one out.
pub struct Asks {
    /// Whose process listens.
    pub process: bool,
    /// What the body says of whose it is.
    pub name: Value,
}

impl Asks {
    pub fn all() -> Self {
        Self { process: true, name: json!({ "$.agent": "planted" }) }
    }
}

pub async fn by_stranger(ground: &Ground, asks: Asks) -> Found {
    let exercise = async {
        let (impostor, misnamed) = (server(Manner::Healthy).await?, server(Manner::Misnamed).await?);
        let port = impostor.address.port();
        let agent = |name: &str, identity: bool| {
            let mut probe = json!({
                "name": "ready",
                "role": "readiness",
                "kind": "tcp",
                "every": millis(EVERY),
                "deadline": millis(UNHURRIED),
                "options": { "port": port },
            });
            // Where it is not switched off nobody switches it on either: a supervised agent is identified by default.
            if !identity {
                probe["options"]["identity"] = json!(false);
            }
            sleeper(name, json!([probe]))
        };
        let expect = json!({ "status": 200, "json": asks.name });
        let overlay = json!({
            "agent": [agent("guarded", asks.process), agent("fooled", false)],
            "dependency": [
                dependency("named", &impostor, THRESHOLD, expect.clone()),
                dependency("misnamed", &misnamed, THRESHOLD, expect),
            ],
        });
        let fleet = ground.fleet(overlay, true).await?;
        let fooled = fleet.instance("fooled", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        // It must have been looked at, and refused for what it is: by the pid of who really listens.
        let own = std::process::id().to_string();
        let last = || status(&fleet, "guarded/0")?.last;
        let by_name = poll(PATIENCE, || last().filter(|last| last.ok || last.detail.contains(&own))).await;
        let refused = by_name.or_else(last).filter(|last| !last.ok);
        let ready = fleet
            .supervisor()
            .snapshot()
            .agent("guarded")
            .is_some_and(|agent| agent.state == AgentState::Ready);
        let named = stands(&fleet, "named", ProbeState::Passing, PATIENCE).await.is_some();
        let other = stands(&fleet, "misnamed", ProbeState::Failing, PATIENCE).await;
        let mut proof = Proof::default();
        proof.holds(
            fooled.is_some(),
            format!(
                "without the identity check port {port} {}",
                if fooled.is_some() {
                    "passes: the listener really answers"
                } else {
                    "does not pass: nothing is proved"
                }
            ),
        );
        proof.holds(
            refused.as_ref().is_some_and(|last| last.detail.contains(&own)),
            match &refused {
                Some(last) => format!("with it the probe fails: {}", last.detail),
                None => "with it the stranger on the port is taken for the agent".into(),
            },
        );
        proof.holds(
            !ready,
            format!("the agent is {}", if ready { "ready, on a stranger's answer" } else { "not ready" }),
        );
        proof.holds(
            named,
            format!("a body with the agent's own name {}", if named { "passes" } else { "does not pass" }),
        );
        let detail = other.and_then(|probe| probe.last).map(|last| last.detail);
        proof.holds(
            detail.as_ref().is_some_and(|detail| detail.contains("somebody-else")),
            match &detail {
                Some(detail) => format!("a body with another's name fails: {detail}"),
                None => "a body with another's name is taken for the agent's".into(),
            },
        );
        fleet.finish().await;
        Ok(proof.judge("the stranger was told from the agent").seen(shortened()))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const BY_BODY: Saboteur = Saboteur {
    of: "HM-003",
    at_work: || {
        let broken = [("a probe that reads no body", json!({}))];
        tried(by_body, json!({ "$.status": "healthy" }), broken).boxed()
    },
};

#[cfg(test)]
pub const BY_STRANGER: Saboteur = Saboteur {
    of: "HM-004",
    at_work: || {
        let broken = [
            ("a probe that asks for no identity", Asks { process: false, ..Asks::all() }),
            ("a probe that reads no name", Asks { name: json!({}), ..Asks::all() }),
        ];
        tried(by_stranger, Asks::all(), broken).boxed()
    },
};

#[cfg(test)]
pub const BY_DATA_ROUTE: Saboteur = Saboteur {
    of: "HM-007",
    at_work: || {
        let broken = [("a probe that asks /health instead", "/health")];
        tried(by_data_route, "/data", broken).boxed()
    },
};
