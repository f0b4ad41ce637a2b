//! `Metrics`, the handle others hold: what was measured, asked for by name, labels, time and step.
use super::{
    Requests,
    answer::{Asked, Overview, Told, Trace, Used, no_such_labels, no_such_name},
    catalogue::{AGENT_CPU, AGENT_MEMORY, DAEMON_MEMORY, METRICS},
    fit::{self, Fit},
    recorder::{Recorder, RecorderParts, STEP_S},
    sights::Rooms,
};
use crate::{
    agents::Supervisor,
    config::Settings,
    domain::{Distribution, Fault, Labels, MetricKind, MetricUnit, Numbers, Point, Stat, Summary},
    errors::Errors,
    health::Monitor,
    resilience::Clock,
    store::{KeptSeries, MetricTier, Store},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const RECENT_S: i64 = 3600;
const RECENT_STEP_S: i64 = 300;
/// How long `shutdown` waits for a look to end.
const LAST_LOOK: Duration = Duration::from_secs(2);

pub struct MetricsParts {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub store: Store,
    pub clock: Clock,
}

#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    settings: watch::Receiver<Arc<Settings>>,
    store: Store,
    clock: Clock,
    requests: Requests,
    looked: Arc<watch::Sender<i64>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Metrics {
    /// Answers; looks at nothing until `record`.
    pub fn new(parts: MetricsParts) -> Self {
        Self(Arc::new(Inner {
            settings: parts.settings,
            store: parts.store,
            clock: parts.clock,
            requests: Requests::default(),
            looked: Arc::new(watch::Sender::new(0)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Looks every ten seconds, until `shutdown`.
    pub fn record(&self, supervisor: Supervisor, monitor: Monitor, errors: Errors) {
        let Inner { store, requests, clock, settings, .. } = &*self.0;
        let rooms = Rooms {
            store: store.clone(),
            supervisor,
            monitor,
            errors: errors.clone(),
            requests: requests.clone(),
        };
        let recorder = Recorder::new(RecorderParts {
            watch: Arc::new(rooms),
            store: store.clone(),
            errors,
            clock: clock.clone(),
            settings: settings.clone(),
            looked: Arc::clone(&self.0.looked),
        });
        self.0.tasks.spawn(recorder.run(self.0.stop.clone()));
    }

    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if timeout(LAST_LOOK, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("the look at the metrics did not end in time");
        }
    }

    /// Changes with each look that is kept.
    pub fn looked(&self) -> watch::Receiver<i64> {
        self.0.looked.subscribe()
    }

    /// Whoever answers requests counts them here.
    pub fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Series that are kept: of this name, or all.
    pub async fn known(&self, name: Option<&str>) -> Result<Vec<KeptSeries>, Fault> {
        let known = self.0.store.metric_series(name.map(str::to_owned)).await?;
        match name {
            Some(name) if known.is_empty() => Err(no_such_name(name)),
            _ => Ok(known),
        }
    }

    /// Points of every series that has the labels; a series that nothing is kept of in this time has none.
    pub async fn query(&self, asked: Asked) -> Result<Told, Fault> {
        let (kind, unit, chosen) = self.choose(&asked.name, &asked.labels).await?;
        let stat = asked.stat.unwrap_or(match kind {
            MetricKind::Gauge => Stat::Avg,
            MetricKind::Counter => Stat::Rate,
            MetricKind::Histogram => Stat::P50,
        });
        if !stat.suits(kind) {
            let suits: Vec<&str> =
                Stat::ALL.iter().filter(|stat| stat.suits(kind)).map(|stat| stat.as_str()).collect();
            return Err(Fault::usage(format!(
                "cannot tell {} of `{}`: it is a {}",
                stat.as_str(),
                asked.name,
                kind.as_str()
            ))
            .hint(format!("of a {} it is one of {}", kind.as_str(), suits.join(", "))));
        }
        let kept = self.0.settings.borrow().metrics.clone();
        let fit = fit::fit((asked.since, asked.until), asked.step, self.0.clock.now(), &kept, chosen.len())?;
        let slots = self.slots(&chosen, fit).await?;
        let series = chosen.into_iter().zip(slots).map(|(kept, slots)| {
            let steps = stepped(slots, fit.step_s);
            Trace {
                labels: kept.series.labels,
                points: steps.iter().filter_map(|(at, sum)| point(*at, sum, stat)).collect(),
                whole: summed(steps.into_iter().map(|(_, sum)| sum))
                    .and_then(|sum| point(fit.since, &sum, stat)),
            }
        });
        Ok(Told {
            name: asked.name,
            kind,
            unit,
            stat,
            since: time(fit.since),
            until: time(fit.until),
            step_s: fit.step_s.unsigned_abs(),
            series: series.collect(),
        })
    }

    /// Of all that the histograms of these series counted in this time, in milliseconds, and how much that is. None if
    /// nothing was counted.
    pub async fn percentile(
        &self,
        name: &str,
        labels: &Labels,
        since: Timestamp,
        until: Timestamp,
        quantile: f64,
    ) -> Result<Option<(f64, u64)>, Fault> {
        let (kind, _, chosen) = self.choose(name, labels).await?;
        if kind != MetricKind::Histogram {
            let message = format!("cannot tell a percentile of `{name}`: it is a {}", kind.as_str());
            return Err(Fault::usage(message).hint("agentctl metrics list shows which are histograms"));
        }
        let slots = self.slots(&chosen, self.whole(since, until)).await?;
        let mut all = Distribution::default();
        for (_, summary) in slots.into_iter().flatten() {
            if let Summary::Histogram(some) = summary {
                all.add(&some);
            }
        }
        Ok(all.quantile(quantile).map(|micros| (micros as f64 / 1e3, all.count())))
    }

    /// Every name with how many series it has; those of one series with their last hour, in steps of five minutes.
    pub async fn overview(&self) -> Result<Vec<Overview>, Fault> {
        let mut names: BTreeMap<String, Vec<KeptSeries>> = BTreeMap::new();
        for kept in self.0.store.metric_series(None).await? {
            names.entry(kept.series.name.clone()).or_default().push(kept);
        }
        let until = self.0.clock.now().as_second() + 1;
        let since = (until - RECENT_S).div_euclid(RECENT_STEP_S) * RECENT_STEP_S;
        let fit = Fit { tier: MetricTier::Minutes, step_s: RECENT_STEP_S, since, until };
        let single: Vec<KeptSeries> =
            names.values().filter(|series| series.len() == 1).flatten().cloned().collect();
        let mut recent: BTreeMap<u32, Vec<(i64, Summary)>> =
            single.iter().map(|kept| kept.id).zip(self.slots(&single, fit).await?).collect();
        let overview = names.into_iter().map(|(name, series)| {
            let steps: BTreeMap<i64, Summary> =
                stepped(recent.remove(&series[0].id).unwrap_or_default(), fit.step_s).into_iter().collect();
            let all = (since..until).step_by(usize::try_from(RECENT_STEP_S).unwrap_or(1));
            let recent = all.map(|at| steps.get(&at).and_then(|sum| sum.tell(None)));
            let about = METRICS.iter().find(|metric| metric.name == name).map_or("", |metric| metric.about);
            Overview {
                about: about.to_owned(),
                kind: series[0].series.kind,
                unit: series[0].series.unit,
                series: series.len() as u64,
                recent: if series.len() == 1 { recent.collect() } else { Vec::new() },
                name,
            }
        });
        Ok(overview.collect())
    }

    /// The share of this time, 0 to 1, that there were looks in. What is yet to come was not seen.
    pub async fn observed(&self, since: Timestamp, until: Timestamp) -> Result<f64, Fault> {
        let slots = |second: i64| (second + STEP_S - 1).div_euclid(STEP_S);
        let due = slots(until.as_second()) - slots(since.as_second());
        // Each look sees the daemon itself.
        let (_, _, own) = self.choose(DAEMON_MEMORY.name, &Labels::default()).await?;
        if due <= 0 {
            return Ok(0.0);
        }
        let looks = self.slots(&own, self.whole(since, until)).await?;
        let seen: u64 = looks.iter().flatten().map(|(_, summary)| summary.count()).sum();
        Ok((seen as f64 / due as f64).min(1.0))
    }

    /// What each instance used, most processor time first.
    pub async fn used(&self, since: Timestamp, until: Timestamp) -> Result<Vec<Used>, Fault> {
        let mut chosen = self.0.store.metric_series(Some(AGENT_CPU.name.to_owned())).await?;
        chosen.extend(self.0.store.metric_series(Some(AGENT_MEMORY.name.to_owned())).await?);
        let kept = self.0.settings.borrow().metrics.clone();
        let fit = fit::fit((since, until), None, self.0.clock.now(), &kept, chosen.len())?;
        let slots = self.slots(&chosen, fit).await?;
        let mut used: BTreeMap<(String, String), Used> = BTreeMap::new();
        for (kept, slots) in chosen.into_iter().zip(slots) {
            let Some(sum) = summed(slots.into_iter().map(|(_, summary)| summary)) else { continue };
            let label = |name: &str| kept.series.labels.0.get(name).cloned().unwrap_or_default();
            let (agent, instance) = (label("agent"), label("instance"));
            let agent = if agent.is_empty() { label("candidate") } else { agent };
            let of = used.entry((agent.clone(), instance.clone())).or_insert_with(|| Used {
                agent,
                instance,
                cpu: None,
                cpu_max: None,
                memory_bytes: None,
                memory_bytes_max: None,
                looks: 0,
            });
            if kept.series.name == AGENT_CPU.name {
                (of.cpu, of.cpu_max) = (sum.tell(Some(Stat::Rate)), sum.tell(Some(Stat::Max)));
            } else {
                (of.memory_bytes, of.memory_bytes_max) =
                    (sum.tell(Some(Stat::Avg)), sum.tell(Some(Stat::Max)));
                of.looks = sum.count();
            }
        }
        let mut used: Vec<Used> = used.into_values().collect();
        used.sort_by(|a, b| b.cpu.unwrap_or(-1.0).total_cmp(&a.cpu.unwrap_or(-1.0)));
        Ok(used)
    }

    /// Series of one name that have the labels.
    async fn choose(
        &self,
        name: &str,
        labels: &Labels,
    ) -> Result<(MetricKind, MetricUnit, Vec<KeptSeries>), Fault> {
        let known = self.known(Some(name)).await?;
        let (kind, unit) = (known[0].series.kind, known[0].series.unit);
        let chosen: Vec<KeptSeries> =
            known.iter().filter(|kept| kept.series.labels.has(labels)).cloned().collect();
        if chosen.is_empty() {
            return Err(no_such_labels(name, labels, &known));
        }
        Ok((kind, unit, chosen))
    }

    async fn slots(&self, chosen: &[KeptSeries], fit: Fit) -> Result<Vec<Vec<(i64, Summary)>>, Fault> {
        let numbers = chosen.iter().map(|kept| kept.id).collect();
        Ok(self.0.store.metric_summaries(numbers, fit.tier, time(fit.since), time(fit.until)).await?)
    }

    /// All of a time, at its finest while that is not too much to read; its edges are then at most so far off.
    fn whole(&self, since: Timestamp, until: Timestamp) -> Fit {
        let now = self.0.clock.now();
        let kept = self.0.settings.borrow().metrics.clone();
        let hours = until.duration_since(since).as_hours();
        let enough = match hours {
            ..=26 => MetricTier::TenSeconds,
            27..=400 => MetricTier::Minutes,
            _ => MetricTier::Hours,
        };
        let since = since.max(super::recorder::before(now, kept.keep_hours));
        let tier = fit::finest(since, now, &kept).max(enough);
        Fit {
            tier,
            step_s: tier.step_s(),
            since: since.as_second(),
            until: until.as_second().max(since.as_second()),
        }
    }
}

/// What begins in the same step, added up.
fn stepped(slots: Vec<(i64, Summary)>, step_s: i64) -> Vec<(i64, Summary)> {
    let mut steps: Vec<(i64, Summary)> = Vec::new();
    for (second, summary) in slots {
        let at = second.div_euclid(step_s) * step_s;
        match steps.last_mut() {
            Some((last, sum)) if *last == at => sum.add(&summary),
            _ => steps.push((at, summary)),
        }
    }
    steps
}

fn summed(summaries: impl Iterator<Item = Summary>) -> Option<Summary> {
    summaries.reduce(|mut sum, next| {
        sum.add(&next);
        sum
    })
}

fn point(at: i64, sum: &Summary, stat: Stat) -> Option<Point> {
    let value = sum.tell(Some(stat))?;
    let (min, max) = match sum {
        Summary::Gauge(Numbers { min, max, .. }) | Summary::Counter(Numbers { min, max, .. }) => (*min, *max),
        Summary::Histogram(_) => {
            (sum.tell(Some(Stat::Min)).unwrap_or(value), sum.tell(Some(Stat::Max)).unwrap_or(value))
        }
    };
    Some(Point { at: time(at), value, min, max, count: sum.count() })
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}
