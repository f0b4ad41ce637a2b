//! A look at one part of the daemon that may fail without the rest: then the runbook says what it does not know.
use super::book::Runbook;
use crate::domain::Fault;
use std::{future::Future, time::Duration};
use tokio::time::timeout;

/// Who reads a runbook is in a hurry.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn known<T>(
    book: &mut Runbook,
    what: &str,
    look: impl Future<Output = Result<T, Fault>>,
) -> Option<T> {
    match timeout(PATIENCE, look).await {
        Ok(Ok(seen)) => Some(seen),
        Ok(Err(fault)) => {
            book.cannot_know(what, fault.message);
            None
        }
        Err(_late) => {
            book.cannot_know(what, format!("no answer within {} s", PATIENCE.as_secs()));
            None
        }
    }
}
