//! Step: one thing that is done, and how it is undone. What it does is its own matter.
use super::Site;
use crate::domain::Fault;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(300);

/// Both `run` and `undo` must be safe to repeat: agentd may be killed after the effect and before the result is
/// written, and then does the same again under the same key.
pub trait Step: Send + Sync {
    /// In the journal, in keys and in plans: up to 40 of a-z 0-9 -, a letter first. Never changed once released.
    fn name(&self) -> &'static str;

    /// For people: `Point at the release`
    fn title(&self) -> &'static str;

    /// What it leaves is kept in the journal, and handed to later steps and to its own undo. No secret, and not large.
    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>>;

    /// `left` is none where `run` has no result: it failed, or was cut off, and may have had its effect or part of it.
    fn undo<'a>(&'a self, at: &'a Site, left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>>;

    /// For each of the two. Past it the work is dropped where it awaits, and counts as failed.
    fn deadline(&self) -> Duration {
        DEADLINE
    }

    /// Asked at a start of agentd where it was cut off in the middle of `run` or `undo`: may it be done again?
    fn interrupted<'a>(&'a self, _at: &'a Site) -> BoxFuture<'a, Result<Interrupted, Fault>> {
        Box::pin(async { Ok(Interrupted::Repeat) })
    }
}

/// What becomes of a step that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interrupted {
    Repeat,
    /// It cannot be judged whether it happened, and doing it twice would harm: the operation stops for a person.
    Unclear(String),
}
