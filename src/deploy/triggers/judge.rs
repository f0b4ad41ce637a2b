//! Pure: what a window of recorded metrics says of a limit. Too little to judge by is never quiet.
use super::{
    history::{History, within},
    machine::{Before, Deed, decide},
};
use crate::{
    config::TriggerSettings,
    domain::{Fault, Labels, MetricKind, MetricUnit, NoData, Reading, Sight, Stat, Summary, measured},
    metrics::METRICS,
    store::{MetricTier, Store},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Seconds between two looks of the recorder.
pub const LOOK_S: i64 = MetricTier::TenSeconds.step_s();
/// Of a window, so that what is not passed counts as quiet.
const ENOUGH: f64 = 0.5;
/// Of a window, so that a sum over it is all there was: a part of it is less by itself.
const NEARLY_ALL: f64 = 0.9;

/// A declaration, in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    pub metric: &'static str,
    pub labels: Labels,
    pub kind: MetricKind,
    pub unit: MetricUnit,
    pub statistic: Stat,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub window_s: i64,
    pub lasting_s: i64,
    pub cooldown_s: i64,
    pub min_samples: u64,
    pub no_data: NoData,
}

impl Terms {
    pub fn of(trigger: &TriggerSettings) -> Result<Self, Fault> {
        let wrong = |why: String| Fault::internal(format!("cannot judge trigger {}: {why}", trigger.name));
        let metric = METRICS.iter().find(|known| known.name == trigger.metric);
        let metric = metric.ok_or_else(|| wrong(format!("there is no metric {}", trigger.metric)))?;
        let value = |limit: &Option<crate::config::Limit>| {
            limit.as_ref().map(|limit| limit.value(metric.unit)).transpose().map_err(wrong)
        };
        let seconds =
            |period: crate::domain::Period| i64::try_from(period.0.as_secs()).unwrap_or(i64::MAX / 4);
        Ok(Self {
            metric: metric.name,
            labels: trigger.wanted(),
            kind: metric.kind,
            unit: metric.unit,
            statistic: trigger.statistic.unwrap_or(metric.kind.statistic()),
            above: value(&trigger.above)?,
            below: value(&trigger.below)?,
            window_s: seconds(trigger.window),
            lasting_s: seconds(trigger.lasting),
            cooldown_s: seconds(trigger.cooldown),
            min_samples: trigger.min_samples.into(),
            no_data: trigger.no_data,
        })
    }

    /// By how much a limit is passed; not at all where this is 0 or less.
    fn excess(&self, value: f64) -> f64 {
        let above = self.above.map(|limit| value - limit);
        let below = self.below.map(|limit| limit - value);
        above.into_iter().chain(below).fold(f64::NEG_INFINITY, f64::max)
    }

    /// How fine history has to be told for this window.
    pub fn tier(&self) -> MetricTier {
        if self.window_s.saturating_add(self.lasting_s) <= 2 * 3600 {
            MetricTier::TenSeconds
        } else {
            MetricTier::Minutes
        }
    }

    /// `p95 of store_query_ms over 5m is 350 ms, above 200 ms`
    pub fn sentence(&self, trigger: &TriggerSettings, reading: &Reading) -> String {
        let statistic = self.statistic.as_str();
        let value = reading.value.map_or_else(
            || format!("unmeasured: {} samples, {:.0} % observed", reading.samples, reading.observed * 100.0),
            |value| measured(value, self.unit, self.statistic),
        );
        let of = reading.of.as_ref().filter(|labels| !labels.0.is_empty());
        let of = of.map(|labels| format!(" ({labels})")).unwrap_or_default();
        let limit = trigger.limit(self.unit, self.statistic);
        format!(
            "{statistic} of {}{of} over {} is {value}; it may not be {limit}",
            self.metric, trigger.window
        )
    }
}

/// Of what there was from `floor` on, in the window that ends at `until`.
pub fn read(terms: &Terms, history: &History, until: i64, floor: i64) -> Reading {
    let window_s = terms.window_s.max(history.step_s);
    let since = until.saturating_sub(window_s).max(floor);
    let share = |looks: u64| (looks as f64 * LOOK_S as f64 / window_s as f64).min(1.0);
    let looked: u64 = within(&history.looks, since, until).iter().map(|(_, looks)| looks).sum();
    let looked = share(looked);
    let mut parts: Vec<(&Labels, Summary)> = Vec::new();
    let mut looks: BTreeMap<i64, u64> = BTreeMap::new();
    for (labels, slots) in &history.series {
        let slots = within(slots, since, until);
        for (second, summary) in slots {
            let most = looks.entry(*second).or_default();
            *most = (*most).max(summary.count());
        }
        let mut slots = slots.iter().map(|(_, summary)| summary);
        let Some(mut sum) = slots.next().cloned() else { continue };
        slots.for_each(|next| sum.add(next));
        parts.push((labels, sum));
    }
    let counted: u64 = looks.values().sum();
    let observed = if terms.kind == MetricKind::Histogram { looked } else { share(counted) };
    let alone = parts.len() == 1;
    let (value, samples, of) = match (terms.kind, terms.statistic) {
        (MetricKind::Gauge, _) | (MetricKind::Counter, Stat::Min | Stat::Max) => worst(terms, &parts),
        (MetricKind::Counter, _) => {
            let values: Vec<f64> =
                parts.iter().filter_map(|(_, sum)| sum.tell(Some(terms.statistic))).collect();
            let value = (!values.is_empty()).then(|| values.iter().sum());
            (value, counted, parts.first().filter(|_| alone).map(|(labels, _)| *labels))
        }
        (MetricKind::Histogram, _) => {
            let mut all = Summary::Histogram(crate::domain::Distribution::default());
            for (_, sum) in &parts {
                all.add(sum);
            }
            (
                all.tell(Some(terms.statistic)),
                all.count(),
                parts.first().filter(|_| alone).map(|(labels, _)| *labels),
            )
        }
    };
    let sight = match value {
        Some(value) if samples >= terms.min_samples => {
            let passed = terms.excess(value) > 0.0;
            // Of less time a sum is less: that it is below says nothing.
            let partial = terms.statistic == Stat::Sum && terms.below.is_some() && observed < NEARLY_ALL;
            match passed {
                true if !partial => Sight::Breach,
                false if observed >= ENOUGH && !partial => Sight::Quiet,
                _ => Sight::Unmeasured,
            }
        }
        // agentd looked, and there was nothing to see; where agentd itself did not look, that is nobody's failure.
        _ if terms.no_data == NoData::Breach && looked >= ENOUGH => Sight::Breach,
        _ => Sight::Unmeasured,
    };
    Reading { sight, value, samples, observed, of: of.cloned() }
}

/// Of several series, the one that is furthest beyond a limit, or nearest to it. One with too few looks is not heard
/// while another has enough.
fn worst<'a>(terms: &Terms, parts: &[(&'a Labels, Summary)]) -> (Option<f64>, u64, Option<&'a Labels>) {
    let told = parts
        .iter()
        .filter_map(|(labels, sum)| Some((sum.tell(Some(terms.statistic))?, sum.count(), *labels)));
    let rank =
        |(value, samples, _): &(f64, u64, &Labels)| (*samples >= terms.min_samples, terms.excess(*value));
    let worst = told.max_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    worst.map_or((None, 0, None), |(value, samples, labels)| (Some(value), samples, Some(labels)))
}

/// Would it fire at this time, over what this store holds? With the code that judges what runs.
pub async fn try_out(
    store: &Store,
    trigger: &TriggerSettings,
    now: Timestamp,
) -> Result<(bool, Sight), Fault> {
    let terms = Terms::of(trigger)?;
    let until = end_of(now.as_second());
    let history =
        History::read(store, &terms, until - terms.window_s - terms.lasting_s, until, terms.tier()).await?;
    let since = lasting(&terms, &history, until, i64::MIN);
    let reading = read(&terms, &history, until, i64::MIN);
    let before = Before { last: None, since, held: false, busy: false, now: until, floor: i64::MIN };
    Ok((decide(&terms, &before, reading.sight).deed == Deed::Fire, reading.sight))
}

/// Since when a limit has been passed without a break, as far back as it has to last.
pub fn lasting(terms: &Terms, history: &History, until: i64, floor: i64) -> Option<i64> {
    let mut since = None;
    let mut at = until.saturating_sub(terms.lasting_s);
    while at < until {
        let breached = read(terms, history, at, floor).sight == Sight::Breach;
        since = breached.then(|| since.unwrap_or(at));
        at += history.step_s;
    }
    since
}

/// The end of the ten seconds that the newest look is of.
pub fn end_of(second: i64) -> i64 {
    second.div_euclid(LOOK_S) * LOOK_S + LOOK_S
}
