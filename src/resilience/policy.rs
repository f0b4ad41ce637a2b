//! Everything that stands between a caller and one dependency, in order: deadline, retries within their budget, the
//! breaker, a place, the rate, and the limit of one attempt. Only the breaker remembers; it is shared by all who call.
use super::{
    Breaker, Bulkhead, Clock, Deadline, Failing, Failure, Limiter, Permit, Place, RetryBudget, Stopped,
    Terms, Trouble, Unserved, Wait,
};
use std::{
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::{sleep, timeout};

#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    breaker: Breaker,
    clock: Clock,
    live: RwLock<Arc<Live>>,
}

/// What follows from one set of terms.
struct Live {
    terms: Terms,
    budget: RetryBudget,
    bulkhead: Bulkhead,
    limiter: Option<Limiter>,
}

/// What came of a call that was served.
#[derive(Debug, PartialEq, Eq)]
pub struct Served<T, E> {
    pub value: T,
    /// What went wrong before it went well, one an attempt.
    pub before: Vec<Trouble<E>>,
    /// Not by the dependency: the value stands in for its answer, for this reason.
    pub instead: Option<Stopped>,
}

impl Policy {
    pub fn new(name: impl Into<Arc<str>>, terms: Terms, clock: Clock) -> Self {
        Self::over(Breaker::new(name, terms.breaker, clock.clone()), terms, clock)
    }

    /// Around a breaker that is there already.
    pub(super) fn over(breaker: Breaker, terms: Terms, clock: Clock) -> Self {
        Self(Arc::new(Inner { breaker, clock, live: RwLock::new(Arc::new(Live::new(terms))) }))
    }

    pub fn name(&self) -> &Arc<str> {
        self.0.breaker.name()
    }

    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    pub fn terms(&self) -> Terms {
        self.live().terms
    }

    /// Under way now, and waiting for a place.
    pub fn held(&self) -> (u32, u32) {
        self.live().bulkhead.held()
    }

    /// New terms for calls that begin from now on; the breaker stands as it stood. Calls under way keep the places of
    /// the old terms.
    pub(super) fn set_terms(&self, terms: Terms) {
        if self.terms() == terms {
            return;
        }
        self.0.breaker.set_rules(terms.breaker);
        *self.0.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Live::new(terms));
    }

    /// Calls until it goes well, at most as often and as long as the terms and `deadline` allow. Each attempt is handed
    /// the deadline that it has to keep, for calls of its own.
    pub async fn call<T, E, F, A>(
        &self,
        deadline: Deadline,
        mut attempt: F,
    ) -> Result<Served<T, E>, Unserved<E>>
    where
        E: Failure,
        F: FnMut(Deadline) -> A,
        A: Future<Output = Result<T, E>>,
    {
        let live = self.live();
        let Terms { attempts, backoff, .. } = live.terms;
        let time = Time::new(deadline, live.terms.deadline);
        live.budget.call(self.0.clock.instant());
        let (mut troubles, mut delay) = (Vec::new(), backoff.first);
        loop {
            let failing = match self.one(&live, time, &mut attempt).await {
                Ok(value) => return Ok(Served { value, before: troubles, instead: None }),
                Err(Missed::NotMade(stopped)) => return Err(self.unserved(stopped, troubles)),
                Err(Missed::Failed(trouble)) => {
                    let failing = trouble.failing();
                    troubles.push(trouble);
                    failing
                }
            };
            let made = u32::try_from(troubles.len()).unwrap_or(u32::MAX);
            let after = match stopped_by(failing) {
                Ok(after) if made < attempts => after,
                Ok(_) => return Err(self.unserved(Stopped::Exhausted, troubles)),
                Err(stopped) => return Err(self.unserved(stopped, troubles)),
            };
            delay = backoff.after(made - 1, delay, fastrand::f64());
            // Whoever says when to come again is not asked before.
            let wait = delay.max(after);
            if wait >= time.deadline.left() {
                return Err(self.unserved(Stopped::Late, troubles));
            }
            // Nor is there a wait for a breaker that will still be open.
            let refused = self.0.breaker.refuses();
            if let Some(refused) = refused.filter(|refused| refused.again_in.is_none_or(|left| left > wait)) {
                return Err(self.unserved(Stopped::Open(refused), troubles));
            }
            if !live.budget.retry(self.0.clock.instant()) {
                return Err(self.unserved(Stopped::Budget, troubles));
            }
            sleep(wait).await;
        }
    }

    /// Calls once: for those who count failures themselves, such as probes, which must not be retried into health.
    pub async fn once<T, E, A>(&self, deadline: Deadline, attempt: A) -> Result<T, Unserved<E>>
    where
        E: Failure,
        A: Future<Output = Result<T, E>>,
    {
        let live = self.live();
        let time = Time::new(deadline, live.terms.deadline);
        self.one(&live, time, |_| attempt).await.map_err(|missed| match missed {
            Missed::NotMade(stopped) => self.unserved(stopped, Vec::new()),
            Missed::Failed(trouble) => {
                let stopped = stopped_by(trouble.failing()).err().unwrap_or(Stopped::Exhausted);
                self.unserved(stopped, vec![trouble])
            }
        })
    }

    /// The same as `call`, with something to stand in where the dependency cannot be had: never for a mistake of the
    /// caller's own. What stands in is marked as such.
    pub async fn call_or<T, E, F, A, S, B>(
        &self,
        deadline: Deadline,
        attempt: F,
        stand_in: S,
    ) -> Result<Served<T, E>, Unserved<E>>
    where
        E: Failure,
        F: FnMut(Deadline) -> A,
        A: Future<Output = Result<T, E>>,
        S: FnOnce(&Unserved<E>) -> B,
        B: Future<Output = Option<T>>,
    {
        match self.call(deadline, attempt).await {
            Err(unserved) if unserved.may_be_replaced() => match stand_in(&unserved).await {
                Some(value) => {
                    Ok(Served { value, before: unserved.troubles, instead: Some(unserved.stopped) })
                }
                None => Err(unserved),
            },
            other => other,
        }
    }

    /// One attempt, if it may be made.
    async fn one<T, E, A>(
        &self,
        live: &Live,
        time: Time,
        attempt: impl FnOnce(Deadline) -> A,
    ) -> Result<T, Missed<E>>
    where
        E: Failure,
        A: Future<Output = Result<T, E>>,
    {
        let (place, permit) = self.enter(live, time.deadline).await.map_err(Missed::NotMade)?;
        let limit = live.terms.timeout.min(time.deadline.left());
        let answer = timeout(limit, attempt(time.deadline.sooner(limit))).await;
        drop(place);
        let trouble = match answer {
            Ok(Ok(value)) => {
                permit.succeeded();
                return Ok(value);
            }
            Ok(Err(error)) => Trouble::Error(error),
            Err(_) => Trouble::TimedOut(limit),
        };
        // Cut by a caller in more of a hurry than the terms are: that tells nothing of the other end.
        let hurried =
            matches!(trouble, Trouble::TimedOut(_)) && time.is_callers && limit < live.terms.timeout;
        if hurried || trouble.failing() == Failing::CallersMistake {
            drop(permit);
        } else {
            permit.failed(|| trouble.to_string());
        }
        Err(Missed::Failed(trouble))
    }

    /// A place, the breaker's leave and a turn at the rate, in this order: leave that is held while waiting for a place
    /// would keep others from a trial.
    async fn enter(&self, live: &Live, deadline: Deadline) -> Result<(Place, Permit), Stopped> {
        let place = if let Some(place) = live.bulkhead.try_enter() {
            place
        } else {
            if let Some(refused) = self.0.breaker.refuses() {
                return Err(Stopped::Open(refused));
            }
            live.bulkhead.enter(deadline).await.map_err(Stopped::Full)?
        };
        if let Some(limiter) = &live.limiter {
            self.turn(limiter, deadline).await?;
        }
        if deadline.is_past() {
            return Err(Stopped::Late);
        }
        let permit = self.0.breaker.admit().map_err(Stopped::Open)?;
        Ok((place, permit))
    }

    async fn turn(&self, limiter: &Limiter, deadline: Deadline) -> Result<(), Stopped> {
        // An open breaker spends nothing of the rate.
        if let Some(refused) = self.0.breaker.refuses() {
            return Err(Stopped::Open(refused));
        }
        while let Err(Wait(wait)) = limiter.take(self.0.clock.instant()) {
            if wait >= deadline.left() {
                return Err(Stopped::TooFast);
            }
            sleep(wait.max(Duration::from_millis(1))).await;
        }
        Ok(())
    }

    fn unserved<E>(&self, stopped: Stopped, troubles: Vec<Trouble<E>>) -> Unserved<E> {
        Unserved { name: Arc::clone(self.name()), stopped, troubles }
    }

    fn live(&self) -> Arc<Live> {
        self.0.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long a call has, and whether that is the caller's wish or the terms'.
#[derive(Clone, Copy)]
struct Time {
    deadline: Deadline,
    is_callers: bool,
}

impl Time {
    fn new(callers: Deadline, terms: Duration) -> Self {
        let deadline = callers.sooner(terms);
        Self { deadline, is_callers: callers <= deadline }
    }
}

/// What one attempt came to, if to nothing.
enum Missed<E> {
    NotMade(Stopped),
    Failed(Trouble<E>),
}

/// May it be tried again, and when at the soonest?
fn stopped_by(failing: Failing) -> Result<Duration, Stopped> {
    match failing {
        Failing::Transient { after } => Ok(after.unwrap_or_default()),
        Failing::Lasting => Err(Stopped::Lasting),
        Failing::CallersMistake => Err(Stopped::CallersMistake),
    }
}

impl Live {
    fn new(terms: Terms) -> Self {
        let rate = terms.rate.and_then(NonZeroU32::new);
        Self {
            terms,
            budget: RetryBudget::new(terms.retry_budget),
            bulkhead: Bulkhead::new(terms.concurrency, terms.queue),
            limiter: rate.map(|rate| Limiter::new(rate, Duration::from_secs(1), rate)),
        }
    }
}
