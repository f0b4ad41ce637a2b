use super::*;
use crate::{
    config::Limit,
    domain::{NoData, Outcome, TriggerAction},
    readiness::checks::{Saboteur, tried},
    store::MetricTier,
};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// A judge of a gauge above its limit, and what is broken of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fake {
    Sound,
    Never,
    Always,
    /// Where nothing is, nothing is wrong.
    Trusting,
    /// It looks at whatever has the metric's name an hour before.
    Late,
}

const METRIC: Measured =
    Measured { name: "agent_memory_bytes", kind: MetricKind::Gauge, unit: MetricUnit::Bytes };

fn declared() -> TriggerSettings {
    TriggerSettings {
        name: "memory".into(),
        metric: METRIC.name.into(),
        labels: BTreeMap::new(),
        agent: "orders".parse().ok(),
        statistic: None,
        above: Some(Limit::Quantity("2GiB".into())),
        below: None,
        window: Period::secs(3600),
        min_samples: 100,
        lasting: Period::secs(600),
        no_data: NoData::Observe,
        action: TriggerAction::Revert,
        cooldown: Period::secs(60),
        always: false,
    }
}

impl Triggering for Fake {
    fn hindrance(&self) -> BoxFuture<'_, Result<Hindrance, Fault>> {
        async { Ok(Hindrance::default()) }.boxed()
    }

    fn would_fire(
        &self,
        store: Store,
        trigger: TriggerSettings,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(bool, Sight), Fault>> {
        async move {
            let known = store.metric_series(Some(trigger.metric.clone())).await?;
            let chosen =
                known.iter().filter(|kept| kept.series.labels.has(&trigger.wanted())).map(|kept| kept.id);
            let until = if *self == Self::Late { now - SignedDuration::from_hours(1) } else { now };
            let since = until - SignedDuration::from_secs(50);
            let until = until + SignedDuration::from_secs(10);
            let slots =
                store.metric_summaries(chosen.collect(), MetricTier::TenSeconds, since, until).await?;
            let last = slots.iter().flatten().last().and_then(|(_, sum)| sum.tell(Some(Stat::Last)));
            let sight = match last {
                None if *self == Self::Trusting => Sight::Quiet,
                None => Sight::Unmeasured,
                Some(value) if value > f64::from(1_u32 << 31) => Sight::Breach,
                Some(_) => Sight::Quiet,
            };
            let fires = match self {
                Self::Never => false,
                Self::Always => true,
                Self::Sound | Self::Trusting | Self::Late => sight == Sight::Breach,
            };
            Ok((fires, sight))
        }
        .boxed()
    }
}

pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-015",
    at_work: || {
        async fn exercise(ground: &Ground, fake: Fake) -> Found {
            fire(ground, &[declared()], &[METRIC], Arc::new(fake)).await
        }
        async {
            let broken = [
                ("a trigger that never fires", Fake::Never),
                ("a trigger that always fires", Fake::Always),
                ("a trigger that calls nothing quiet", Fake::Trusting),
                ("a trigger that judges what is long over", Fake::Late),
            ];
            let mut tried = tried(exercise, Fake::Sound, broken).await;
            let stands = ["trigger memory is stopped".to_owned()];
            tried.broken.push(("a trigger that is stopped", hindered(Found::pass("each fires"), &stands)));
            tried
        }
        .boxed()
    },
};

#[test]
fn what_stands_is_a_warning_and_never_makes_a_failure_better() {
    let stands = ["trigger memory is stopped".to_owned()];
    assert_eq!(hindered(Found::pass("well"), &[]).outcome, Outcome::Pass);
    assert_eq!(hindered(Found::not_applicable("none"), &stands).outcome, Outcome::Warn);
    assert_eq!(hindered(Found::fail("broken"), &stands).outcome, Outcome::Fail);
}
