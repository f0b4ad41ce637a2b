//! When everything was validated last: a fleet that was ready in spring says nothing of today.
#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{Period, RunState, RunSummary},
    readiness::{Evidence, Found},
};
#[cfg(test)]
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How far back is looked for the last run of everything.
const LOOKED_AT: u32 = 500;

pub async fn last_full(evidence: &Evidence) -> Found {
    match evidence.store.runs(LOOKED_AT).await {
        Ok(runs) => {
            let bound = evidence.settings.readiness.max_age;
            judge(&runs, &evidence.settings.environment, bound, evidence.judged_at)
        }
        Err(error) => Found::error(error.to_string()),
    }
}

/// `runs` are newest first, this one (still running) among them: it does not count as its own predecessor.
fn judge(runs: &[RunSummary], environment: &str, bound: Period, at: Timestamp) -> Found {
    let full =
        |run: &&RunSummary| run.state == RunState::Finished && !run.partial && run.environment == environment;
    let Some(last) = runs.iter().find(full) else {
        // A first run has no predecessor that could be old, and in CI every run is a first one. If only parts are
        // ever run, though, something is amiss.
        let part = |run: &&RunSummary| run.state == RunState::Finished && run.environment == environment;
        let parts = runs.iter().filter(part).count();
        return if parts == 0 {
            Found::not_applicable(format!("this is the first validation of {environment} here"))
        } else {
            Found::warn(format!("{environment} was never validated whole, and {parts} times in part"))
        };
    };
    // A clock that was turned back makes it younger than nothing: then it is of now.
    let age =
        Duration::try_from(at.duration_since(last.started_at).max(SignedDuration::ZERO)).unwrap_or_default();
    let days = |period: Duration| format!("{:.1} days", period.as_secs_f64() / 86_400.0);
    let seen = format!(
        "run {} of {}, {} before {at}; readiness.max_age is {bound}",
        last.run,
        last.started_at,
        days(age)
    );
    if age > bound.0 {
        Found::warn(format!("everything in {environment} was validated {} ago, last", days(age))).seen(seen)
    } else {
        Found::pass(format!("everything in {environment} was validated within {bound}")).seen(seen)
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-014",
    at_work: || {
        async {
            let (now, day) = (Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365), 24);
            let run = |days: i64, state, partial, environment: &str| RunSummary {
                run: crate::domain::RunId(1),
                state,
                started_at: now - SignedDuration::from_hours(day * days),
                environment: environment.into(),
                verdict: None,
                score: None,
                coverage: None,
                partial,
                phase: None,
            };
            let current = run(0, RunState::Running, false, "staging");
            let say = |rest: Vec<RunSummary>| {
                let runs: Vec<_> = [current.clone()].into_iter().chain(rest).collect();
                judge(&runs, "staging", Period::secs(7 * 86_400), now)
            };
            let full = |days| run(days, RunState::Finished, false, "staging");
            let partial = run(1, RunState::Finished, true, "staging");
            crate::readiness::checks::Tried {
                sound: vec![say(vec![full(6)]), say(vec![partial.clone(), full(2), full(90)])],
                broken: vec![
                    ("a last run that is eight days old", say(vec![full(8)])),
                    ("a partial run after an old full one", say(vec![partial.clone(), full(30)])),
                    ("an interrupted run after an old full one", {
                        say(vec![run(1, RunState::Interrupted, false, "staging"), full(30)])
                    }),
                    ("another environment's run", {
                        say(vec![run(1, RunState::Finished, false, "production"), full(30)])
                    }),
                    ("a fleet that is validated in parts alone", say(vec![partial])),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_first_run_has_nothing_to_be_older_than() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(judge(&[], "dev", Period::secs(1), now).outcome, Outcome::NotApplicable);
    }
}
