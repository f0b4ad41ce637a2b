//! agentd's own roles: every route of the daemon's own router, asked by whom [access] maps to each role, by whom it maps
//! to none, and by an agent.
use super::asking::{self, Asked, Asker};
#[cfg(test)]
use super::fake_router::{Broken, FakeRouter};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AuditOutcome, Fault, Permission, Principal, Role},
    readiness::{Evidence, Found, Gate, Ground, Proof, ScratchFleet, Serve, Served, check::settle},
};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

const AGENT: &str = "scratch-agent";
/// All that an agent may ask for, by path.
const AN_AGENTS: &[&str] = &["/v1/agents/report"];

pub async fn enforced(evidence: &Evidence) -> Found {
    match (evidence.serve.clone(), evidence.gate.clone()) {
        (Some(serve), Some(gate)) => exercise(&evidence.ground, (serve, gate)).await,
        _ => Found::skipped("the daemon gave no router to ask"),
    }
}

async fn exercise(ground: &Ground, (serve, gate): (Arc<dyn Serve>, Arc<dyn Gate>)) -> Found {
    let exercise = async {
        let agent = json!({
            "name": AGENT, "kind": "process", "enabled": false, "options": { "command": ["/bin/false"] },
        });
        let fleet = ground.fleet(json!({ "access": Asker::access(), "agent": [agent] }), false).await?;
        let served = asking::open(ground, &fleet, serve).await;
        let judged = ask_all(&*served, &*gate, &fleet).await;
        served.close().await;
        fleet.finish().await;
        judged
    };
    settle(exercise.await)
}

async fn ask_all(served: &dyn Served, gate: &dyn Gate, fleet: &ScratchFleet) -> Result<Found, Fault> {
    let mut askers = vec![
        Asker::Admin,
        Asker::Operator,
        Asker::Viewer,
        Asker::OperatorByGroup,
        Asker::ViewerByGroup,
        Asker::Stranger,
    ];
    // Only root gives agents a uid of their own; without one, nobody can be told for an agent here.
    let uids = fleet.store().kept_of_agents().await?.uids;
    askers
        .extend(uids.iter().find(|grant| grant.agent.as_str() == AGENT).map(|grant| Asker::Agent(grant.uid)));

    let routes: Vec<(String, Permission)> =
        gate.ask(Role::Admin).await.into_iter().map(|answer| (answer.path, answer.needs)).collect();
    let pairs: Vec<(Asker, &str, Permission)> = askers
        .iter()
        .flat_map(|asker| routes.iter().map(|(path, needs)| (*asker, path.as_str(), *needs)))
        .collect();
    let mut questions = Vec::with_capacity(pairs.len());
    for (asker, path, _) in &pairs {
        questions.push(question(served, *asker, path).boxed());
    }
    let answers = asking::answers(questions).await;

    let mut proof = Proof::default();
    let (mut admitted, mut refused) = (0, Vec::new());
    for ((asker, path, needs), answer) in pairs.iter().zip(&answers) {
        let through = !matches!(answer.status, 401 | 403);
        if through != may(*asker, path, *needs) {
            let did = if through { "let through to" } else { "refused at" };
            let line = format!("{asker} was {did} {path}, which needs {needs}: {}", answer.said());
            proof.holds(false, line);
        }
        if matches!(answer.status, 405 | 429 | 500..) {
            return Err(Fault::internal(format!("cannot ask {path} as {asker}: {}", answer.said())));
        }
        if through {
            admitted += 1;
        } else {
            refused.push((*asker, *path));
        }
    }
    proof.holds(
        admitted > 0 && !refused.is_empty(),
        format!(
            "{} questions at {} routes: {admitted} let through, {} refused",
            answers.len(),
            routes.len(),
            refused.len()
        ),
    );
    if askers.len() == 6 {
        proof.holds(true, "not as root: no agent has a uid of its own here, so none was asked");
    }
    recorded(&mut proof, fleet, &refused).await?;
    Ok(proof.judge("each role reaches what it may, and nobody else reaches anything"))
}

/// A request that no handler acts on: a query that says nothing, or a body that is not a table.
async fn question(served: &dyn Served, asker: Asker, path: &str) -> Asked {
    let asked = asker.read(served, path).await;
    if asked.status == 405 { asker.write(served, path, Value::from("nothing")).await } else { asked }
}

/// Written out here and not asked of `Role::may`, since that is what is being proved.
fn may(asker: Asker, path: &str, needs: Permission) -> bool {
    match asker {
        Asker::Admin => true,
        Asker::Operator | Asker::OperatorByGroup => {
            !matches!(needs, Permission::PolicyChange | Permission::DaemonControl | Permission::AccessManage)
        }
        Asker::Viewer | Asker::ViewerByGroup => {
            matches!(needs, Permission::FleetRead | Permission::SessionOwn)
        }
        Asker::Stranger => false,
        Asker::Agent(_) => AN_AGENTS.contains(&path),
    }
}

/// Whoever is known and was refused has a row that says so.
async fn recorded(proof: &mut Proof, fleet: &ScratchFleet, refused: &[(Asker, &str)]) -> Result<(), Fault> {
    let rows = fleet.store().audit_events(0, 10_000).await?;
    let rows: BTreeSet<(String, String)> = rows
        .into_iter()
        .filter(|row| row.outcome == AuditOutcome::Refused)
        .map(|row| (row.principal, row.action))
        .collect();
    let principal = |asker: Asker| match asker {
        Asker::Agent(_) => format!("agent:{AGENT}"),
        _ => Principal::user(asker.identity().uid).to_string(),
    };
    let known: Vec<_> = refused.iter().filter(|(asker, _)| *asker != Asker::Stranger).collect();
    let missing = known.iter().filter(|(asker, path)| {
        let action = path.trim_start_matches("/v1/").to_owned();
        !rows.contains(&(principal(*asker), action))
    });
    let missing = missing.count();
    proof.holds(
        missing == 0 && !known.is_empty(),
        format!(
            "{} refusals of whom the daemon knows, {missing} without a row in the audit trail",
            known.len()
        ),
    );
    Ok(())
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-011",
    at_work: || {
        let router = |broken| {
            let router = Arc::new(FakeRouter(broken));
            (Arc::clone(&router) as Arc<dyn Serve>, router as Arc<dyn Gate>)
        };
        // Nobody but root has agents with a uid of their own, and so an agent to ask as.
        let as_root = rustix::process::geteuid().is_root();
        let agents = as_root.then_some(("agents who look around", Broken::AgentsLook));
        let broken = Broken::OF_ROUTES.iter().copied().chain(agents);
        let broken = broken.map(|(what, broken)| (what, router(broken)));
        tried(exercise, router(Broken::Nothing), broken.collect::<Vec<_>>()).boxed()
    },
};
