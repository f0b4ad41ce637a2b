//! One look: asks within the deadline and times the answer. Whatever happens, there is a result.
use super::{
    Miss, Target,
    policies::guarded,
    probe::{Ask, Seen, compile},
    words::cut,
};
use crate::{
    config::{OptionProblem, ProbeSettings, redact},
    domain::ProbeResult,
    resilience::{Clock, Policy},
};
use futures_util::FutureExt;
use serde_json::Value;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The longest detail that is kept, in characters.
const MAX_DETAIL: usize = 200;

/// Looks once at a target of the caller's choice. Options that do not compile are a failure that says so.
pub async fn look(settings: &ProbeSettings, target: &Target, clock: &Clock) -> ProbeResult {
    match Prepared::new(settings) {
        Ok(prepared) => prepared.look(target, clock).await,
        Err(problems) => {
            let first = problems.first().map_or(String::new(), |p| format!(": {} {}", p.pointer, p.message));
            let detail = cut(&format!("the probe is misconfigured{first}"), MAX_DETAIL);
            ProbeResult { at: clock.now(), ok: false, took_ms: 0.0, detail }
        }
    }
}

/// A probe compiled once, to be asked often.
pub struct Prepared {
    probe: Arc<dyn Ask>,
    deadline: Duration,
}

impl Prepared {
    /// Everything that is wrong with the options at once.
    pub fn new(settings: &ProbeSettings) -> Result<Self, Vec<OptionProblem>> {
        let probe = compile(&settings.kind, &settings.options)?;
        Ok(Self { probe, deadline: settings.deadline.0 })
    }

    pub async fn look(&self, target: &Target, clock: &Clock) -> ProbeResult {
        ask(&*self.probe, target, self.deadline, clock).await
    }
}

/// A kind of probe for who has a deadline of their own, and wants what is wrong told from what could not be seen.
pub struct Eye {
    probe: Arc<dyn Ask>,
}

impl Eye {
    /// Everything that is wrong with the options at once.
    pub fn new(kind: &str, options: &Value) -> Result<Self, Vec<OptionProblem>> {
        Ok(Self { probe: compile(kind, options)? })
    }

    /// One look, which leaves nothing behind when it is dropped. One line, cut as that of any look.
    pub async fn see(&self, target: &Target) -> Result<String, Miss> {
        let short = |text: String| cut(&text, MAX_DETAIL);
        settled(&*self.probe, target).await.map(short).map_err(|miss| {
            let told = short(miss.to_string());
            miss.saying(told)
        })
    }
}

/// Looks with a compiled probe.
pub async fn ask(probe: &dyn Ask, target: &Target, deadline: Duration, clock: &Clock) -> ProbeResult {
    ask_under(None, probe, target, deadline, clock).await
}

/// The same for what is guarded by a policy.
pub async fn ask_under(
    policy: Option<&Policy>,
    probe: &dyn Ask,
    target: &Target,
    deadline: Duration,
    clock: &Clock,
) -> ProbeResult {
    let began = clock.instant();
    let look = async {
        let late = |_| Err(format!("no answer within {} ms", deadline.as_millis()).into());
        timeout(deadline, settled(probe, target)).await.unwrap_or_else(late)
    };
    let seen = match policy {
        // The look's own deadline is inside: who hangs has failed, and the breaker is told so.
        Some(policy) => guarded(policy, deadline, look).await,
        None => look.await,
    };
    let ok = seen.is_ok();
    let detail = cut(&seen.unwrap_or_else(|miss| miss.to_string()), MAX_DETAIL);
    ProbeResult { at: clock.now(), ok, took_ms: began.elapsed().as_secs_f64() * 1e3, detail }
}

/// Whoever is told of it, the store, a breaker or a report, is told without what looks like a secret.
async fn settled(probe: &dyn Ask, target: &Target) -> Seen {
    // The panic hook has logged where; the fleet must not lose its probe over it.
    let crashed = |_| Err(Miss::blind("the probe itself crashed; see the daemon's log"));
    let seen = AssertUnwindSafe(probe.ask(target)).catch_unwind().await.unwrap_or_else(crashed);
    let safe = |text: &str| redact(text).into_owned();
    seen.map(|text| safe(&text)).map_err(|miss| {
        let told = safe(miss.detail());
        miss.saying(told)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{domain::Period, health::probe::Seen};
    use futures_util::future::BoxFuture;
    use serde_json::{Value, json};

    pub fn settings(kind: &str, options: Value) -> ProbeSettings {
        ProbeSettings { deadline: Period::secs(10), ..ProbeSettings::readiness("p", kind, options) }
    }

    /// One look with a generous deadline.
    pub async fn ask(kind: &str, options: Value, target: &Target) -> ProbeResult {
        look(&settings(kind, options), target, &Clock::system()).await
    }

    struct Panics;
    impl Ask for Panics {
        fn ask<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Seen> {
            Box::pin(async { panic!("on purpose") })
        }
    }

    struct Hangs;
    impl Ask for Hangs {
        fn ask<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Seen> {
            Box::pin(std::future::pending())
        }
    }

    struct Rambles;
    impl Ask for Rambles {
        fn ask<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Seen> {
            Box::pin(async { Err("x\n".repeat(10_000).into()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_hangs_or_rambles_still_gives_one_short_result() {
        let (target, clock) = (Target::local("x", None), Clock::system());
        let deadline = Duration::from_millis(250);
        let seen = super::ask(&Panics, &target, deadline, &clock).await;
        assert!(!seen.ok && seen.detail.contains("crashed"), "{}", seen.detail);
        let seen = super::ask(&Hangs, &target, deadline, &clock).await;
        assert!(!seen.ok && seen.detail == "no answer within 250 ms", "{}", seen.detail);
        let seen = super::ask(&Rambles, &target, deadline, &clock).await;
        assert!(seen.detail.chars().count() <= MAX_DETAIL && !seen.detail.contains('\n'));
    }

    #[tokio::test]
    async fn a_misconfigured_probe_fails_and_says_where() {
        let seen =
            ask("http", json!({"path": "/", "expect": {"json": {"a": 1}}}), &Target::local("x", None)).await;
        assert!(!seen.ok && seen.detail.contains("/expect/json/a"), "{}", seen.detail);
    }
}
