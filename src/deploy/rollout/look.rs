//! What both sides are asked, and how: the same probes by the same code that watches the fleet, or a ping over an agent's
//! own channel.
use super::sides::Look;
use crate::{
    agents::{Channels, Supervisor},
    config::{AgentSettings, ProbeSettings},
    domain::{Fault, FaultKind, InstanceId, InstanceStatus, ProbeRole},
    health::{Prepared, Target},
    resilience::Clock,
};
use std::{collections::BTreeMap, time::Duration};

const PING: &str = "ping";
const PING_DEADLINE: Duration = Duration::from_secs(5);

/// One thing to be asked.
pub struct Question {
    pub name: String,
    /// It must be answered well before the candidate is ready.
    pub gates: bool,
    /// What is stable is asked the same.
    pub shared: bool,
    how: How,
}

enum How {
    Probe(Prepared),
    Ping,
}

/// What a candidate is asked. Refused where it would be answered by somebody else, or nothing would ever call it ready.
pub fn questions(
    candidate: &AgentSettings,
    stable: &AgentSettings,
    channels: Channels,
) -> Result<Vec<Question>, Fault> {
    let stables = Supervisor::probes_of(stable);
    let mut questions = Vec::new();
    let refused = |probe: &ProbeSettings, why: &str, hint: &str| {
        let message = format!("cannot try {}: its probe {} {why}", candidate.name, probe.name);
        Err(Fault::new(FaultKind::Refused, message).hint(hint))
    };
    let probes = Supervisor::probes_of(candidate);
    for probe in &probes {
        let gates = probe.role != ProbeRole::Liveness;
        // What it says of itself is heard only of the fleet.
        if probe.kind == "heartbeat" {
            continue;
        }
        if let Some(key) = fixed(probe) {
            return refused(
                probe,
                &format!("asks one address (`{key}`), where what is stable answers"),
                "leave that out of the release: a probe asks each instance at its own port",
            );
        }
        let how = match Prepared::new(probe) {
            Ok(prepared) => How::Probe(prepared),
            Err(_) => return refused(probe, "is misconfigured", "`agentctl config check` shows where"),
        };
        let shared = stables.iter().any(|other| {
            (&other.name, &other.kind, &other.options) == (&probe.name, &probe.kind, &probe.options)
        });
        questions.push(Question { name: probe.name.clone(), gates, shared, how });
    }
    let gated = probes.iter().any(|probe| probe.role != ProbeRole::Liveness);
    if gated && !questions.iter().any(|question| question.gates) {
        let message =
            format!("cannot try {}: nothing but its own heartbeat says that it is ready", candidate.name);
        return Err(Fault::new(FaultKind::Refused, message)
            .hint("declare a probe that can be asked: http, tcp or exec"));
    }
    if channels == Channels::Ping && candidate.kind == stable.kind {
        // Its first answer makes it ready where no probe does; that is the supervisor's to see.
        questions.push(Question { name: PING.into(), gates: false, shared: true, how: How::Ping });
    }
    Ok(questions)
}

/// Where it is told to look, if that is not the instance's own port.
fn fixed(probe: &ProbeSettings) -> Option<&'static str> {
    let keys: &[&str] = match probe.kind.as_str() {
        "http" => &["url", "port"],
        "tcp" => &["port", "host"],
        _ => &[],
    };
    keys.iter().copied().find(|key| probe.options.get(key).is_some_and(|value| !value.is_null()))
}

/// Asks, and knows whom it has met.
pub struct Asker {
    pub supervisor: Supervisor,
    pub clock: Clock,
    /// Which process of each was proved to hold its port.
    proved: BTreeMap<(InstanceId, String), i32>,
}

impl Asker {
    pub fn new(supervisor: Supervisor, clock: Clock) -> Self {
        Self { supervisor, clock, proved: BTreeMap::new() }
    }

    /// Whose the port is, is looked up once for each process, before anything is timed.
    pub async fn ask(&mut self, question: &Question, of: &InstanceStatus) -> Look {
        let prepared = match &question.how {
            How::Ping => {
                let began = self.clock.instant();
                let answered = self.supervisor.ping(&of.id, PING_DEADLINE).await;
                let took_ms = began.elapsed().as_secs_f64() * 1e3;
                return Look { ok: answered.is_ok(), took_ms };
            }
            How::Probe(prepared) => prepared,
        };
        let mut target = Target::instance(of.id.clone(), of.port, of.pid);
        let key = (of.id.clone(), question.name.clone());
        if self.proved.get(&key).copied() != of.pid {
            let first = prepared.look(&target, &self.clock).await;
            if !first.ok {
                return Look { ok: false, took_ms: first.took_ms };
            }
            if let Some(pid) = of.pid {
                self.proved.insert(key, pid);
            }
        }
        target.check_identity = false;
        let seen = prepared.look(&target, &self.clock).await;
        Look { ok: seen.ok, took_ms: seen.took_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn agent(probes: Value) -> AgentSettings {
        let options = json!({ "command": ["x"], "port": 0 });
        serde_json::from_value(json!({ "name": "a", "kind": "service", "options": options, "probe": probes }))
            .expect("settings")
    }

    fn asked(candidate: Value, stable: Value) -> Result<Vec<(String, bool, bool)>, Fault> {
        let questions = questions(&agent(candidate), &agent(stable), Channels::None)?;
        Ok(questions.into_iter().map(|one| (one.name, one.gates, one.shared)).collect())
    }

    #[test]
    fn only_what_both_have_alike_is_compared() {
        let ready = json!({ "name": "ready", "kind": "http", "options": { "path": "/ready" } });
        let other = json!({ "name": "ready", "kind": "http", "options": { "path": "/other" } });
        let live = json!({ "name": "live", "role": "liveness", "kind": "tcp" });
        let beat = json!({ "name": "beat", "kind": "heartbeat" });
        let told = |name: &str, gates, shared| (name.to_owned(), gates, shared);
        assert_eq!(asked(json!([ready]), json!([ready])).expect("asked"), [told("ready", true, true)]);
        assert_eq!(asked(json!([ready]), json!([other])).expect("asked"), [told("ready", true, false)]);
        assert_eq!(
            asked(json!([ready, live, beat]), json!([ready, live])).expect("asked"),
            [told("ready", true, true), told("live", false, true)]
        );
        assert_eq!(asked(json!([]), json!([])).expect("asked"), [told("implied-tcp", true, true)]);
    }

    #[test]
    fn what_somebody_else_would_answer_is_refused() {
        for options in [json!({ "url": "http://127.0.0.1:80/" }), json!({ "path": "/", "port": 80 })] {
            let probe = json!([{ "name": "fixed", "kind": "http", "options": options }]);
            let fault = asked(probe.clone(), probe).expect_err("asked what is stable");
            assert!(fault.message.contains("fixed") && fault.hint.is_some(), "{fault}");
        }
        let port = json!([{ "name": "fixed", "kind": "tcp", "options": { "port": 80 } }]);
        assert!(asked(port.clone(), port).is_err());
        let beat = json!([{ "name": "beat", "kind": "heartbeat" }]);
        assert!(asked(beat.clone(), beat).expect_err("never ready").message.contains("heartbeat"));
    }
}
