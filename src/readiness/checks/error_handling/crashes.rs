//! A scratch agent dies of a database error and prints secrets as it does: what is written down of that.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, ErrorFilter, ErrorGroup, Fault, FaultCategory, Occurrence, SpikeRule},
    readiness::{Evidence, Found, Ground, Proof, ScratchFleet, check::settle, scratch_fleet::script_agent},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;
use std::{fs, time::Duration};

const PATIENCE: Duration = Duration::from_secs(15);
/// Of no shape: only who gave it to the agent can know it.
const GIVEN: &str = "correct horse battery staple";
const SHAPED: &str = "postgres://app:Planted7pw@db.internal/orders";

/// What is kept of the crash; the daemon's own way is `KEPT`.
type Look = for<'a> fn(&'a ScratchFleet, &'a Ground) -> BoxFuture<'a, Result<Kept, Fault>>;
type Kept = Vec<(ErrorGroup, Vec<Occurrence>)>;
const KEPT: Look = |fleet, ground| kept(fleet, ground).boxed();

pub async fn recorded(evidence: &Evidence) -> Found {
    exercise(&evidence.ground, KEPT).await
}

async fn exercise(ground: &Ground, look: Look) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let file = plot.path().join("secret");
        fs::write(&file, GIVEN)
            .map_err(|error| Fault::internal(format!("cannot write a scratch secret: {error}")))?;
        let script = format!(
            "echo \"psycopg2.OperationalError: no connection to {SHAPED} for $DB_PASSWORD\" >&2; exit 3"
        );
        let mut agent = script_agent("faulty", "service", &script);
        agent["restart"] = json!({ "policy": "never" });
        agent["options"]["environment"] = json!({ "DB_PASSWORD": format!("file:{}", file.display()) });
        let fleet = ground.fleet(json!({ "agent": [agent] }), false).await?;
        let dead = fleet.instance("faulty", PATIENCE, |_, now| now.state == AgentState::Failed).await;
        let Some(dead) = dead else { return Ok(Found::error("the scratch agent did not end")) };
        let kept = look(&fleet, ground).await?;
        let mut proof = Proof::default();
        judge(&mut proof, &kept);
        let shown = serde_json::to_string(&dead).unwrap_or_default();
        proof.holds(!leaks(&shown), "the status of the agent shows neither secret");
        let events = fleet.store().events(0, 100).await?;
        let clean = !events.iter().any(|event| leaks(&event.text));
        proof.holds(clean && !events.is_empty(), format!("neither secret is in {} events", events.len()));
        fleet.finish().await;
        Ok(proof.judge("a crash was recorded once, by its class, and without its secrets"))
    };
    settle(exercise.await)
}

async fn kept(fleet: &ScratchFleet, ground: &Ground) -> Result<Kept, Fault> {
    fleet.errors().flush().await;
    let (now, rule) = (ground.clock().now(), SpikeRule { minimum: 10, factor: 5.0 });
    let all = ErrorFilter { all: true, ..ErrorFilter::default() };
    let mut kept = Vec::new();
    for group in fleet.store().error_groups(all, now, rule, 100).await? {
        kept.extend(fleet.store().error_group(group.id, now, rule).await?);
    }
    Ok(kept)
}

fn judge(proof: &mut Proof, kept: &Kept) {
    let crashes: Vec<_> = kept.iter().filter(|(group, _)| group.alike.operation == "agent.crash").collect();
    let count: u64 = crashes.iter().map(|(group, _)| group.count).sum();
    proof.holds(count == 1, format!("one crash was recorded {count} times"));
    let Some((group, occurrences)) = crashes.first() else { return };
    let category = group.alike.category;
    proof.holds(
        category == FaultCategory::Database,
        format!("a database error is in the category {category}"),
    );
    let agent = group.alike.agent.as_ref().map_or("nobody", |agent| agent.as_str());
    proof.holds(agent == "faulty", format!("it is said to be of {agent}"));
    let instances = occurrences.iter().filter(|one| one.instance.is_some()).count();
    proof.holds(instances == 1, "its occurrence names the instance");
    let text = serde_json::to_string(kept).unwrap_or_default();
    proof.holds(
        !leaks(&text) && text.contains("psycopg2"),
        "what it printed is kept without the password in its URL and the secret that it was given",
    );
}

fn leaks(text: &str) -> bool {
    text.contains("Planted7pw") || text.contains(GIVEN)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "EH-021",
    at_work: || {
        let nobody: Look = |_, _| async { Ok(Vec::new()) }.boxed();
        let leaky: Look = |fleet, ground| spoilt(fleet, ground, |kept| kept[0].1[0].context = SHAPED.into());
        let told: Look = |fleet, ground| spoilt(fleet, ground, |kept| kept[0].0.message = GIVEN.into());
        let other: Look =
            |fleet, ground| spoilt(fleet, ground, |kept| kept[0].0.alike.category = FaultCategory::Agent);
        let twice: Look = |fleet, ground| spoilt(fleet, ground, |kept| kept[0].0.count = 2);
        let broken = [
            ("a crash that nobody records", nobody),
            ("a record that keeps a password", leaky),
            ("a record that keeps a secret of the manifest", told),
            ("a crash without its class", other),
            ("a crash that is recorded twice", twice),
        ];
        tried(exercise, KEPT, broken).boxed()
    },
};

#[cfg(test)]
fn spoilt<'a>(
    fleet: &'a ScratchFleet,
    ground: &'a Ground,
    spoil: fn(&mut Kept),
) -> BoxFuture<'a, Result<Kept, Fault>> {
    async move {
        let mut kept = kept(fleet, ground).await?;
        spoil(&mut kept);
        Ok(kept)
    }
    .boxed()
}
