//! From when to when a phase looks: a soak from when its release went on trial, over what was recorded, so that no
//! restart of the daemon begins it anew; and the item that says whether that is enough to judge by.
use crate::{
    config::SoakSettings,
    deploy::checklist::{Checklists, service::release_name},
    domain::{
        Category, Fault, FaultKind, Period, Phase, ReleaseId, ReleaseStanding, ReleaseState, SOAK_WINDOW,
        Severity, Soak, moment,
    },
    metrics::Metrics,
    readiness::{CheckInfo, Declared, Found},
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};

/// What a phase that is no soak looks back over.
const LOOKED_BACK: SignedDuration = SignedDuration::from_mins(30);
/// Metrics have a look in each.
const SLOT_S: i64 = 10;

/// What items are judged over; both ends are between two looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub since: Timestamp,
    pub until: Timestamp,
    /// No other release ever ran before it, as far as is known: there is nothing to compare it with.
    pub is_first: bool,
    /// Of a phase that needs a window of some length.
    pub soak: Option<Soak>,
}

impl Checklists {
    /// The window of a phase as it stands now, and the release that it is of.
    pub async fn window(
        &self,
        phase: Phase,
        release: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<(Window, Option<String>), Fault> {
        let (now, settings) = (self.parts.clock.now(), self.parts.settings.borrow().clone());
        let named = release.map(|name| release_name("check", name.to_owned())).transpose()?;
        let releases = self.parts.store.releases().await?;
        let Some((least, most)) = settings.checklist.soak.window(phase) else {
            if since.is_some() {
                return Err(Fault::usage(format!(
                    "cannot look back for phase {phase}: it looks at what is now"
                ))
                .hint("--since is for the phases short and extended"));
            }
            let ran = releases.iter().find(|known| known.state == ReleaseState::OnTrial).map(began);
            let back = now.checked_sub(LOOKED_BACK).unwrap_or(Timestamp::UNIX_EPOCH);
            let since = ran.filter(|began| phase == Phase::Post && *began > back).unwrap_or(back);
            let until = slot(now, 0);
            let window =
                Window { since: slot(since, SLOT_S - 1).min(until), until, is_first: false, soak: None };
            return Ok((window, named));
        };
        let (begins, release) = beginning(&releases, named, since, now)?;
        let is_first = release.is_some() && !has_predecessor(&releases, release.as_deref());
        let ends = begins.checked_add(span(most)).unwrap_or(now);
        let (since, until) = (slot(begins, SLOT_S - 1), slot(ends.min(now), 0));
        let until = until.max(since);
        let observed = observed(self.parts.metrics.as_ref(), since, until).await?;
        let soak = progressed((since, until, ends), least, observed, &settings.checklist.soak, now);
        Ok((Window { since, until, is_first, soak: Some(soak) }, release))
    }
}

/// Asked first of every soak: required, and never a pass before there is enough to judge by.
pub fn item(phase: Phase, soak: &Soak) -> Arc<Declared> {
    let (found, span) = (judge(phase, soak), format!("{} to {}", moment(soak.since), moment(soak.until)));
    let found = found.seen(format!("recorded from {span}"));
    let info = CheckInfo {
        id: SOAK_WINDOW.into(),
        title: "the window is long enough, and was observed".into(),
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 1,
        why: "what was not watched for long enough was not seen to hold".into(),
        how: "counts the looks that were recorded since the release went on trial".into(),
        fix: "wait, and ask again".into(),
        exercised: false,
        declared: true,
    };
    let hint = soak.again_at.map_or_else(
        || "deploy it again, or say from when on it is to be judged: --since TIME".to_owned(),
        |_| "ask again then; --wait does".to_owned(),
    );
    let run: crate::readiness::Run = Box::new(move |_| {
        let found = found.clone();
        Box::pin(async move { found })
    });
    Arc::new(Declared { info, hint: Some(hint), longest: Duration::from_secs(5), quiet: false, run })
}

fn judge(phase: Phase, soak: &Soak) -> Found {
    let told = format!("{phase}: {}", soak.progress());
    if soak.is_full() { Found::pass(told) } else { Found::skipped(told) }
}

/// When the window begins, and of which release it is.
fn beginning(
    releases: &[ReleaseStanding],
    named: Option<String>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Timestamp, Option<String>), Fault> {
    let known = match &named {
        Some(name) => {
            name.parse::<ReleaseId>().ok().and_then(|id| releases.iter().find(|r| r.release.id == id))
        }
        None if since.is_some() => None,
        None => [ReleaseState::OnTrial, ReleaseState::Stable]
            .into_iter()
            .find_map(|state| releases.iter().find(|known| known.state == state)),
    };
    if let Some(since) = since.filter(|since| *since >= now) {
        return Err(Fault::usage(format!("cannot look back to {}: it is yet to come", moment(since)))
            .hint("--since takes how far back, such as 2h, or a moment that is over"));
    }
    match (known, since) {
        (None, Some(since)) => Ok((since, named)),
        (Some(known), since) => {
            let runs =
                known.state.is_held_by_one() || known.state == ReleaseState::Candidate && since.is_some();
            if !runs {
                let (id, state) = (known.release.id, known.state);
                let message = format!("cannot judge {id} over time: it is {state}, and does not run");
                return Err(Fault::new(FaultKind::Refused, message)
                    .hint("a soak begins when a release goes on trial: `agentctl deploy RELEASE`"));
            }
            let (id, began) = (known.release.id, began(known));
            match since {
                Some(since) if since < began => Err(Fault::new(
                    FaultKind::Refused,
                    format!(
                        "cannot judge {id} from {} on: it runs since {} at the earliest",
                        moment(since),
                        moment(began)
                    ),
                )
                .hint("leave --since out, or name a later moment")),
                since => Ok((since.unwrap_or(began), Some(id.to_string()))),
            }
        }
        (None, None) => {
            let message = match named {
                Some(name) => format!("cannot tell since when {name} runs: there is no such release here"),
                None => "cannot tell what to judge: no release is on trial or stable here".to_owned(),
            };
            Err(Fault::not_found(message).hint(
                "say from when on: --since 2h; or deploy a release, `agentctl release list` shows them",
            ))
        }
    }
}

/// Since when it runs, at the earliest: when it went on trial, became stable without, or was recorded.
pub fn began(known: &ReleaseStanding) -> Timestamp {
    let ran = |state: ReleaseState| state.is_held_by_one();
    let first = known.moves.iter().rev().find(|step| ran(step.to) && !step.from.is_some_and(ran));
    first.map_or(known.release.at, |step| step.at)
}

/// Did another one ever run before this one did?
fn has_predecessor(releases: &[ReleaseStanding], of: Option<&str>) -> bool {
    let mine = releases.iter().find(|known| Some(known.release.id.to_string().as_str()) == of);
    let Some(mine) = mine else { return true };
    let first = |known: &ReleaseStanding| {
        known.moves.iter().find(|step| step.to.is_held_by_one()).map_or(Timestamp::MAX, |step| step.at)
    };
    let others = releases.iter().filter(|known| known.release.id != mine.release.id);
    others.map(first).min().is_some_and(|earliest| earliest < began(mine))
}

fn progressed(
    (since, until, ends): (Timestamp, Timestamp, Timestamp),
    least: Period,
    observed: f64,
    settings: &SoakSettings,
    now: Timestamp,
) -> Soak {
    let min_observed = settings.min_observed;
    let mut soak = Soak { since, until, least, observed, min_observed, again_at: None };
    if soak.is_full() || now >= ends {
        return soak;
    }
    let (length, needed) = (soak.length().as_secs_f64(), least.0.as_secs_f64());
    let unseen = min_observed * length - observed * length;
    // All that comes is observed: how much of it makes up for what was not?
    let made_up = if unseen <= 0.0 { 0.0 } else { unseen / (1.0 - min_observed) };
    let more = SignedDuration::try_from_secs_f64((needed - length).max(made_up).max(0.0).ceil());
    // The look that completes it comes within ten seconds, and a moment later it is kept.
    let at = more.ok().and_then(|more| until.checked_add(more + SignedDuration::from_secs(SLOT_S + 1)).ok());
    soak.again_at = at.map(|at| at.max(now)).filter(|at| *at <= ends);
    soak
}

async fn observed(metrics: Option<&Metrics>, since: Timestamp, until: Timestamp) -> Result<f64, Fault> {
    match metrics {
        None => Ok(0.0),
        Some(metrics) => match metrics.observed(since, until).await {
            // Nothing was ever looked at.
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(0.0),
            other => other,
        },
    }
}

/// The beginning of the slot of a look: at or before, or with nine seconds more at or after. What is under way is
/// in no window yet.
fn slot(at: Timestamp, later_s: i64) -> Timestamp {
    let second = at.as_second() + if later_s > 0 && at.subsec_nanosecond() > 0 { SLOT_S } else { later_s };
    Timestamp::from_second(second.div_euclid(SLOT_S) * SLOT_S).unwrap_or(at)
}

fn span(period: Period) -> SignedDuration {
    SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
