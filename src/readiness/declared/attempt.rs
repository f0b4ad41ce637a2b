//! From what the manifest declares to what the engine asks: attempts with a deadline each, all of them stated.
use super::{
    kind::{Ask, compile},
    scene::Scene,
};
use crate::{
    config::{CheckSettings, Settings},
    domain::{Outcome, Severity},
    readiness::{CheckInfo, Found, asked::Declared},
    resilience::{Deadline, Failing, Failure, Policy, Served, Stopped, Trouble},
};
use ring::digest::{SHA256, digest};
use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Everything the manifest declares, in its order.
pub fn declared(settings: &Settings) -> Vec<Arc<Declared>> {
    settings.checks.iter().map(|check| Arc::new(prepare(check, check.longest(settings)))).collect()
}

/// One of them, wherever it is written.
pub fn declare(check: &CheckSettings, longest: Duration) -> Arc<Declared> {
    Arc::new(prepare(check, longest))
}

/// The same, to be shown.
pub fn infos(checks: &[CheckSettings]) -> Vec<CheckInfo> {
    checks.iter().map(info).collect()
}

/// One check of any kind, asked here and now.
pub async fn ask(settings: &CheckSettings, scene: &Scene<'_>) -> Found {
    match compile(&settings.kind, &settings.options) {
        Ok(check) => attempts(settings, &*check, scene).await,
        Err(_) => Found::error("the check is misconfigured"),
    }
}

fn prepare(settings: &CheckSettings, longest: Duration) -> Declared {
    let compiled = compile(&settings.kind, &settings.options);
    let own = settings.clone();
    Declared {
        info: info(settings),
        hint: settings.hint.clone(),
        longest,
        quiet: false,
        run: match compiled {
            Ok(check) => {
                let both = Arc::new((own, check));
                Box::new(move |evidence| {
                    let both = Arc::clone(&both);
                    Box::pin(async move {
                        let (settings, check) = &*both;
                        let scene = Scene::of(&settings.id, evidence);
                        match &settings.policy {
                            None => attempts(settings, &**check, &scene).await,
                            Some(name) => match evidence.monitor.policies().get(name) {
                                Some(policy) => by_policy(&policy, settings, &**check, &scene).await,
                                None => Found::error(format!("policy {name} is not in force")),
                            },
                        }
                    })
                })
            }
            // The manifest was verified; what gets here all the same was not asked.
            Err(problems) => {
                let first =
                    problems.first().map_or(String::new(), |p| format!(": {} {}", p.pointer, p.message));
                Box::new(move |_| {
                    let found = Found::error(format!("the check is misconfigured{first}"));
                    Box::pin(async move { found })
                })
            }
        },
    }
}

/// Asks until it passes or no attempt is left. What came before the last attempt is told.
async fn attempts(settings: &CheckSettings, check: &dyn Ask, scene: &Scene<'_>) -> Found {
    let allowed = settings.retries + 1;
    let mut before = Vec::new();
    let mut attempt = 1;
    let last = loop {
        let asked = timeout(settings.timeout.0, check.ask(scene)).await;
        let found =
            asked.unwrap_or_else(|_| Found::timeout(format!("no answer within {}", settings.timeout)));
        if found.outcome == Outcome::Pass || attempt == allowed {
            break found;
        }
        before.push(format!("attempt {attempt} of {allowed}: {}: {}", found.outcome.as_str(), found.summary));
        attempt += 1;
        sleep(settings.retry_delay.0).await;
    };
    named(told(last, before, attempt, allowed), check)
}

/// What one attempt found instead of a pass.
struct Unfit {
    found: Found,
    failing: Failing,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.found.outcome.as_str(), self.found.summary)
    }
}

impl Failure for Unfit {
    fn failing(&self) -> Failing {
        self.failing
    }
}

/// Asks on a policy's terms. An open breaker leaves the check unmeasured: nobody was asked, so nothing was proved.
pub async fn by_policy(
    policy: &Policy,
    settings: &CheckSettings,
    check: &dyn Ask,
    scene: &Scene<'_>,
) -> Found {
    let allowed = policy.terms().attempts;
    let ended = policy.call(Deadline::far(), |_| once(settings, check, scene)).await;
    let line = |nth: usize, trouble: &Trouble<Unfit>| format!("attempt {} of {allowed}: {trouble}", nth + 1);
    let found = match ended {
        Ok(Served { value, before, .. }) => {
            let attempt = u32::try_from(before.len()).unwrap_or(u32::MAX).saturating_add(1);
            let before = before.iter().enumerate().map(|(nth, trouble)| line(nth, trouble)).collect();
            told(value, before, attempt, allowed)
        }
        Err(unserved) => {
            let stopped = unserved.stopped;
            let words = unserved.to_string();
            let before = unserved.troubles.iter().enumerate().map(|(nth, trouble)| line(nth, trouble));
            let before: Vec<String> = before.collect();
            let mut last = match unserved.troubles.into_iter().next_back() {
                Some(Trouble::Error(unfit)) => unfit.found,
                Some(Trouble::TimedOut(_)) => Found::timeout(words.clone()),
                None => return Found::error(words),
            };
            let seen = std::mem::take(&mut last.evidence);
            last = last.all_seen(before).all_seen(seen);
            let final_already = matches!(stopped, Stopped::Exhausted | Stopped::Lasting);
            if final_already { last } else { last.seen(format!("no further attempt: {words}")) }
        }
    };
    named(found.seen(format!("by policy {}", policy.name())), check)
}

/// Only a pass is an answer that ends the attempts.
async fn once(settings: &CheckSettings, check: &dyn Ask, scene: &Scene<'_>) -> Result<Found, Unfit> {
    *scene.said.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let late = |_| Found::timeout(format!("no answer within {}", settings.timeout));
    let found = timeout(settings.timeout.0, check.ask(scene)).await.unwrap_or_else(late);
    if found.outcome == Outcome::Pass {
        return Ok(found);
    }
    let said = scene.said.lock().unwrap_or_else(PoisonError::into_inner).take();
    let failing = said.unwrap_or(match found.outcome {
        Outcome::Error | Outcome::Skipped | Outcome::NotApplicable => Failing::CallersMistake,
        _ => Failing::Transient { after: None },
    });
    Err(Unfit { found, failing })
}

/// States every attempt; a pass that was not the first says so where it cannot be missed.
fn told(mut found: Found, before: Vec<String>, attempt: u32, allowed: u32) -> Found {
    if allowed > 1 {
        if attempt > 1 && found.outcome == Outcome::Pass {
            found.summary = format!("{} (at attempt {attempt} of {allowed})", found.summary);
        }
        let last = format!("attempt {attempt} of {allowed}: {}", found.outcome.as_str());
        let seen = std::mem::take(&mut found.evidence);
        found = found.all_seen(before).seen(last).all_seen(seen);
    }
    found
}

/// Says what it is about, for waivers: by what is wrong there, so that another fault of the same thing is another matter.
fn named(found: Found, check: &dyn Ask) -> Found {
    if !matches!(found.outcome, Outcome::Fail | Outcome::Warn) || !found.affected.is_empty() {
        return found;
    }
    let hash = digest(&SHA256, found.summary.as_bytes());
    let short: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    found.about(check.about(), short)
}

fn info(settings: &CheckSettings) -> CheckInfo {
    let about = super::DECLARED.iter().find(|entry| entry.kind.name == settings.kind).map(|e| e.kind.about);
    let again = match (&settings.policy, settings.retries) {
        (Some(policy), _) => format!(", by policy {policy}"),
        (None, 0) => String::new(),
        (None, retries) => format!(", asked again up to {retries} times, {} apart", settings.retry_delay),
    };
    let gate = if settings.severity == Severity::Blocker { "; a gate" } else { "" };
    CheckInfo {
        id: settings.id.clone(),
        title: settings.title.clone(),
        category: settings.category,
        severity: settings.severity,
        weight: settings.weight,
        why: settings.why.clone().unwrap_or_else(|| "the manifest declares that it must hold".into()),
        how: format!(
            "kind {}: {}; within {}{again}{gate}",
            settings.kind,
            about.unwrap_or("unknown"),
            settings.timeout
        ),
        fix: settings.hint.clone().unwrap_or_else(|| "mend what the evidence names".into()),
        exercised: false,
        declared: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Category, FleetSnapshot, Period};
    use futures_util::future::BoxFuture;
    use jiff::Timestamp;
    use serde_json::json;
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::time::Instant;

    /// Plays these outcomes in turn, then hangs.
    struct Plays(Vec<Found>, AtomicUsize);

    impl Ask for Plays {
        fn about(&self) -> String {
            "stage/one".into()
        }
        fn ask<'a>(&'a self, _: &'a Scene<'a>) -> BoxFuture<'a, Found> {
            let turn = self.1.fetch_add(1, Ordering::SeqCst);
            match self.0.get(turn).cloned() {
                Some(found) => Box::pin(async { found }),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    fn settings(retries: u32) -> CheckSettings {
        let written = json!({
            "id": "APP-1", "title": "t", "kind": "tcp", "category": "database", "retries": retries,
            "retry_delay": "2s", "timeout": "3s", "hint": "start it",
        });
        serde_json::from_value(written).expect("settings")
    }

    async fn played(retries: u32, turns: Vec<Found>) -> (Found, Duration) {
        let began = Instant::now();
        let fleet = FleetSnapshot::default();
        let scene = Scene {
            check: "APP-1",
            judged_at: Timestamp::now(),
            fleet: &fleet,
            agents: &[],
            said: Mutex::default(),
        };
        let found = attempts(&settings(retries), &Plays(turns, AtomicUsize::new(0)), &scene).await;
        (found, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn every_attempt_is_stated_and_the_last_one_counts() {
        let (found, took) = played(0, vec![Found::fail("down").seen("port 7")]).await;
        assert_eq!((found.outcome, found.evidence.as_slice()), (Outcome::Fail, &["port 7".to_owned()][..]));
        assert_eq!((took, found.affected[0].resource.as_str()), (Duration::ZERO, "stage/one"));

        let (found, took) = played(2, vec![Found::fail("down"), Found::pass("up"), Found::fail("no")]).await;
        assert_eq!((found.outcome, found.summary.as_str()), (Outcome::Pass, "up (at attempt 2 of 3)"));
        assert_eq!(found.evidence, ["attempt 1 of 3: fail: down", "attempt 2 of 3: pass"]);
        assert_eq!((took, found.affected.len()), (Duration::from_secs(2), 0));

        let (found, took) = played(1, vec![Found::fail("down")]).await;
        assert_eq!((found.outcome, found.summary.as_str()), (Outcome::Timeout, "no answer within 3s"));
        assert_eq!(found.evidence, ["attempt 1 of 2: fail: down", "attempt 2 of 2: timeout"]);
        assert_eq!(
            (took, settings(1).longest(&Settings::default())),
            (Duration::from_secs(5), Duration::from_secs(8))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn another_fault_of_the_same_thing_has_another_fingerprint() {
        let print =
            async |words: &str| played(0, vec![Found::fail(words)]).await.0.affected[0].fingerprint.clone();
        assert_eq!(print("refused").await, print("refused").await);
        assert_ne!(print("refused").await, print("status is 503").await);
    }

    #[test]
    fn our_own_ids_begin_with_the_letters_that_no_declared_one_may_have() {
        for check in crate::readiness::Readiness::checks() {
            let digits =
                check.id.strip_prefix(check.category.letters()).and_then(|rest| rest.strip_prefix('-'));
            assert!(digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit())), "{}", check.id);
        }
    }

    #[test]
    fn what_is_shown_of_it_says_how_it_is_asked() {
        let shown = info(&settings(2));
        assert_eq!((shown.category, shown.severity, shown.weight), (Category::Database, Severity::Major, 1));
        assert!(
            shown.how.contains("kind tcp") && shown.how.contains("up to 2 times, 2s apart"),
            "{}",
            shown.how
        );
        assert_eq!((shown.fix.as_str(), shown.declared, shown.exercised), ("start it", true, false));
        assert_eq!(settings(2).timeout, Period::secs(3));
    }
}
