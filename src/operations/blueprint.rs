//! Blueprint: what somebody wants done, before it has a number.
use super::Registry;
use crate::domain::{Fault, OnFailure, OperationId, OperationPlan, Period, PlannedStep, Principal, StepName};
use serde_json::Value;

/// More is no straight list any more.
const MOST_STEPS: usize = 100;
const LONGEST_WORD: usize = 63;
const LONGEST_TITLE: usize = 200;

#[derive(Clone, Debug)]
pub struct Blueprint {
    /// `rollback`, `deploy`
    pub kind: &'static str,
    /// For people: `Roll back to r-12`
    pub title: String,
    /// What nothing else may change meanwhile: `fleet`
    pub resource: String,
    /// Each at most once: its key must be its own.
    pub steps: Vec<StepName>,
    /// What every step is handed. Kept in the journal and shown: no secrets.
    pub arguments: Value,
    pub on_failure: OnFailure,
    /// How long the whole should take; shown beside the time it took.
    pub budget: Option<Period>,
}

impl Blueprint {
    /// With a number, the titles of its steps, and who answers for it.
    pub(super) fn plan(
        self,
        registry: &Registry,
        id: OperationId,
        by: Principal,
    ) -> Result<OperationPlan, Fault> {
        let cannot = |why: String| Fault::internal(format!("cannot begin a {}: {why}", self.kind));
        let word =
            |text: &str| !text.is_empty() && text.len() <= LONGEST_WORD && !text.contains(char::is_control);
        if !word(self.kind) || !word(&self.resource) {
            return Err(cannot("its kind or its resource is no name".into()));
        }
        if self.steps.is_empty() || self.steps.len() > MOST_STEPS {
            return Err(cannot(format!("it has {} steps, and may have 1 to {MOST_STEPS}", self.steps.len())));
        }
        let mut steps: Vec<PlannedStep> = Vec::new();
        for name in &self.steps {
            let Some(step) = registry.get(name) else {
                return Err(cannot(format!("no step is called `{name}`")));
            };
            if steps.iter().any(|other| other.name == *name) {
                return Err(cannot(format!("it names `{name}` twice")));
            }
            steps.push(PlannedStep { name: name.clone(), title: step.title().to_owned() });
        }
        Ok(OperationPlan {
            id,
            kind: self.kind.to_owned(),
            title: self.title.chars().take(LONGEST_TITLE).collect(),
            resource: self.resource,
            steps,
            arguments: self.arguments,
            on_failure: self.on_failure,
            budget: self.budget,
            by,
        })
    }
}
