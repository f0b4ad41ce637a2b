//! Why a call came to nothing, told so that a caller can say it.
use super::{Failing, Failure, Full, Refused};
use std::{fmt, sync::Arc, time::Duration};

/// How one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble<E> {
    Error(E),
    /// No answer in this time.
    TimedOut(Duration),
}

/// Why there was no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The breaker refused to have it called.
    Open(Refused),
    /// There was no place, or the rate is used up for longer than there is time.
    Full(Full),
    TooFast,
    /// Another attempt would pass the deadline.
    Late,
    /// The failure is one that does not go away.
    Lasting,
    /// The call itself is wrong.
    CallersMistake,
    /// Every attempt was made.
    Exhausted,
    /// Too many calls are being tried again already.
    Budget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved<E> {
    /// Of the policy.
    pub name: Arc<str>,
    pub stopped: Stopped,
    /// One an attempt that was made, in their order.
    pub troubles: Vec<Trouble<E>>,
}

impl<E> Unserved<E> {
    /// May something else stand in for it? Not where the caller has to mend its own call.
    pub fn may_be_replaced(&self) -> bool {
        !matches!(self.stopped, Stopped::CallersMistake | Stopped::Lasting)
    }

    pub fn last(&self) -> Option<&Trouble<E>> {
        self.troubles.last()
    }
}

impl<E: Failure> Trouble<E> {
    pub(super) fn failing(&self) -> Failing {
        match self {
            Self::Error(error) => error.failing(),
            Self::TimedOut(_) => Failing::Transient { after: None },
        }
    }
}

impl<E: fmt::Display> fmt::Display for Trouble<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::TimedOut(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.again_in {
            None => f.write_str("is held open by hand"),
            Some(Duration::ZERO) => f.write_str("is half-open, and others are on trial"),
            Some(left) => write!(f, "is open for another {} ms", left.as_millis()),
        }
    }
}

impl<E> fmt::Display for Unserved<E>
where
    E: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if let Some(last) = self.last() {
            write!(f, "{last}")?;
            if self.troubles.len() > 1 {
                write!(f, ", at attempt {}", self.troubles.len())?;
            }
            return match self.stopped {
                Stopped::Open(refused) => write!(f, "; not tried again: breaker {name} {refused}"),
                Stopped::Full(full) => write!(f, "; not tried again: {full}"),
                Stopped::TooFast => f.write_str("; not tried again: the rate is used up"),
                Stopped::Late => f.write_str("; not tried again: that would pass the deadline"),
                Stopped::Budget => f.write_str("; not tried again: the retry budget is used up"),
                Stopped::Lasting | Stopped::CallersMistake | Stopped::Exhausted => Ok(()),
            };
        }
        match self.stopped {
            Stopped::Open(refused) => write!(f, "not asked: breaker {name} {refused}"),
            Stopped::Full(full) => write!(f, "not asked: {full}"),
            Stopped::TooFast => f.write_str("not asked: the rate is used up"),
            _ => f.write_str("not asked: there was no time left"),
        }
    }
}
