//! Runs checks: many at once, each with a deadline, a panic kept in its own finding, order kept.
use super::{asked::Asked, check::Found};
use crate::domain::Finding;
use futures_util::future::join_all;
use std::{any::Any, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How many checks run at once. Each may start scratch processes of its own, and the fleet must not feel it. They keep to
/// half of the cores: on two, 4 at once let the fleet's 95th percentile be what it is alone (0.91 to 1.05 of it; 1.38 where
/// they had all cores), and take 8.7 s where 3 take 9.8.
const AT_ONCE: usize = 4;

/// Findings in the order of `checks`; each is also told to `tell` as it comes in. Quiet checks run last and alone.
pub async fn run<E: Send + Sync + 'static>(
    checks: &[Asked<E>],
    evidence: &Arc<E>,
    deadline: Duration,
    tell: &mpsc::UnboundedSender<Finding>,
) -> Vec<Finding> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut findings: Vec<Option<Finding>> = vec![None; checks.len()];
    let busy = checks.iter().enumerate().filter(|(_, check)| !check.quiet()).map(|(index, check)| {
        let places = places.clone();
        async move {
            // The semaphore is never closed; if it were, running unbounded is better than not running.
            let _place = places.acquire_owned().await.ok();
            (index, one(check, evidence.clone(), deadline, tell).await)
        }
    });
    for (index, finding) in join_all(busy).await {
        findings[index] = Some(finding);
    }
    for (index, check) in checks.iter().enumerate().filter(|(_, check)| check.quiet()) {
        findings[index] = Some(one(check, evidence.clone(), deadline, tell).await);
    }
    findings.into_iter().flatten().collect()
}

/// One check in a task of its own, so that its panic is a finding and its end frees what it held.
async fn one<E: Send + Sync + 'static>(
    check: &Asked<E>,
    evidence: Arc<E>,
    usual: Duration,
    tell: &mpsc::UnboundedSender<Finding>,
) -> Finding {
    let (started, deadline) = (Instant::now(), check.deadline(usual));
    let asked = check.clone();
    // Dropped with the run when that is cancelled: a check must not go on for nobody.
    let work = async move { timeout(deadline, asked.run(&evidence)).await };
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    let found = match task.await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Found::timeout(format!("it was cut off at its deadline of {deadline:?}")),
        Err(error) if error.is_panic() => {
            Found::error(format!("the check itself panicked: {}", words(&*error.into_panic())))
        }
        Err(_) => Found::error("the check was cancelled: the daemon is stopping"),
    };
    let finding = check.finding(found, started.elapsed());
    // Nobody listening is no reason to lose the finding: it is returned too.
    let _ = tell.send(finding.clone());
    finding
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Category, Outcome, Severity},
        readiness::{
            Check, CheckInfo,
            asked::{Declared, Run},
        },
    };
    use futures_util::future::BoxFuture;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Seen {
        now: AtomicUsize,
        most: AtomicUsize,
        quiet_with: AtomicUsize,
    }

    fn check(
        id: &'static str,
        quiet: bool,
        run: for<'a> fn(&'a Seen) -> BoxFuture<'a, Found>,
    ) -> Asked<Seen> {
        Asked::BuiltIn(Box::leak(Box::new(Check {
            id,
            title: id,
            category: Category::Database,
            severity: Severity::Blocker,
            weight: 1,
            why: "",
            how: "",
            fix: "mend it",
            exercised: true,
            quiet,
            run,
        })))
    }

    /// One of the operator's that takes this long and may take that long.
    fn declared(id: &str, takes: Duration, longest: Duration) -> Asked<Seen> {
        let info = CheckInfo {
            id: id.into(),
            title: "t".into(),
            category: Category::Authentication,
            severity: Severity::Blocker,
            weight: 3,
            why: String::new(),
            how: String::new(),
            fix: String::new(),
            exercised: false,
            declared: true,
        };
        let run: Run<Seen> = Box::new(move |_| {
            Box::pin(async move {
                tokio::time::sleep(takes).await;
                Found::fail("not as wanted")
            })
        });
        Asked::Declared(Arc::new(Declared {
            info,
            hint: Some("start it".into()),
            longest,
            quiet: false,
            run,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_declared_check_has_its_own_deadline_and_says_whose_it_is() {
        let secs = Duration::from_secs;
        let checks = [declared("APP-1", secs(30), secs(40)), declared("APP-2", secs(90), secs(40))];
        let (tell, _told) = mpsc::unbounded_channel();
        let findings = run(&checks, &Arc::new(Seen::default()), secs(20), &tell).await;
        let outcomes: Vec<_> = findings.iter().map(|f| (f.id.as_str(), f.outcome)).collect();
        assert_eq!(outcomes, [("APP-1", Outcome::Fail), ("APP-2", Outcome::Timeout)]);
        let first = &findings[0];
        assert!(first.declared && !first.exercised && first.severity == Severity::Blocker, "{first:?}");
        assert_eq!((first.weight, first.hint.as_deref()), (3, Some("start it")));
    }

    fn counts(seen: &Seen) -> BoxFuture<'_, Found> {
        Box::pin(async {
            let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..50))).await;
            seen.now.fetch_sub(1, Ordering::SeqCst);
            Found::pass("counted")
        })
    }

    fn alone(seen: &Seen) -> BoxFuture<'_, Found> {
        Box::pin(async {
            seen.quiet_with.fetch_add(seen.now.load(Ordering::SeqCst), Ordering::SeqCst);
            Found::pass("alone")
        })
    }

    fn panics(_: &Seen) -> BoxFuture<'_, Found> {
        Box::pin(async { panic!("the check has a bug") })
    }

    fn never(_: &Seen) -> BoxFuture<'_, Found> {
        Box::pin(std::future::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_are_findings_and_hold_up_nobody() {
        let checks = [check("bug", false, panics), check("slow", false, never), check("well", false, counts)];
        let (tell, mut told) = mpsc::unbounded_channel();
        let findings = run(&checks, &Arc::new(Seen::default()), Duration::from_secs(1), &tell).await;
        let outcomes: Vec<_> = findings.iter().map(|f| (f.id.as_str(), f.outcome)).collect();
        assert_eq!(outcomes, [("bug", Outcome::Error), ("slow", Outcome::Timeout), ("well", Outcome::Pass)]);
        assert!(findings[0].summary.contains("the check has a bug"));
        assert!((999.0..1100.0).contains(&findings[1].took_ms), "{}", findings[1].took_ms);
        assert_eq!((findings[0].hint.as_deref(), findings[2].hint.as_deref()), (Some("mend it"), None));
        let mut first = vec![];
        while let Ok(finding) = told.try_recv() {
            first.push(finding.id);
        }
        assert_eq!(first, ["bug", "well", "slow"], "told as they come in");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_dropped_takes_its_checks_with_it() {
        fn lingers(seen: &Seen) -> BoxFuture<'_, Found> {
            struct Gone<'a>(&'a Seen);
            impl Drop for Gone<'_> {
                fn drop(&mut self) {
                    self.0.now.fetch_sub(1, Ordering::SeqCst);
                }
            }
            Box::pin(async {
                seen.now.fetch_add(1, Ordering::SeqCst);
                let _gone = Gone(seen);
                std::future::pending().await
            })
        }
        let checks = [check("lingers", false, lingers)];
        let (tell, _told) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen::default());
        let hour = Duration::from_secs(3600);
        let cut = timeout(Duration::from_secs(1), run(&checks, &seen, hour, &tell)).await;
        assert!(cut.is_err() && Arc::strong_count(&seen) > 1, "it was under way");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(
            (seen.now.load(Ordering::SeqCst), Arc::strong_count(&seen)),
            (0, 1),
            "it goes on for nobody"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn many_run_at_once_but_not_too_many_and_order_is_kept() {
        let mut checks: Vec<_> =
            (0..40).map(|n| check(Box::leak(format!("{n}").into_boxed_str()), false, counts)).collect();
        checks.insert(5, check("quiet", true, alone));
        let (tell, _told) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen::default());
        let findings = run(&checks, &seen, Duration::from_secs(20), &tell).await;
        assert!(findings.iter().map(|f| f.id.as_str()).eq(checks.iter().map(Asked::id)));
        let most = seen.most.load(Ordering::SeqCst);
        assert!(most == AT_ONCE, "{most} at once");
        assert_eq!(seen.quiet_with.load(Ordering::SeqCst), 0, "a quiet check runs alone");
    }
}
