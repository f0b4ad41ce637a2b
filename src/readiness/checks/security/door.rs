//! The daemon's door, asked by every role.
use crate::{
    domain::{Permission, Role},
    readiness::{Evidence, Found, GateAnswer, Proof},
};

pub async fn asked(evidence: &Evidence) -> Found {
    let Some(gate) = &evidence.gate else {
        return Found::skipped("the daemon gave no door to ask");
    };
    let mut answers = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin, Role::Agent] {
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
        let may = match (role, answer.needs) {
            (Role::Admin, _) | (Role::Operator | Role::Viewer, Permission::FleetRead) => true,
            (Role::Operator, needs) => !matches!(needs, Permission::PolicyChange | Permission::DaemonControl),
            (Role::Agent, needs) => needs == Permission::AgentReport,
            (Role::Viewer, _) => false,
        };
        if answer.admitted != may {
            let did = if answer.admitted { "let through to" } else { "refused at" };
            proof.holds(false, format!("{role:?} was {did} {}, which needs {:?}", answer.path, answer.needs));
        }
    }
    proof.holds(
        refused > 0 && admitted > 0,
        format!("{} questions at the door: {admitted} let through, {refused} refused", answers.len()),
    );
    proof.judge("every route admits who may and refuses who may not")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_door_that_lets_everybody_in_or_nobody_is_found() {
        let routes = [
            ("/v1/status", Permission::FleetRead),
            ("/v1/agents/stop", Permission::AgentControl),
            ("/v1/report", Permission::AgentReport),
            ("/v1/readiness/run", Permission::ReadinessRun),
            ("/v1/config/reload", Permission::PolicyChange),
            ("/v1/daemon/stop", Permission::DaemonControl),
        ];
        let ask = |admits: fn(Role, Permission) -> bool| {
            let roles = [Role::Viewer, Role::Operator, Role::Admin, Role::Agent];
            let answers: Vec<_> = roles
                .into_iter()
                .flat_map(|role| {
                    routes.map(|(path, needs)| {
                        (role, GateAnswer { path: path.into(), needs, admitted: admits(role, needs) })
                    })
                })
                .collect();
            judge_door(&answers).outcome
        };
        assert_eq!(ask(Role::may), Outcome::Pass);
        assert_eq!(ask(|_, _| true), Outcome::Fail, "always true");
        assert_eq!(ask(|_, _| false), Outcome::Fail, "always false");
        assert_eq!(
            ask(|role, needs| role.may(needs) || role == Role::Agent && needs == Permission::FleetRead),
            Outcome::Fail
        );
        assert_eq!(judge_door(&[]).outcome, Outcome::Fail, "a door without routes proves nothing");
    }
}
