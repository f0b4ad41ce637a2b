//! A scratch fleet's daemon, and people with quotas of their own who ask it.
use crate::{
    domain::{Fault, Identity},
    readiness::{Answered, Ground, Question, ScratchFleet, Serve, Served, Stage},
    resilience::Clock,
    store::Store,
};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// Two uids of nobody that matters: scratch operators by number.
pub const BOUNDED: u32 = 4242;
pub const OTHER: u32 = 4243;
const CALLERS: usize = 32;

pub struct Scene {
    fleet: ScratchFleet,
    clock: Clock,
}

impl Scene {
    /// `quotas` is the table of that name.
    pub async fn new(ground: &Ground, quotas: Value) -> Result<Self, Fault> {
        let users = [BOUNDED, OTHER].map(|uid| uid.to_string());
        let overlay = json!({ "access": { "operator_users": users }, "quotas": quotas });
        let fleet = ground.fleet(overlay, false).await?;
        Ok(Self { fleet, clock: half_past(ground.clock().now()) })
    }

    pub fn store(&self) -> Store {
        self.fleet.store().clone()
    }

    /// A daemon over this store, as it comes up: it knows what the store knows.
    pub async fn serve(&self, serve: &Arc<dyn Serve>, store: Store) -> Box<dyn Served> {
        let stage = Stage {
            manifest: self.fleet.path().join("agentd.toml"),
            settings: Arc::new(self.fleet.settings().clone()),
            paths: self.fleet.paths().clone(),
            store,
            supervisor: self.fleet.supervisor().clone(),
            clock: self.clock.clone(),
        };
        serve.serve(stage).await
    }

    pub async fn finish(self) {
        self.fleet.finish().await;
    }
}

/// The middle of an hour, so that no border is crossed in mid-exercise.
fn half_past(now: Timestamp) -> Clock {
    let into = SignedDuration::from_secs(now.as_second().rem_euclid(3600));
    let half = SignedDuration::from_mins(30);
    Clock::anchored(now.checked_sub(into).and_then(|hour| hour.checked_add(half)).unwrap_or(now))
}

/// Something that counts, changes nothing, and is answered with 404: the end of a waiver that is not there.
pub async fn ask(daemon: &dyn Served, uid: u32) -> Answered {
    let (path, body) = ("/v1/waivers/revoke".into(), Some(json!({ "id": 0 })));
    daemon.ask(Question { identity: identity(uid), bearer: None, path, body }).await
}

/// A look, with or without a key.
pub async fn look(daemon: &dyn Served, uid: u32, bearer: Option<&str>) -> Answered {
    let (path, bearer) = ("/v1/quotas/list".into(), bearer.map(str::to_owned));
    daemon.ask(Question { identity: identity(uid), bearer, path, body: None }).await
}

/// So many requests by 32 callers at once.
pub async fn crowd(daemon: &dyn Served, uid: u32, requests: usize) -> Vec<Answered> {
    let callers = (0..CALLERS).map(|caller| async move {
        let mine = requests / CALLERS + usize::from(caller < requests % CALLERS);
        let mut answers = Vec::with_capacity(mine);
        for _ in 0..mine {
            answers.push(ask(daemon, uid).await);
        }
        answers
    });
    join_all(callers).await.into_iter().flatten().collect()
}

pub fn served(answer: &Answered) -> bool {
    answer.status == 404
}

pub fn refused(answer: &Answered) -> bool {
    answer.status == 429
}

pub fn figure(answer: &Answered, header: &str) -> Option<u64> {
    answer.header(header)?.parse().ok()
}

fn identity(uid: u32) -> Identity {
    Identity { uid, gid: uid, pid: i32::try_from(std::process::id()).ok() }
}
