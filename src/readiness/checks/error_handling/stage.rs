//! What the exercises of this category share: a declared check of kind http on the terms of a policy, as `validate`
//! itself asks one, and a local server that fails as it is told to.
use crate::{
    config::{CheckSettings, Settings},
    domain::{Fault, FleetSnapshot, Outcome},
    health::terms,
    readiness::{
        Found,
        declared::{Ask, Scene, by_policy, compile},
        faults::{FaultServer, Manner},
    },
    resilience::{Clock, Policy},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{sync::Mutex, time::Duration};

/// What the scratch policy is called.
pub const NAME: &str = "proof";
/// Never opens within an exercise that is about something else.
pub const NEVER: u32 = 100_000;

/// One dependency: the server, the policy and the check that asks it.
pub struct Stage {
    pub server: FaultServer,
    pub policy: Policy,
    settings: CheckSettings,
    check: Box<dyn Ask>,
    fleet: FleetSnapshot,
}

impl Stage {
    /// `policy` is what would stand under `[policy.proof]`.
    pub async fn new(manner: Manner, policy: &Value, clock: Clock) -> Result<Self, Fault> {
        let server = server(manner).await?;
        let broken = |what: &str| Fault::internal(format!("cannot set the stage: {what}"));
        let settings = settings(policy)?;
        let policy = Policy::new(NAME, terms(&settings.policy(NAME, None)), clock);
        let options = json!({ "url": server.url() });
        let check = compile("http", &options).map_err(|_| broken("the scratch check does not compile"))?;
        let settings = serde_json::from_value(json!({
            "id": "APP-proof", "title": "a scratch server answers", "kind": "http", "category": "error-handling",
            "policy": NAME, "timeout": "5s", "options": options,
        }))
        .map_err(|error| broken(&error.to_string()))?;
        Ok(Self { server, policy, settings, check, fleet: FleetSnapshot::default() })
    }

    /// Asks once, on the policy's terms: attempts, breaker and all.
    pub async fn ask(&self) -> Found {
        let scene = Scene {
            check: &self.settings.id,
            judged_at: Clock::system().now(),
            fleet: &self.fleet,
            agents: &[],
            said: Mutex::default(),
        };
        by_policy(&self.policy, &self.settings, &*self.check, &scene).await
    }

    pub async fn passes(&self) -> bool {
        self.ask().await.outcome == Outcome::Pass
    }

    /// So many at the same time.
    pub async fn asked_by(&self, many: usize) -> Vec<Found> {
        join_all((0..many).map(|_| self.ask())).await
    }

    /// How often the server was asked.
    pub fn hits(&self) -> usize {
        self.server.hits().len()
    }

    /// The times between one request and the next.
    pub fn gaps(&self) -> Vec<Duration> {
        self.server.hits().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// Settings with this under `[policy.proof]`.
pub fn settings(policy: &Value) -> Result<Settings, Fault> {
    serde_json::from_value(json!({ "policy": { NAME: policy } }))
        .map_err(|error| Fault::internal(format!("cannot read scratch settings: {error}")))
}

pub async fn server(manner: Manner) -> Result<FaultServer, Fault> {
    FaultServer::start(manner)
        .await
        .map_err(|error| Fault::internal(format!("cannot start a local server: {error}")))
}

pub fn millis(gaps: &[Duration]) -> String {
    let gaps: Vec<String> = gaps.iter().map(|gap| gap.as_millis().to_string()).collect();
    format!("{} ms", gaps.join(", "))
}

pub const SHORTENED: &str = "scratch intervals, shortened for the proof";
