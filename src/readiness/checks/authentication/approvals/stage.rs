//! A scratch daemon whose manifest makes `waivers/add` wait for somebody's yes, and the people who ask it.
use crate::{
    domain::{Fault, Identity, Period},
    readiness::{
        Answered, Ground, Question, ScratchFleet, Serve, Served, Stage, scratch_fleet::script_agent,
    },
};
use serde_json::{Value, json};
use std::{os::unix::fs::MetadataExt, sync::Arc, time::Duration};

/// No person here: scratch settings alone make operators of them.
pub const GIVER: u32 = 54_242;
pub const OTHER: u32 = 54_243;

pub const OK: u16 = 200;
pub const FORBIDDEN: u16 = 403;
pub const NOT_FOUND: u16 = 404;
pub const CONFLICT: u16 = 409;
pub const REFUSED: u16 = 412;

const COMES_UP: Duration = Duration::from_secs(10);

pub struct Desk {
    fleet: ScratchFleet,
    ground: Ground,
    serve: Arc<dyn Serve>,
    served: Box<dyn Served>,
}

impl Desk {
    /// `user` of its one agent, if it has one.
    pub async fn open(
        ground: &Ground,
        serve: &Arc<dyn Serve>,
        user: Option<&str>,
        valid_for: Period,
    ) -> Result<Self, Fault> {
        let agents: Vec<Value> = user
            .map(|user| {
                let mut agent = script_agent("proposer", "service", "exec sleep 600");
                agent["user"] = user.into();
                agent
            })
            .into_iter()
            .collect();
        let overlay = json!({
            "access": { "operator_users": [GIVER.to_string(), OTHER.to_string()] },
            "approvals": { "required": ["waivers/add"], "valid_for": valid_for.to_string() },
            "agent": agents,
        });
        let fleet = ground.fleet(overlay, false).await?;
        let served = serve.serve(stage(&fleet, ground)).await;
        Ok(Self { fleet, ground: ground.clone(), serve: Arc::clone(serve), served })
    }

    /// Another daemon over the same store, as after a restart.
    pub async fn reopened(mut self) -> Self {
        self.served.close().await;
        self.served = self.serve.serve(stage(&self.fleet, &self.ground)).await;
        self
    }

    pub async fn close(self) {
        self.served.close().await;
        self.fleet.finish().await;
    }

    /// What the kernel would say of the scratch agent's process. None if it did not come up.
    pub async fn agent(&self) -> Option<Identity> {
        let up = self.fleet.instance("proposer", COMES_UP, |_, now| now.state.is_up() && now.pid.is_some());
        let pid = up.await?.pid?;
        let about = std::fs::metadata(format!("/proc/{pid}")).ok()?;
        Some(Identity { uid: about.uid(), gid: about.gid(), pid: Some(pid) })
    }

    /// Asks for a waiver: what needs an approval here. `reason` makes it one exact action.
    pub async fn act(&self, who: Identity, reason: &str) -> u16 {
        let body = json!({ "check": "CF-001", "owner": "scratch", "reason": reason, "expires_in": "1h" });
        self.post(who, "waivers/add", body).await.status
    }

    /// How many of those happened.
    pub async fn effects(&self) -> usize {
        let list = self.get("waivers/list?all=true").await;
        list.body["waivers"].as_array().map_or(usize::MAX, Vec::len)
    }

    /// The newest approval there is, whatever became of it.
    pub async fn newest(&self) -> Option<u64> {
        self.get("approvals/list?all=true").await.body["approvals"][0]["id"].as_u64()
    }

    pub async fn state(&self, id: u64) -> Option<String> {
        let shown = self.get(&format!("approvals/show?id={id}")).await;
        shown.body["state"].as_str().map(str::to_owned)
    }

    pub async fn give(&self, who: Identity, id: u64) -> u16 {
        self.post(who, "approvals/give", json!({ "id": id })).await.status
    }

    pub async fn post(&self, identity: Identity, name: &str, body: Value) -> Answered {
        let path = format!("/v1/{name}");
        self.served.ask(Question { identity, bearer: None, path, body: Some(body) }).await
    }

    async fn get(&self, name: &str) -> Answered {
        let path = format!("/v1/{name}");
        self.served.ask(Question { identity: asker(), bearer: None, path, body: None }).await
    }
}

/// The daemon's own user: an administrator.
pub fn asker() -> Identity {
    person(rustix::process::geteuid().as_raw())
}

/// A process of that user that belongs to no agent.
pub fn person(uid: u32) -> Identity {
    Identity { uid, gid: uid, pid: Some(std::process::id().cast_signed()) }
}

pub fn hour() -> Period {
    Period::secs(3600)
}

fn stage(fleet: &ScratchFleet, ground: &Ground) -> Stage {
    Stage {
        manifest: fleet.path().join("agentd.toml"),
        settings: Arc::new(fleet.settings().clone()),
        paths: fleet.paths().clone(),
        store: fleet.store().clone(),
        supervisor: fleet.supervisor().clone(),
        clock: ground.clock(),
    }
}
