//! Would the declared triggers fire? What each of them waits for is planted in a scratch store, through the code that
//! records, and judged by the code that judges what runs; and what is healthy, and nothing at all.
use crate::{
    config::{Measured, StoreSettings, TriggerSettings},
    domain::{
        Distribution, Fault, Labels, Measure, MetricKind, MetricSeries, MetricUnit, Period, Sight, Stat,
    },
    readiness::{Evidence, Found, Ground, Hindrance, Proof, Triggering, check::settle},
    store::{Encoded, Store},
};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use std::sync::Arc;

/// Between two looks of the recorder.
const LOOK_S: i64 = 10;
/// Times are shortened to these, so that planting them takes no time.
const WINDOW: Period = Period::secs(60);
const LASTING: Period = Period::secs(20);
/// Each trigger has an hour of its own, long ago.
const BEGIN: i64 = 1_000_000_000 / 3600 * 3600;
/// Each look sees the daemon itself.
const OWN: Measured =
    Measured { name: "daemon_memory_bytes", kind: MetricKind::Gauge, unit: MetricUnit::Bytes };

pub async fn act(evidence: &Evidence) -> Found {
    let Some(triggering) = evidence.triggering.clone() else {
        return Found::error("nobody here knows of triggers");
    };
    let look = async {
        let Hindrance { standing, held } = triggering.hindrance().await?;
        let (declared, metrics) = (&evidence.settings.triggers_declared, (evidence.kinds)().metrics);
        let found = if declared.is_empty() {
            Found::not_applicable("no trigger is declared")
        } else {
            fire(&evidence.ground, declared, &metrics, triggering).await
        };
        Ok(hindered(found, &standing)
            .all_seen(held.iter().map(|held| format!("nothing acts by itself: {held}"))))
    };
    settle(look.await)
}

/// What holds is no pass while somebody has to look.
fn hindered(found: Found, standing: &[String]) -> Found {
    use crate::domain::Outcome::{NotApplicable, Pass};
    match standing.first() {
        Some(first) if matches!(found.outcome, Pass | NotApplicable) => {
            Found::warn(first.clone()).all_seen(found.evidence).all_seen(standing.iter().skip(1))
        }
        _ => found.all_seen(standing),
    }
}

pub async fn fire(
    ground: &Ground,
    declared: &[TriggerSettings],
    metrics: &[Measured],
    triggering: Arc<dyn Triggering>,
) -> Found {
    settle(exercise(ground, declared, metrics, triggering.as_ref()).await)
}

async fn exercise(
    ground: &Ground,
    declared: &[TriggerSettings],
    metrics: &[Measured],
    triggering: &dyn Triggering,
) -> Result<Found, Fault> {
    let plot = ground.plot()?;
    let settings = StoreSettings { readers_min: 1, readers_max: 2, ..StoreSettings::default() };
    let store = ground.store(&plot, &settings).await?;
    let proved = prove(&store, declared, metrics, triggering).await;
    store.close().await;
    let fired = declared.len();
    Ok(proved?.judge(format!("each of {fired} triggers fires on what it waits for, and on nothing else")))
}

async fn prove(
    store: &Store,
    declared: &[TriggerSettings],
    metrics: &[Measured],
    triggering: &dyn Triggering,
) -> Result<Proof, Fault> {
    let mut proof = Proof::default();
    for (trigger, hour) in declared.iter().zip((BEGIN..).step_by(3600)) {
        let name = &trigger.name;
        let Some(metric) = metrics.iter().find(|metric| metric.name == trigger.metric) else {
            proof.holds(false, format!("{name}: nothing is recorded as {}", trigger.metric));
            continue;
        };
        let (short, plan) = (shortened(trigger), Plan::of(trigger, *metric)?);
        let bad = plant(store, &short, *metric, hour, plan.bad).await?;
        let good = plant(store, &short, *metric, hour + 1800, plan.good).await?;
        let nothing = time(hour + 3000);
        let fires = async |at| triggering.would_fire(store.clone(), short.clone(), at).await;
        let (fired, _) = fires(bad).await?;
        proof.holds(fired, format!("{name} {} on {}", fired_or_not(fired), plan.bad_told));
        let (fired, sight) = fires(good).await?;
        let quiet = !fired && sight == Sight::Quiet;
        proof.holds(quiet, format!("{name} {} on {}", fired_or_not(fired), plan.good_told));
        let (fired, sight) = fires(nothing).await?;
        let said = if sight == Sight::Quiet { "calls it quiet" } else { "calls it unmeasured" };
        let silent = !fired && sight == Sight::Unmeasured;
        proof.holds(silent, format!("{name} {} where nothing was recorded, and {said}", fired_or_not(fired)));
    }
    Ok(proof)
}

fn fired_or_not(fired: bool) -> &'static str {
    if fired { "fires" } else { "does not fire" }
}

/// The same declaration over less time.
fn shortened(trigger: &TriggerSettings) -> TriggerSettings {
    let window = trigger.window.min(WINDOW);
    let looks = u32::try_from(window.0.as_secs() / LOOK_S.unsigned_abs()).unwrap_or(1).max(1);
    let min_samples = trigger.min_samples.min(looks);
    TriggerSettings { window, lasting: trigger.lasting.min(LASTING), min_samples, ..trigger.clone() }
}

/// What is planted: each look's measure where it is to fire, and where it is not.
struct Plan {
    bad: Measure,
    good: Measure,
    bad_told: String,
    good_told: String,
}

impl Plan {
    fn of(trigger: &TriggerSettings, metric: Measured) -> Result<Self, Fault> {
        let value = |limit: &Option<crate::config::Limit>| {
            let value = limit.as_ref().map(|limit| limit.value(metric.unit)).transpose();
            value.map_err(|why| Fault::internal(format!("cannot read the limit of {}: {why}", trigger.name)))
        };
        let (above, below) = (value(&trigger.above)?, value(&trigger.below)?);
        let far = |limit: f64| limit.abs().max(1.0);
        let gauge = metric.kind == MetricKind::Gauge;
        let (bad, good) = match (above, below) {
            (Some(above), Some(below)) => (above + far(above), f64::midpoint(above, below)),
            (Some(above), None) => (above + far(above), if gauge { above - far(above) } else { 0.0 }),
            (None, Some(below)) => (if gauge { below - far(below) } else { 0.0 }, below + far(below)),
            (None, None) => {
                return Err(Fault::internal(format!("cannot plant for {}: no limit", trigger.name)));
            }
        };
        let statistic = trigger.statistic.unwrap_or(metric.kind.statistic());
        let window = shortened(trigger).window.0.as_secs_f64();
        let looks = (window / LOOK_S as f64).floor().max(1.0);
        let measure = |value: f64| match metric.kind {
            MetricKind::Gauge => Measure::Gauge(value),
            MetricKind::Counter => {
                let by = if statistic == Stat::Sum { value / looks } else { value * LOOK_S as f64 };
                Measure::Counter { by, seconds: LOOK_S as f64 }
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "milliseconds, never negative"
            )]
            MetricKind::Histogram => {
                let count = u64::from(trigger.min_samples).max(1);
                Measure::Histogram(Distribution::new([((value * 1e3).max(0.0) as u64, count)]))
            }
        };
        let told = |value: f64| {
            let value = crate::domain::measured(value, metric.unit, statistic);
            format!(
                "{} of {} at {value} (limit: {})",
                statistic.as_str(),
                metric.name,
                trigger.limit(metric.unit, statistic)
            )
        };
        Ok(Self { bad: measure(bad), good: measure(good), bad_told: told(bad), good_told: told(good) })
    }
}

/// As long as it has to last and two looks more, from this second on; returns the time of the last look.
async fn plant(
    store: &Store,
    trigger: &TriggerSettings,
    metric: Measured,
    begin: i64,
    measure: Measure,
) -> Result<Timestamp, Fault> {
    let series =
        |of: Measured, labels| MetricSeries { name: of.name.into(), labels, kind: of.kind, unit: of.unit };
    let wanted = vec![series(metric, trigger.wanted()), series(OWN, Labels::default())];
    let numbers = store.open_series(wanted, u32::MAX, Timestamp::UNIX_EPOCH).await?;
    let [Some(number), Some(own)] = numbers[..] else {
        return Err(Fault::internal("cannot plant a metric: the scratch store takes no series"));
    };
    let lasts = i64::try_from((trigger.window.0 + trigger.lasting.0).as_secs()).unwrap_or(0);
    let end = begin + (lasts / LOOK_S + 2) * LOOK_S;
    let ticks = (begin..=end).step_by(usize::try_from(LOOK_S).unwrap_or(1)).map(|second| {
        // The first of a series counts: it may be the same one.
        let look = vec![(number, measure.clone()), (own, Measure::Gauge(1.0))];
        store.keep_tick(time(second), Encoded::of(look))
    });
    try_join_all(ticks).await?;
    Ok(time(end))
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

#[cfg(test)]
pub use sabotage::SABOTEUR;

#[cfg(test)]
#[path = "triggers_sabotage.rs"]
mod sabotage;
