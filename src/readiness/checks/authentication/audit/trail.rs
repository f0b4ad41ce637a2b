//! What is done through the daemon's own gate is in the trail: who, what and how it ended; and nothing else is.
#[cfg(test)]
use super::clerk::{Clerk, Manners};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AuditEntry, AuditFilter, AuditStanding, CorrelationId, Fault, Identity},
    readiness::{
        Answered, Evidence, Found, Ground, Proof, Question, ScratchFleet, Serve, Served, Stage,
        check::settle, proof::blocking, scratch_fleet::script_agent,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{fs, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// A viewer on the scratch fleet, and nobody anywhere else.
pub const VIEWER: u32 = 4_242;
/// Nobody, there too.
pub const STRANGER: u32 = 4_243;
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a row may take that nobody waits for.
const SETTLING: Duration = Duration::from_secs(2);

pub async fn effects(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => inside(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to ask"),
    }
}

pub async fn outside_effects(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => outside(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to ask"),
    }
}

/// A change in the store, refusals, and looks.
async fn inside(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    on_stage(ground, serve, json!([]), |scene| {
        Box::pin(async move {
            let mut proof = Proof::default();
            let own = rustix::process::geteuid().as_raw();
            let waiver = json!({ "check": "CF-001", "owner": "scratch", "reason": "to see it audited", "expires_in": "1h" });
            let added = scene.ask(own, None, "/v1/waivers/add", Some(waiver.clone())).await;
            let waivers = scene.fleet.store().waivers(None).await?.len();
            proof.holds(waivers == 1, format!("a waiver was added through the gate: {waivers} there"));
            scene.told(&mut proof, "adding it", &added, own, &[("waivers/add", "waiver/1", AuditStanding::Done)]).await?;
            let refused = scene.ask(VIEWER, None, "/v1/waivers/add", Some(waiver)).await;
            let refusal = [("waivers/add", "check/CF-001", AuditStanding::Refused)];
            scene.told(&mut proof, "a viewer's attempt", &refused, VIEWER, &refusal).await?;
            let none = scene.ask(own, None, "/v1/waivers/revoke", Some(json!({ "id": 77 }))).await;
            let failure = [("waivers/revoke", "waiver/77", AuditStanding::Failed)];
            scene.told(&mut proof, "revoking what is not there", &none, own, &failure).await?;
            let malformed = scene.ask(own, Some("agc_no such key"), "/v1/status", None).await;
            let refusal = [("status", "", AuditStanding::Refused)];
            scene.told(&mut proof, "a malformed key", &malformed, own, &refusal).await?;
            let look = scene.ask(own, None, "/v1/status", None).await;
            proof.holds(look.status == 200, format!("a look was answered: {}", look.status));
            scene.told(&mut proof, "a look", &look, own, &[]).await?;
            let stranger = scene.ask(STRANGER, None, "/v1/status", None).await;
            proof.holds(stranger.status == 403, format!("a stranger was refused: {}", stranger.status));
            let rows = scene.rows_of(|row| row.event.principal == format!("user:{STRANGER}"), 1).await?;
            proof.holds(
                rows.len() == 1 && rows[0].standing == AuditStanding::Refused,
                format!("the stranger left {} rows", rows.len()),
            );
            let all = scene.rows_of(|_| true, 5).await?;
            proof.holds(all.len() == 5, format!("{} rows in all, 5 are due", all.len()));
            let quoted = all.iter().any(|row| format!("{row:?}").contains("no such key"));
            proof.holds(!quoted, if quoted { "a row quotes the key" } else { "no row quotes the key" });
            Ok(proof.judge("an effect, a failure and three refusals left a row each, and a look none"))
        })
    })
    .await
}

/// A process that is stopped: the intent before, the outcome after.
async fn outside(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let agents = json!([script_agent("steady", "service", "exec sleep 600")]);
    on_stage(ground, serve, agents, |scene| {
        Box::pin(async move {
            let up = |_: &_, now: &crate::domain::InstanceStatus| now.state.is_up() && now.pid.is_some();
            if scene.fleet.instance("steady", PATIENCE, up).await.is_none() {
                return Ok(Found::error("the scratch agent did not come up"));
            }
            let mut proof = Proof::default();
            let own = rustix::process::geteuid().as_raw();
            let ask = json!({ "agents": ["steady"] });
            let stopped = scene.ask(own, None, "/v1/agents/stop", Some(ask)).await;
            proof.holds(stopped.status == 200, format!("a scratch agent was stopped: {}", stopped.status));
            let row = |standing| ("agents/stop", "agent/steady", standing);
            let due = [row(AuditStanding::Intended), row(AuditStanding::Done)];
            scene.told(&mut proof, "stopping it", &stopped, own, &due).await?;
            let nobody = scene.ask(own, None, "/v1/agents/stop", Some(json!({ "agents": ["nobody"] }))).await;
            proof.holds(nobody.status == 404, format!("stopping one that is not there: {}", nobody.status));
            let row = |standing| ("agents/stop", "agent/nobody", standing);
            let due = [row(AuditStanding::Intended), row(AuditStanding::Failed)];
            scene.told(&mut proof, "that", &nobody, own, &due).await?;
            Ok(proof.judge("what happens outside the store has its intent before it and its outcome after"))
        })
    })
    .await
}

struct Scene {
    fleet: ScratchFleet,
    served: Box<dyn Served>,
}

async fn on_stage(
    ground: &Ground,
    serve: Arc<dyn Serve>,
    agents: Value,
    act: impl for<'a> FnOnce(&'a Scene) -> BoxFuture<'a, Result<Found, Fault>>,
) -> Found {
    let exercise = async {
        let access = json!({ "viewer_users": [VIEWER.to_string()] });
        let fleet = ground.fleet(json!({ "access": access, "agent": agents }), false).await?;
        let manifest = fleet.path().join("agentd.toml");
        let path = manifest.clone();
        blocking(move || {
            fs::write(&path, "schema = 1\n")
                .map_err(|error| Fault::internal(format!("cannot write a scratch manifest: {error}")))
        })
        .await?;
        let served = serve
            .serve(Stage {
                manifest,
                settings: Arc::new(fleet.settings().clone()),
                paths: fleet.paths().clone(),
                store: fleet.store().clone(),
                supervisor: fleet.supervisor().clone(),
                clock: ground.clock(),
            })
            .await;
        let scene = Scene { fleet, served };
        let found = act(&scene).await;
        scene.served.close().await;
        scene.fleet.finish().await;
        found
    };
    settle(exercise.await)
}

impl Scene {
    async fn ask(&self, uid: u32, bearer: Option<&str>, path: &str, body: Option<Value>) -> Answered {
        let pid = i32::try_from(std::process::id()).ok();
        let identity = Identity { uid, gid: uid, pid };
        self.served
            .ask(Question { identity, bearer: bearer.map(str::to_owned), path: path.into(), body })
            .await
    }

    /// The rows of one answer are these, by this principal: action, object and standing of each, and no more.
    async fn told(
        &self,
        proof: &mut Proof,
        what: &str,
        answer: &Answered,
        uid: u32,
        due: &[(&str, &str, AuditStanding)],
    ) -> Result<(), Fault> {
        let id = answer.header("agentd-correlation").and_then(|id| id.parse::<CorrelationId>().ok());
        let Some(id) = id else {
            proof.holds(false, format!("{what} was answered without a correlation id ({})", answer.status));
            return Ok(());
        };
        let rows = self.rows_of(|row| row.event.correlation == id, due.len()).await?;
        let said = |row: &AuditEntry| {
            format!(
                "{} {} {} {}",
                row.event.principal,
                row.event.action,
                row.event.object,
                row.standing.as_str()
            )
        };
        let wanted: Vec<String> = due
            .iter()
            .map(|(action, object, standing)| format!("user:{uid} {action} {object} {}", standing.as_str()))
            .collect();
        let seen: Vec<String> = rows.iter().map(said).collect();
        let from = rows.iter().all(|row| row.event.from.contains(&format!("uid {uid} ")));
        proof.holds(
            seen == wanted && from,
            match (seen.is_empty(), wanted.is_empty()) {
                (true, true) => format!("{what} left no row"),
                (true, false) => format!("{what} left no row, due is: {}", wanted.join("; ")),
                _ => format!("{what} left: {}", seen.join("; ")),
            },
        );
        Ok(())
    }

    /// Those that pass, waiting a moment for as many as are due.
    async fn rows_of(
        &self,
        pass: impl Fn(&AuditEntry) -> bool,
        due: usize,
    ) -> Result<Vec<AuditEntry>, Fault> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let filter = AuditFilter { limit: 1_000, ..AuditFilter::default() };
            let mut rows = self.fleet.store().audit_entries(filter).await?;
            rows.retain(&pass);
            if rows.len() >= due || Instant::now() >= deadline {
                return Ok(rows);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "AU-020",
        at_work: || {
            let broken = [
                ("a daemon that writes no refusals", Manners::ForgetsRefusals),
                ("a daemon that names somebody else", Manners::NamesAnother),
                ("a daemon that writes twice", Manners::WritesTwice),
                ("a daemon that writes down every look", Manners::WritesLooks),
                ("a daemon that says done of what failed", Manners::SaysDone),
                ("a daemon that lets strangers pass unseen", Manners::OverlooksStrangers),
            ];
            tried(inside, Clerk::of(Manners::Sound), broken.map(|(what, manners)| (what, Clerk::of(manners))))
                .boxed()
        },
    },
    Saboteur {
        of: "AU-021",
        at_work: || {
            let broken = [
                ("a daemon that writes no intent", Manners::ForgetsIntents),
                ("a daemon that writes no outcome", Manners::ForgetsOutcomes),
                ("a daemon that says done of what failed", Manners::SaysDone),
                ("a daemon that names somebody else", Manners::NamesAnother),
            ];
            tried(
                outside,
                Clerk::of(Manners::Sound),
                broken.map(|(what, manners)| (what, Clerk::of(manners))),
            )
            .boxed()
        },
    },
];
