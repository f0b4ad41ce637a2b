//! How requests ended, counted. Whoever answers one says so; nobody waits for it.
use crate::domain::FaultKind;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

const DONE: &str = "done";

#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Requests {
    /// With the kind of its failure, if it failed.
    pub fn answered(&self, failed: Option<FaultKind>) {
        let outcome = failed.map_or(DONE, FaultKind::as_str);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
