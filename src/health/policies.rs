//! Which policies are in force by the settings: that of each dependency, under its own name so that each has a breaker
//! of its own, and those that declared checks name.
use super::Miss;
use crate::{
    config::{BackoffGrowth, PolicyValues, Settings},
    domain::{BreakerState, BreakerStatus, BreakerTrip, Period, PolicyTerms},
    resilience::{
        Backoff, BreakerRules, Deadline, Failing, Failure, Growth, Phase, Policy, Stopped, Terms, Trouble,
        Unserved,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub fn policies_of(settings: &Settings) -> BTreeMap<Arc<str>, Terms> {
    let named = settings.checks.iter().filter_map(|check| check.policy.as_deref());
    let named = named.map(|name| (Arc::from(name), terms(&settings.policy(name, None))));
    // Last, so that a check that names a dependency shares what is the dependency's.
    let dependencies = settings.dependencies.iter().map(|dependency| {
        let values = settings.policy(&settings.policy_of(dependency), Some(dependency.every.0));
        (Arc::from(dependency.name.as_str()), terms(&values))
    });
    named.chain(dependencies).collect()
}

pub fn terms(values: &PolicyValues) -> Terms {
    Terms {
        attempts: values.attempts,
        backoff: Backoff {
            first: values.backoff.first.0,
            longest: values.backoff.longest.0,
            growth: growth(values.growth),
            jitter: values.jitter,
        },
        timeout: values.timeout,
        deadline: values.deadline,
        retry_budget: values.retry_budget,
        breaker: BreakerRules {
            failures: values.failures,
            rate: values.failure_rate,
            window: values.window,
            minimum: values.minimum,
            open_for: values.open_for,
            probes: values.probes,
        },
        concurrency: values.concurrency,
        queue: values.queue,
        rate: values.rate,
    }
}

fn growth(growth: BackoffGrowth) -> Growth {
    match growth {
        BackoffGrowth::Fixed => Growth::Fixed,
        BackoffGrowth::Linear => Growth::Linear,
        BackoffGrowth::Exponential => Growth::Exponential,
        BackoffGrowth::Random => Growth::Random,
        BackoffGrowth::Decorrelated => Growth::Decorrelated,
    }
}

/// One look at a dependency. It goes through the breaker, so that what is known to be down is not asked by everybody
/// for ever, and it is never retried: a failure threshold is the retry of a probe, and one that is retried into health
/// proves nothing. A look that was refused did not see that all is well: it fails, and says why nobody was asked.
///
/// Waiting for a place and looking may take twice the look's deadline, and no longer.
pub async fn guarded(
    policy: &Policy,
    deadline: Duration,
    look: impl Future<Output = Result<String, Miss>>,
) -> Result<String, Miss> {
    let deadline = Deadline::within(deadline.saturating_mul(2));
    policy.once(deadline, look).await.map_err(|unserved| missed(policy, unserved))
}

/// A look that came to nothing, in the words of one.
fn missed(policy: &Policy, unserved: Unserved<Miss>) -> Miss {
    let told = unserved.to_string();
    match (unserved.troubles.into_iter().next_back(), unserved.stopped) {
        (Some(Trouble::Error(miss)), _) => miss.saying(told),
        (Some(Trouble::TimedOut(_)), _) => Miss::Wrong(told),
        (None, Stopped::Open(_)) => Miss::Wrong(told + &because(policy)),
        (None, _) => Miss::Blind(told),
    }
}

fn because(policy: &Policy) -> String {
    let view = policy.breaker().view();
    match (view.tripped, view.why) {
        (Some(tripped), _) => format!(", by {}: {}", tripped.by, tripped.reason),
        (None, Some(why)) => format!(", since {why}"),
        (None, None) => String::new(),
    }
}

/// The look that `Miss` tells of is all that is known of the other end.
impl Failure for Miss {
    fn failing(&self) -> Failing {
        match self {
            Self::Wrong(_) => Failing::Transient { after: None },
            // What is missing is on this side: the other end was not even asked.
            Self::Blind(_) => Failing::CallersMistake,
            Self::Answered { failing, .. } => *failing,
        }
    }
}

/// As `agentctl breaker list` shows it.
pub fn standing(policy: &Policy) -> BreakerStatus {
    let (view, terms) = (policy.breaker().view(), policy.terms());
    let (under_way, waiting) = policy.held();
    // Who asks next is let through: that is what half-open means to whoever looks.
    let due = view.phase == Phase::Open && view.tripped.is_none() && view.again_in.is_none();
    BreakerStatus {
        name: view.name.to_string(),
        state: if due { BreakerState::HalfOpen } else { state(view.phase) },
        since: view.since,
        again_in: view.again_in.filter(|left| !left.is_zero()).map(rounded),
        why: view.why,
        tripped: view.tripped.map(|tripped| BreakerTrip { by: tripped.by, reason: tripped.reason }),
        failures: view.streak,
        opened: view.opened,
        under_way,
        waiting,
        policy: PolicyTerms {
            attempts: terms.attempts,
            backoff: backoff(terms.backoff),
            timeout: Period(terms.timeout),
            deadline: Period(terms.deadline),
            retry_budget: terms.retry_budget,
            concurrency: terms.concurrency,
            queue: terms.queue,
            rate: terms.rate,
            breaker: breaker(terms.breaker),
        },
    }
}

fn state(phase: Phase) -> BreakerState {
    match phase {
        Phase::Closed => BreakerState::Closed,
        Phase::Open => BreakerState::Open,
        Phase::HalfOpen => BreakerState::HalfOpen,
    }
}

/// Nobody reads nanoseconds.
fn rounded(left: Duration) -> Period {
    Period::millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1))
}

fn backoff(backoff: Backoff) -> String {
    let growth = match backoff.growth {
        Growth::Fixed => "fixed",
        Growth::Linear => "linear",
        Growth::Exponential => "exponential",
        Growth::Random => "random",
        Growth::Decorrelated => "decorrelated",
    };
    format!("{}..{} {growth}", Period(backoff.first), Period(backoff.longest))
}

fn breaker(rules: BreakerRules) -> String {
    let in_a_row = (rules.failures > 0).then(|| format!("after {} failures in a row", rules.failures));
    let share = rules.rate.map(|rate| {
        format!("when {:.0}% of at least {} in {} fail", rate * 100.0, rules.minimum, Period(rules.window))
    });
    let when: Vec<String> = in_a_row.into_iter().chain(share).collect();
    format!("{}, for {}, then {} on trial", when.join(" or "), Period(rules.open_for), rules.probes)
}
