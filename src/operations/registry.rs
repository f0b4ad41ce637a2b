//! Name → step, so that what a journal names can be run again after a restart. Filled where the daemon is put together.
use super::Step;
use crate::domain::{Fault, StepName};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Step>>);

impl Registry {
    /// Refuses a name that is none, and one that two steps bear.
    pub fn new(steps: impl IntoIterator<Item = Arc<dyn Step>>) -> Result<Self, Fault> {
        let mut known: BTreeMap<&'static str, Arc<dyn Step>> = BTreeMap::new();
        for step in steps {
            let name = step.name();
            if !StepName::from(name).is_legal() {
                return Err(Fault::internal(format!("cannot call a step of operations {name:?}")));
            }
            if known.insert(name, step).is_some() {
                return Err(Fault::internal(format!("cannot call two steps of operations {name:?}")));
            }
        }
        Ok(Self(known))
    }

    pub fn get(&self, name: &StepName) -> Option<Arc<dyn Step>> {
        self.0.get(name.as_str()).cloned()
    }
}
