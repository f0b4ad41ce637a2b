//! Failures on a scratch store: counted exactly, kept apart by cause, and never in the way of whoever records them.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{ErrorSettings, StoreSettings},
    domain::{ErrorFilter, ErrorGroup, Fault, FaultKind, Fingerprint, SpikeRule},
    errors::{Errors, Failure},
    readiness::{Evidence, Found, Ground, Plot, Proof, check::settle, undisturbed::undisturbed},
    store::Store,
};
#[cfg(test)]
use futures_util::FutureExt;
use std::time::{Duration, Instant};

/// How a failure is handed in; the daemon knows `SOUND` alone.
pub type Seam = fn(&Errors, Failure);
pub const SOUND: Seam = Errors::record;

const RULE: SpikeRule = SpikeRule { minimum: 10, factor: 5.0 };
const FLOOD: u32 = 10_000;
const CAUSES: u32 = 700;
const GROUPS: u32 = 100;
const ORPHANS: u64 = 500;
/// Of one call, on a machine that is busy: a wait for a disk or a lock that somebody holds takes longer.
const SLOWEST: Duration = Duration::from_millis(250);

/// A store, and those who record into it.
pub struct Scratch {
    pub store: Store,
    pub errors: Errors,
    _plot: Plot,
}

impl Scratch {
    pub async fn open(ground: &Ground, settings: &ErrorSettings) -> Result<Self, Fault> {
        let plot = ground.plot()?;
        let small = StoreSettings { readers_min: 1, readers_max: 2, ..StoreSettings::default() };
        let store = ground.store(&plot, &small).await?;
        let errors = Errors::open(settings, store.clone(), ground.clock());
        Ok(Self { store, errors, _plot: plot })
    }

    pub async fn groups(&self, ground: &Ground) -> Result<Vec<ErrorGroup>, Fault> {
        self.errors.flush().await;
        let all = ErrorFilter { all: true, ..ErrorFilter::default() };
        Ok(self.store.error_groups(all, ground.clock().now(), RULE, 1_000).await?)
    }

    pub async fn close(self) {
        self.errors.close().await;
        self.store.close().await;
    }
}

pub fn unavailable(message: impl Into<String>) -> Failure {
    Failure::new("rehearsal", Fault::new(FaultKind::Unavailable, message))
}

pub async fn fifty(evidence: &Evidence) -> Found {
    fifty_by(&evidence.ground, SOUND).await
}

async fn fifty_by(ground: &Ground, record: Seam) -> Found {
    let exercise = async {
        let settings = ErrorSettings { samples: 7, ..ErrorSettings::default() };
        let scratch = Scratch::open(ground, &settings).await?;
        for n in 0..50_u32 {
            let message = format!(
                "cannot reach `host{n}` at 10.0.{n}.1:{} for /srv/job/{n}: no answer in {}ms (id {:016x})",
                8000 + n,
                n * 17,
                u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            );
            record(&scratch.errors, unavailable(message));
        }
        for cause in ["refused", "reset", "closed too early", "not resolved", "not trusted"] {
            record(&scratch.errors, unavailable(format!("cannot reach `host1` at 10.0.0.1:8000: {cause}")));
        }
        let groups = scratch.groups(ground).await?;
        let most = groups.iter().map(|group| group.count).max().unwrap_or(0);
        let single = groups.iter().filter(|group| group.count == 1).count();
        let mut proof = Proof::default();
        proof.holds(most == 50, format!("the largest group counts {most} of fifty failures of one cause"));
        proof.holds(
            single == 5 && groups.len() == 6,
            format!(
                "five other causes made {single} groups of one, and there are {} groups in all",
                groups.len()
            ),
        );
        if let Some(group) = groups.iter().find(|group| group.count == most) {
            let now = ground.clock().now();
            let kept =
                scratch.store.error_group(group.id, now, RULE).await?.map_or(0, |(_, kept)| kept.len());
            proof.holds(kept == 7, format!("{kept} occurrences of it are kept, of 7 at most"));
        }
        scratch.close().await;
        Ok(proof.judge("fifty failures were fifty occurrences of one group, and other causes other groups"))
    };
    settle(exercise.await)
}

pub async fn flood(evidence: &Evidence) -> Found {
    flood_by(&evidence.ground, SOUND).await
}

async fn flood_by(ground: &Ground, record: Seam) -> Found {
    let exercise = async {
        let settings = ErrorSettings { groups: GROUPS, ..ErrorSettings::default() };
        let scratch = Scratch::open(ground, &settings).await?;
        let began = Instant::now();
        for n in 0..FLOOD {
            // Words, so that each cause is one of its own.
            let bits = n % CAUSES;
            let word = |bit: u32| if bits >> bit & 1 == 1 { "up" } else { "down" };
            let words: Vec<_> = (0..10).map(word).collect();
            record(&scratch.errors, unavailable(format!("cannot go {}", words.join(" "))));
        }
        let took = began.elapsed();
        let groups = scratch.groups(ground).await?;
        let counted: u64 = groups.iter().map(|group| group.count).sum();
        let other = Fingerprint::other();
        let rest =
            groups.iter().find(|group| group.alike.fingerprint == other).map_or(0, |group| group.count);
        let mut proof = Proof::default();
        proof.holds(counted == u64::from(FLOOD), format!("{counted} of {FLOOD} failures were counted"));
        let bounded = groups.len() <= GROUPS as usize + 1;
        proof.holds(
            bounded,
            format!("{} groups are kept, of {GROUPS} and the one of all others", groups.len()),
        );
        proof.holds(
            rest > 0,
            format!("{rest} failures of too many causes are counted together, and said to be"),
        );
        scratch.close().await;
        let found = proof.judge("a flood was counted to the last one");
        Ok(found.seen(format!("recorded in {:.0} ms", took.as_secs_f64() * 1e3)))
    };
    settle(exercise.await)
}

pub async fn closed(evidence: &Evidence) -> Found {
    closed_by(&evidence.ground, SOUND).await
}

async fn closed_by(ground: &Ground, record: Seam) -> Found {
    undisturbed(|| closed_by_once(ground, record)).await
}

async fn closed_by_once(ground: &Ground, record: Seam) -> Found {
    let exercise = async {
        let scratch = Scratch::open(ground, &ErrorSettings::default()).await?;
        scratch.store.close().await;
        let mut slowest = Duration::ZERO;
        for n in 0..ORPHANS {
            let began = Instant::now();
            record(&scratch.errors, unavailable(format!("cannot write row {n}")));
            slowest = slowest.max(began.elapsed());
        }
        let written = scratch.errors.flush().await;
        scratch.errors.close().await;
        let lost = scratch.errors.lost();
        let mut proof = Proof::default();
        proof.holds(
            slowest < SLOWEST,
            format!("the slowest of {ORPHANS} took {:.1} ms with no store", slowest.as_secs_f64() * 1e3),
        );
        proof.holds(!written || lost > 0, "what could not be written was not said to be written");
        proof.holds(lost == ORPHANS, format!("{lost} of {ORPHANS} failures were said to be lost"));
        scratch.close().await;
        Ok(proof.judge("recording held up nobody while there was no store"))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub fn tally(message: &str, at: jiff::Timestamp, count: u64) -> crate::domain::Tally {
    use crate::domain::{Alike, FaultCategory, FaultSeverity, Tally, hour_of};
    let (category, kind) = (FaultCategory::Database, FaultKind::Internal);
    Tally {
        alike: Alike {
            fingerprint: Fingerprint::of(category, kind, "prune", None, message),
            category,
            severity: FaultSeverity::High,
            kind,
            operation: "prune".into(),
            agent: None,
            retryable: false,
        },
        hint: None,
        first_at: at,
        last_at: at,
        count,
        hours: [(hour_of(at), count)].into(),
        samples: std::collections::VecDeque::new(),
    }
}

#[cfg(test)]
fn sometimes(errors: &Errors, failure: Failure) {
    // By what it says, so that a seam needs no state.
    if !failure.fault.message.len().is_multiple_of(3) {
        errors.record(failure);
    }
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "EH-022",
        at_work: || {
            let apart: Seam = |errors, failure| {
                let operation = failure.fault.message.split("host").nth(1).unwrap_or_default().to_owned();
                errors.record(Failure { operation, ..failure });
            };
            let together: Seam = |errors, failure| {
                let fault = Fault { message: "cannot".into(), ..failure.fault };
                errors.record(Failure { fault, ..failure });
            };
            let broken = [
                ("an error that is grouped by what varies", apart),
                ("errors that are all one group", together),
                ("a recorder that samples", sometimes as Seam),
            ];
            tried(fifty_by, SOUND, broken).boxed()
        },
    },
    Saboteur {
        of: "EH-024",
        at_work: || tried(flood_by, SOUND, [("a recorder that drops under load", sometimes as Seam)]).boxed(),
    },
    Saboteur {
        of: "EH-025",
        at_work: || {
            let slow: Seam = |errors, failure| {
                if failure.fault.message.ends_with("row 7") {
                    std::thread::sleep(SLOWEST * 2);
                }
                errors.record(failure);
            };
            let broken =
                [("a recorder that waits", slow), ("a recorder that loses in silence", sometimes as Seam)];
            tried(closed_by, SOUND, broken).boxed()
        },
    },
];
