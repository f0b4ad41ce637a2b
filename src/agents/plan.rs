//! An agent of the manifest made ready to run: options parsed, user resolved, digest taken. Fails before anything runs.
use super::{
    order,
    runtime::{self, PortChoice, Work},
    users,
};
use crate::{
    config::{AgentSettings, AgentSystem, Settings},
    domain::{
        AgentName, AgentState, AgentStatus, Desire, Fault, FaultKind, ProbeRole, ReleaseId, Separation,
    },
};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

#[derive(Clone)]
pub struct Plan {
    pub settings: AgentSettings,
    pub work: Work,
    /// uid and gid; `None` is the daemon's own.
    pub user: Option<(u32, u32)>,
    /// Of everything that its processes depend on: a change means a restart.
    pub digest: String,
    /// Ready when its probes say so; else when it answers, or has lived for a while.
    pub probed: bool,
    /// In the manifest and not switched off.
    pub enabled: bool,
    /// Of the one that runs another release beside the replicas.
    pub candidacy: Option<Candidacy>,
}

/// What a candidate has that a replica has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// Whose artifact it runs, whichever is current.
    pub release: ReleaseId,
    /// What `{index}` stands for: that of one more replica.
    pub index: u32,
}

impl Plan {
    pub fn name(&self) -> &AgentName {
        &self.settings.name
    }

    /// How many instances there are to be.
    pub fn replicas(&self, desire: &Desire) -> u32 {
        desire.replicas.unwrap_or(self.settings.replicas)
    }

    /// Refused where replica ports would run past the last one.
    pub fn check_replicas(&self, replicas: u32) -> Result<(), Fault> {
        if !(1..=1000).contains(&replicas) {
            return Err(Fault::usage(format!("cannot run {replicas} replicas of {}", self.name()))
                .hint("1 to 1000; `agentctl agent stop` stops all of them"));
        }
        match self.port(replicas - 1) {
            Some(None) => Err(Fault::usage(format!(
                "cannot run {replicas} replicas of {}: their ports would pass 65535",
                self.name()
            ))
            .hint("choose a lower port, or port = 0")),
            _ => Ok(()),
        }
    }

    /// The fixed port of a replica: none asked for, or `Some(None)` if it does not exist.
    #[allow(clippy::option_option)] // two questions: is there to be one, and does it exist
    pub fn port(&self, index: u32) -> Option<Option<u16>> {
        match &self.work {
            Work::Spawn(launch) => match launch.port? {
                PortChoice::From(base) => {
                    Some(u16::try_from(index).ok().and_then(|index| base.checked_add(index)))
                }
                PortChoice::Any => None,
            },
            Work::External => None,
        }
    }

    /// What the snapshot shows beside the instances.
    pub fn status(&self, desire: &Desire) -> AgentStatus {
        AgentStatus {
            name: self.name().clone(),
            kind: self.settings.kind.clone(),
            tier: self.settings.tier.clone(),
            owner: self.settings.owner.clone(),
            state: AgentState::Stopped,
            replicas: self.replicas(desire),
            depends_on: self.settings.depends_on.clone(),
            instances: Vec::new(),
        }
    }

    /// What is to set it apart from the operator; what does is looked up once it runs.
    pub fn separation(&self) -> Separation {
        if self.user.is_some() || self.work == Work::External {
            Separation::OwnUser
        } else {
            Separation::None
        }
    }
}

/// A plan for every agent, in manifest order; `uids` as granted. Refused whole: unknown kinds, bad options, cycles, users that cannot be.
/// Without `on`, the switch holds all of them off.
pub fn plans(
    settings: &Settings,
    uids: &BTreeMap<AgentName, u32>,
    on: bool,
) -> Result<Vec<Arc<Plan>>, Fault> {
    let needs: BTreeMap<_, _> =
        settings.agents.iter().map(|agent| (agent.name.clone(), agent.depends_on.clone())).collect();
    order::layers(&needs)?;
    let root = rustix::process::geteuid().is_root();
    let plan = |agent: &AgentSettings| {
        let work = runtime::of(&agent.kind)?.work(&agent.options)?;
        let user = match work {
            Work::Spawn(_) => users::resolve(&agent.name, agent.user.as_deref(), root, uids)?,
            Work::External => None,
        };
        let waits = |role| matches!(role, ProbeRole::Startup | ProbeRole::Readiness);
        let plan = Plan {
            digest: digest(agent, user)?,
            probed: runtime::probes_of(agent).iter().any(|probe| waits(probe.role)),
            enabled: on && agent.enabled && settings.agent_system == AgentSystem::On,
            settings: agent.clone(),
            work,
            user,
            candidacy: None,
        };
        plan.check_replicas(agent.replicas).map_err(|fault| Fault { kind: FaultKind::Config, ..fault })?;
        Ok(Arc::new(plan))
    };
    settings.agents.iter().map(plan).collect()
}

/// SHA-256 over what a process is started with. What only the supervisor goes by (probes, replicas, policy, timeouts)
/// is left out.
pub fn digest(agent: &AgentSettings, user: Option<(u32, u32)>) -> Result<String, Fault> {
    let parts = (1, &agent.name, &agent.kind, &agent.options, &agent.limits, user);
    let text = match &agent.artifact {
        None => serde_json::to_string(&parts),
        Some(artifact) => serde_json::to_string(&(parts, artifact)),
    };
    let text =
        text.map_err(|error| Fault::internal(format!("cannot take the digest of {}: {error}", agent.name)))?;
    let hex = ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().iter().fold(
        String::with_capacity(64),
        |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // a String takes everything
            hex
        },
    );
    Ok(hex)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Enough for the names that the tests of this room use.
    pub fn some_uids() -> BTreeMap<AgentName, u32> {
        ["a", "b", "c", "d", "same", "probed", "moved", "off", "gone", "new"]
            .iter()
            .zip(61_200..)
            .map(|(name, uid)| (name.parse().expect("a name"), uid))
            .collect()
    }

    fn settings(agents: Value) -> Settings {
        serde_json::from_value(json!({ "agent": agents })).expect("settings")
    }

    fn digest_of(agent: Value) -> String {
        plans(&settings(json!([agent])), &some_uids(), true).expect("a plan")[0].digest.clone()
    }

    #[test]
    fn the_digest_changes_with_what_a_process_is_started_with_and_nothing_else() {
        let base = json!({ "name": "a", "kind": "service", "options": { "command": ["x"], "port": 1 } });
        let with = |key: &str, value: Value| {
            let mut agent = base.clone();
            agent[key] = value;
            digest_of(agent)
        };
        let digest = digest_of(base.clone());
        for (key, value) in [
            ("options", json!({ "command": ["y"], "port": 1 })),
            ("kind", json!("process")),
            ("limits", json!({ "memory": "1MiB" })),
        ] {
            let changed = if key == "kind" {
                digest_of(json!({ "name": "a", "kind": value, "options": { "command": ["x"] } }))
            } else {
                with(key, value)
            };
            assert_ne!(changed, digest, "{key}");
        }
        for (key, value) in [
            ("replicas", json!(3)),
            ("restart", json!({ "policy": "never" })),
            ("stop_timeout", json!("1s")),
            ("probe", json!([{ "name": "p", "kind": "tcp" }])),
        ] {
            assert_eq!(with(key, value), digest, "{key}");
        }
    }

    #[test]
    fn a_fleet_with_one_bad_agent_is_refused_whole() {
        let good = json!({ "name": "a", "kind": "process", "options": { "command": ["x"] } });
        for bad in [
            json!({ "name": "b", "kind": "robot" }),
            json!({ "name": "b", "kind": "process", "options": {} }),
            json!({ "name": "b", "kind": "process", "options": { "command": ["x"] }, "depends_on": ["b"] }),
            json!({ "name": "b", "kind": "service", "options": { "command": ["x"], "port": 65535 }, "replicas": 2 }),
        ] {
            let fault = plans(&settings(json!([good, bad])), &some_uids(), true).err().expect("a fault");
            assert_eq!(fault.kind, FaultKind::Config, "{}", fault.message);
        }
    }
}
