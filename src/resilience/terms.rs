//! The terms on which one dependency is called.
use super::{Backoff, BreakerRules};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The first one included.
    pub attempts: u32,
    pub backoff: Backoff,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long all of them and the waits between may take together.
    pub deadline: Duration,
    /// Retries are at most this share of the calls.
    pub retry_budget: f64,
    pub breaker: BreakerRules,
    /// Calls under way at once, and calls that wait for one of those to end.
    pub concurrency: u32,
    pub queue: u32,
    /// Attempts a second; none is no limit.
    pub rate: Option<u32>,
}
