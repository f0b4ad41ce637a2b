//! May it? Every application role and permission, asked of the daemon's own router on a scratch fleet: what is
//! granted, what is not, whose data it is, who may ask, and the row that each answer leaves.
use super::asking::{self, Asked, Asker};
#[cfg(test)]
use super::fake_router::{Broken, FakeRouter};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AuditOutcome, Fault},
    readiness::{Evidence, Found, Ground, Proof, ScratchFleet, Serve, Served, check::settle},
};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Asked of the table that serves, it would prove nothing: so it is written out once more, by permission. `system` has
/// them all.
const MATRIX: &[(&str, &[&str])] = &[
    ("read_client_data", &["conversation", "analytics", "support", "readonly"]),
    ("write_client_data", &[]),
    ("delete_client_data", &[]),
    ("read_appointments", &["conversation", "analytics", "support", "readonly"]),
    ("create_appointments", &["conversation"]),
    ("modify_appointments", &["conversation"]),
    ("cancel_appointments", &[]),
    ("read_payments", &["analytics", "support"]),
    ("process_payments", &[]),
    ("refund_payments", &[]),
    ("send_emails", &["conversation", "support"]),
    ("send_sms", &["conversation"]),
    ("send_notifications", &["conversation"]),
    ("read_analytics", &["analytics", "readonly"]),
    ("generate_reports", &["analytics"]),
    ("access_logs", &["support"]),
    ("manage_agents", &[]),
    ("system_config", &[]),
];
const ROLES: &[&str] = &["system", "conversation", "analytics", "support", "readonly"];
const PATH: &str = "/v1/auth/can";

pub async fn decided(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => exercise(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to ask"),
    }
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let exercise = async {
        let overlay = json!({ "access": Asker::access(), "role": roles(), "agent": agents() });
        let fleet = ground.fleet(overlay, false).await?;
        let served = asking::open(ground, &fleet, serve).await;
        let judged = ask_all(&*served, &fleet).await;
        served.close().await;
        fleet.finish().await;
        judged
    };
    settle(exercise.await)
}

async fn ask_all(served: &dyn Served, fleet: &ScratchFleet) -> Result<Found, Fault> {
    let mut proof = Proof::default();
    let pairs = pairs();
    let bodies = pairs.iter().map(|(permission, role)| may(role, permission, None)).collect();
    let answers = asked(served, bodies).await;
    let mut given = 0;
    for ((permission, role), answer) in pairs.iter().zip(&answers) {
        let wanted = *role == "system" || has(permission, role);
        given += usize::from(answer.body["allowed"] == true);
        if answer.status != 200 || answer.body["allowed"] != wanted {
            let should = if wanted { "has it" } else { "does not have it" };
            proof.holds(false, format!("{permission} for role {role}, which {should}: {}", answer.said()));
        }
    }
    let lines: usize = ROLES.len() * MATRIX.len();
    proof.holds(
        answers.len() == lines && given > 0 && given < lines,
        format!("{lines} questions of role and permission: {given} allowed, {} not", lines - given),
    );
    let others = asked(served, OTHERS.iter().map(Other::body).collect()).await;
    for (other, answer) in OTHERS.iter().zip(&others) {
        let held = answer.status == 200
            && answer.body["allowed"] == (other.why == "granted")
            && answer.body["why"] == other.why;
        proof.holds(held, format!("{}: {}", other.what, answer.said()));
    }
    for (what, body) in unreadable() {
        let answer = Asker::Operator.write(served, PATH, body).await;
        proof.holds(answer.status == 400, format!("{what}: {}", answer.said()));
    }
    for asker in [Asker::Viewer, Asker::Stranger] {
        let answer = asker.write(served, PATH, may("system", "read_analytics", None)).await;
        proof.holds(answer.status == 403, format!("asked by {asker}: {}", answer.said()));
    }
    recorded(&mut proof, fleet, answers.iter().chain(&others)).await?;
    Ok(proof.judge(format!("{lines} pairs of role and permission are decided as written down, and recorded")))
}

/// As an operator, each body.
async fn asked(served: &dyn Served, bodies: Vec<Value>) -> Vec<Asked> {
    let mut questions = Vec::with_capacity(bodies.len());
    for body in bodies {
        questions.push(Asker::Operator.write(served, PATH, body).boxed());
    }
    asking::answers(questions).await
}

fn pairs() -> Vec<(&'static str, &'static str)> {
    let roles = |permission: &'static str| ROLES.iter().map(move |role| (permission, *role));
    MATRIX.iter().flat_map(|(permission, _)| roles(permission)).collect()
}

fn has(permission: &str, role: &str) -> bool {
    MATRIX.iter().any(|(known, roles)| *known == permission && roles.contains(&role))
}

/// One agent a role, and those that the other questions are about. None is ever started.
fn agents() -> Vec<Value> {
    let agent = |name: &str, role: Option<&str>, clients: Value| {
        json!({
            "name": name, "kind": "process", "enabled": false, "user": "inherit",
            "role": role, "clients": clients, "options": { "command": ["/bin/false"] },
        })
    };
    let whole = ROLES.iter().map(|role| agent(role, Some(role), json!("all")));
    let some = [
        agent("some", Some("support"), json!(["ana", "o'hara", "50%"])),
        agent("nobodys", Some("support"), Value::Null),
        agent("desk", Some("front-desk"), json!("all")),
        agent("none", None, Value::Null),
        agent("orphan", Some("no-such-role"), json!("all")),
    ];
    whole.chain(some).collect()
}

/// One of the file's own, and one that the loader would refuse: whatever a file says, what ships stays what it is.
fn roles() -> Value {
    json!([
        { "name": "front-desk", "permissions": ["cancel_appointments", "access_logs"] },
        { "name": "readonly", "permissions": ["system_config"] },
    ])
}

fn may(agent: &str, permission: &str, client: Option<&str>) -> Value {
    json!({ "principal": format!("agent:{agent}"), "permission": permission, "client": client })
}

/// A question beside those of the matrix, and its answer.
struct Other {
    what: &'static str,
    principal: &'static str,
    permission: &'static str,
    client: Option<&'static str>,
    why: &'static str,
}

impl Other {
    fn body(&self) -> Value {
        json!({ "principal": self.principal, "permission": self.permission, "client": self.client })
    }
}

const fn other(
    what: &'static str,
    principal: &'static str,
    permission: &'static str,
    client: Option<&'static str>,
    why: &'static str,
) -> Other {
    Other { what, principal, permission, client, why }
}

const OTHERS: &[Other] = &[
    other("a client that it is granted", "agent:some", "read_payments", Some("o'hara"), "granted"),
    other("a client of another", "agent:some", "read_payments", Some("bo"), "client-not-granted"),
    other("the same in other letters", "agent:some", "read_payments", Some("Ana"), "client-not-granted"),
    other(
        "a client that a pattern would match",
        "agent:some",
        "read_payments",
        Some("50"),
        "client-not-granted",
    ),
    other("no client named", "agent:some", "read_payments", None, "client-not-named"),
    other("figures, which are no client's", "agent:some", "access_logs", None, "granted"),
    other("a client, granted none", "agent:nobodys", "read_payments", Some("ana"), "client-not-granted"),
    other("a custom role has it", "agent:desk", "cancel_appointments", Some("ana"), "granted"),
    other("a custom role has it not", "agent:desk", "read_client_data", Some("ana"), "role-lacks-permission"),
    other("an agent without a role", "agent:none", "read_analytics", None, "no-role"),
    other("a role that is not there", "agent:orphan", "read_analytics", None, "unknown-role"),
    other("an agent that is not there", "agent:ghost", "read_analytics", None, "unknown-principal"),
    other("a service without a key", "service:ghost", "read_analytics", None, "unknown-principal"),
    other("root, a person", "user:0", "system_config", None, "no-role"),
];

fn unreadable() -> [(&'static str, Value); 4] {
    [
        ("a permission that there is not", may("system", "read_client", None)),
        ("a permission of agentd itself", may("system", "daemon.control", None)),
        ("a principal that is none", json!({ "principal": "system", "permission": "read_analytics" })),
        ("a client without an id", may("system", "read_client_data", Some(""))),
    ]
}

/// Each answer has a row that says the same.
async fn recorded<'a>(
    proof: &mut Proof,
    fleet: &ScratchFleet,
    answers: impl Iterator<Item = &'a Asked>,
) -> Result<(), Fault> {
    let rows = fleet.store().audit_events(0, 10_000).await?;
    let row = |of: &crate::domain::AuditEvent| (of.object.clone(), of.outcome == AuditOutcome::Done);
    let rows: BTreeSet<(String, bool)> =
        rows.iter().filter(|row| row.action == "auth/can").map(row).collect();
    let (mut count, mut missing) = (0, 0);
    for answer in answers {
        let text = |key: &str| answer.body[key].as_str().unwrap_or_default().to_owned();
        let client = answer.body["client"].as_str().map(|id| format!(" of client {id}"));
        let object = format!("{} {}{}", text("principal"), text("permission"), client.unwrap_or_default());
        count += 1;
        missing += usize::from(!rows.contains(&(object, answer.body["allowed"] == true)));
    }
    proof.holds(missing == 0, format!("{count} answers, {missing} without a row in the audit trail"));
    Ok(())
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-010",
    at_work: || {
        let router = |broken| Arc::new(FakeRouter(broken)) as Arc<dyn Serve>;
        let broken = Broken::OF_DECISIONS.iter().map(|(what, broken)| (*what, router(*broken)));
        tried(exercise, router(Broken::Nothing), broken.collect::<Vec<_>>()).boxed()
    },
};
