//! Pure: two versions of the fleet → what must happen to each agent. Only what its processes depend on restarts it.
use super::{plan::Plan, supervisor::ApplyReport};
use std::sync::Arc;

/// What a reload means for one agent that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// Probes, replicas, policy, timeouts, order: taken over as it runs.
    Update,
    Restart,
}

pub fn change(old: &Plan, new: &Plan) -> Change {
    if old.digest != new.digest {
        Change::Restart
    } else if old.settings != new.settings || old.enabled != new.enabled {
        Change::Update
    } else {
        Change::None
    }
}

/// Everything by name, in the order of the new manifest, what is gone last.
pub fn diff(old: &[Arc<Plan>], new: &[Arc<Plan>]) -> ApplyReport {
    let mut report = ApplyReport::default();
    for plan in new {
        match old.iter().find(|before| before.name() == plan.name()) {
            None => report.added.push(plan.name().clone()),
            Some(before) => match change(before, plan) {
                Change::Restart => report.restarted.push(plan.name().clone()),
                Change::Update => report.updated.push(plan.name().clone()),
                Change::None => report.unchanged += 1,
            },
        }
    }
    let gone = old.iter().filter(|before| !new.iter().any(|plan| plan.name() == before.name()));
    report.removed = gone.map(|plan| plan.name().clone()).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agents::plan, config::Settings};
    use serde_json::{Value, json};

    fn plans(agents: Value) -> Vec<Arc<Plan>> {
        let settings: Settings = serde_json::from_value(json!({ "agent": agents })).expect("settings");
        plan::plans(&settings, &plan::tests::some_uids(), true).expect("plans")
    }

    #[test]
    fn only_what_changed_is_touched() {
        let agent = |name: &str, more: Value| {
            let mut agent = json!({ "name": name, "kind": "process", "options": { "command": ["x"] } });
            for (key, value) in more.as_object().expect("a table") {
                agent[key] = value.clone();
            }
            agent
        };
        let old = plans(json!([
            agent("same", json!({})),
            agent("probed", json!({})),
            agent("moved", json!({})),
            agent("off", json!({})),
            agent("gone", json!({})),
        ]));
        let new = plans(json!([
            agent("new", json!({})),
            agent("moved", json!({ "options": { "command": ["y"] } })),
            agent("same", json!({})),
            agent("off", json!({ "enabled": false })),
            agent("probed", json!({ "probe": [{ "name": "p", "kind": "process" }] })),
        ]));
        let names = |list: &[crate::domain::AgentName]| {
            list.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        let report = diff(&old, &new);
        assert_eq!(names(&report.added), ["new"]);
        assert_eq!(names(&report.restarted), ["moved"]);
        assert_eq!(names(&report.updated), ["off", "probed"]);
        assert_eq!(names(&report.removed), ["gone"]);
        assert_eq!(report.unchanged, 1);
        assert_eq!(diff(&old, &old).unchanged, 5);
    }
}
