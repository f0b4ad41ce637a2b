//! The daemon's door, asked by every role.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Permission, Role},
    readiness::{Evidence, Found, Gate, GateAnswer, Proof},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::sync::Arc;

/// All that an agent may ask for, by path and not by permission: a route that is given the wrong permission would let
/// it through and call that right.
const AN_AGENTS: &[&str] = &["/v1/agents/report"];

pub async fn asked(evidence: &Evidence) -> Found {
    let Some(gate) = &evidence.gate else {
        return Found::skipped("the daemon gave no door to ask");
    };
    asked_of(gate).await
}

async fn asked_of(gate: &Arc<dyn Gate>) -> Found {
    let mut answers = Vec::new();
    for &role in Role::ALL {
        answers.extend(gate.ask(role).await.into_iter().map(|answer| (role, answer)));
    }
    judge_door(&answers)
}

fn judge_door(answers: &[(Role, GateAnswer)]) -> Found {
    let refused = answers.iter().filter(|(_, answer)| !answer.admitted).count();
    let admitted = answers.len() - refused;
    let mut proof = Proof::default();
    for (role, answer) in answers {
        // Written out here and not asked of `Role::may`, since that is what is being proved.
        let may = match role {
            Role::Admin => true,
            Role::Operator => !matches!(
                answer.needs,
                Permission::PolicyChange | Permission::DaemonControl | Permission::AccessManage
            ),
            Role::Viewer => matches!(answer.needs, Permission::FleetRead | Permission::SessionOwn),
            Role::Service => matches!(answer.needs, Permission::AccessAsk | Permission::SessionOwn),
            Role::Agent => AN_AGENTS.contains(&answer.path.as_str()),
        };
        if answer.admitted != may {
            let did = if answer.admitted { "let through to" } else { "refused at" };
            proof.holds(false, format!("{role:?} was {did} {}, which needs {:?}", answer.path, answer.needs));
        }
    }
    let agents: Vec<&str> = (answers.iter())
        .filter(|(role, answer)| *role == Role::Agent && answer.admitted)
        .map(|(_, answer)| answer.path.as_str())
        .collect();
    proof.holds(
        agents == AN_AGENTS,
        format!(
            "an agent was let through to {}",
            if agents.is_empty() { "nothing".into() } else { agents.join(", ") }
        ),
    );
    proof.holds(
        refused > 0 && admitted > 0,
        format!("{} questions at the door: {admitted} let through, {refused} refused", answers.len()),
    );
    proof.judge("every route admits who may and refuses who may not")
}

/// A door whose gate decides as it is told to.
#[cfg(test)]
struct Told {
    routes: &'static [(&'static str, Permission)],
    admits: fn(Role, Permission) -> bool,
}

#[cfg(test)]
impl Gate for Told {
    fn ask(&self, role: Role) -> futures_util::future::BoxFuture<'_, Vec<GateAnswer>> {
        let answer = |(path, needs): &(&str, Permission)| GateAnswer {
            path: (*path).into(),
            needs: *needs,
            admitted: (self.admits)(role, *needs),
        };
        let answers = self.routes.iter().map(answer).collect();
        async move { answers }.boxed()
    }
}

#[cfg(test)]
const ROUTES: &[(&str, Permission)] = &[
    ("/v1/status", Permission::FleetRead),
    ("/v1/agents/stop", Permission::AgentControl),
    ("/v1/agents/report", Permission::AgentReport),
    ("/v1/readiness/run", Permission::ReadinessRun),
    ("/v1/config/reload", Permission::PolicyChange),
    ("/v1/daemon/stop", Permission::DaemonControl),
];

#[cfg(test)]
async fn at_the_door(_: &crate::readiness::Ground, gate: Arc<dyn Gate>) -> Found {
    asked_of(&gate).await
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-004",
    at_work: || {
        let door = |routes, admits| Arc::new(Told { routes, admits }) as Arc<dyn Gate>;
        let broken = [
            ("a gate that lets everybody in", door(ROUTES, |_, _| true)),
            ("a gate that lets nobody in", door(ROUTES, |_, _| false)),
            ("a door without routes", door(&[], Role::may)),
            ("a gate that lets an agent look around", {
                door(ROUTES, |role, needs| {
                    role.may(needs) || role == Role::Agent && needs == Permission::FleetRead
                })
            }),
            ("a gate that lets an agent stop others", {
                door(ROUTES, |role, needs| {
                    role.may(needs) || role == Role::Agent && needs == Permission::AgentControl
                })
            }),
            ("a gate that lets an agent validate", {
                door(ROUTES, |role, needs| {
                    role.may(needs) || role == Role::Agent && needs == Permission::ReadinessRun
                })
            }),
            ("a gate that keeps agents from reporting", {
                door(ROUTES, |role, needs| role.may(needs) && role != Role::Agent)
            }),
            ("a gate that lets viewers act", {
                door(ROUTES, |role, needs| {
                    role.may(needs) || role == Role::Viewer && needs == Permission::AgentControl
                })
            }),
            ("a gate that lets operators change policy", {
                door(ROUTES, |role, needs| {
                    role.may(needs) || role == Role::Operator && needs == Permission::PolicyChange
                })
            }),
            ("a route that stops agents and needs no more than a report", {
                const LOOSE: &[(&str, Permission)] = &[
                    ("/v1/status", Permission::FleetRead),
                    ("/v1/agents/report", Permission::AgentReport),
                    ("/v1/agents/stop", Permission::AgentReport),
                ];
                door(LOOSE, Role::may)
            }),
        ];
        tried(at_the_door, door(ROUTES, Role::may), broken).boxed()
    },
};
