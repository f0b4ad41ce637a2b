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

    /// Every outcome there is: one that never came was seen not to come, and the first that comes is not lost.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts: BTreeMap<&'static str, u64> =
            FaultKind::ALL.iter().map(|kind| (kind.as_str(), 0)).chain([(DONE, 0)]).collect();
        counts.extend(self.0.lock().unwrap_or_else(PoisonError::into_inner).iter());
        counts
    }
}
