//! What a failure means to whoever might call again. This room knows nobody's errors: each says it of itself.
use std::{fmt, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It may go well next time, but not sooner than `after`, if the other end said so.
    Transient { after: Option<Duration> },
    /// The other end failed, and will fail again.
    Lasting,
    /// The call itself was wrong, or could not even be made: nothing is known of the other end. Never tried again, and
    /// never held against it.
    CallersMistake,
}

/// An error that says what it means; its words stand beside a breaker that it opened, so they must hold no secret.
pub trait Failure: fmt::Display {
    fn failing(&self) -> Failing;
}
