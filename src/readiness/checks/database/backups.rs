//! Is there a way back, and does it lead back? How the daemon's own backups stand; and the code that makes them, on a
//! scratch store that is written to meanwhile.
use crate::{
    config::{BackupSettings, StoreSettings},
    domain::{BackupStanding, Event, EventKind, Fault, Period},
    readiness::{
        Evidence, Found, Ground, Proof, Safekeeping, check::settle, checks::configuration::is_development,
        proof::blocking,
    },
    store::{AuditFiles, Store, inspect_copy},
};
use jiff::Timestamp;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Rows before the first copy; large enough that it takes several slices.
const ROWS: u64 = 300;
const ROW: usize = 1_000;
/// Between two writes; a copy takes some tens of these.
const PACE: Duration = Duration::from_millis(2);

pub async fn fresh(evidence: &Evidence) -> Found {
    let Some(safekeeping) = &evidence.safekeeping else {
        return Found::error("nobody here knows of backups");
    };
    let development = is_development(&evidence.settings.environment);
    let look = async {
        let standing = safekeeping.standing().await?;
        Ok(judge(&standing, &evidence.settings.backups, evidence.judged_at, development))
    };
    settle(look.await)
}

fn judge(standing: &BackupStanding, settings: &BackupSettings, now: Timestamp, development: bool) -> Found {
    let age = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    let shown = |at| Period::secs(age(at).as_secs());
    let mut missing = Vec::new();
    let mut seen = Vec::new();
    if settings.every.is_none() {
        missing.push("no schedule makes backups: `every` under [backups] is not set".to_owned());
    }
    match standing.newest.as_ref().and_then(|entry| Some((entry, entry.manifest.as_ref()?))) {
        None => missing.push("there is no sound backup".into()),
        Some((entry, manifest)) => {
            let (at, limit) = (shown(manifest.at), settings.max_age);
            seen.push(format!("the newest sound backup, {}, is {at} old; max_age is {limit}", entry.id));
            if age(manifest.at) > limit.0 {
                missing.push(format!("the newest sound backup is {at} old, and {limit} is the most"));
            }
            if entry.is_verified() {
                let verified = entry.verified.as_ref().map_or(manifest.at, |verified| verified.at);
                seen.push(format!("it was verified {} ago", shown(verified)));
            } else {
                missing.push(format!("backup {} was never verified", entry.id));
            }
        }
    }
    match &standing.last_drill {
        None => missing.push("no backup was ever tried out".into()),
        Some(drill) => {
            let (at, limit) = (shown(drill.at), settings.drill_max_age);
            let (rpo, rto) = (drill.rpo, drill.rto);
            seen.push(format!(
                "the last drill, {at} ago, was of {}: RPO {rpo}, RTO {rto}; drill_max_age is {limit}",
                drill.backup
            ));
            if let Some(problem) = drill.problems.first() {
                missing.push(format!("the last drill failed: {problem}"));
            } else if age(drill.at) > limit.0 {
                missing.push(format!("the last drill was {at} ago, and {limit} is the most"));
            }
        }
    }
    let found = match missing.first() {
        None => Found::pass("the newest backup is fresh and verified, and one was tried out"),
        Some(first) if development => Found::warn(format!("{first}; in development that is a warning")),
        Some(first) => Found::fail(first.clone()),
    };
    found.all_seen(missing.into_iter().skip(1)).all_seen(seen)
}

pub async fn returns(
    ground: &Ground,
    settings: &StoreSettings,
    safekeeping: Option<Arc<dyn Safekeeping>>,
) -> Found {
    let Some(safekeeping) = safekeeping else { return Found::error("nobody here knows of backups") };
    settle(made_and_unpacked(ground, settings, safekeeping.as_ref()).await)
}

async fn made_and_unpacked(
    ground: &Ground,
    settings: &StoreSettings,
    safekeeping: &dyn Safekeeping,
) -> Result<Found, Fault> {
    let plot = ground.plot()?;
    let settings = StoreSettings { readers_min: 1, readers_max: 2, ..settings.clone() };
    let store = ground.store(&plot, &settings).await?;
    let written = Arc::new(AtomicU64::new(0));
    for _ in 0..ROWS {
        write(&store, &written).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, written, stop) = (store.clone(), Arc::clone(&written), Arc::clone(&stop));
        async move {
            let mut pace = tokio::time::interval(PACE);
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                write(&store, &written).await?;
            }
            Ok::<_, Fault>(())
        }
    });
    let before = written.load(Ordering::Relaxed);
    let (shelf, to) = (plot.path().join("shelf"), plot.path().join("unpacked"));
    let made = safekeeping.make(store.clone(), shelf.clone()).await;
    let after = written.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    writer.await.map_err(|panic| Fault::internal(format!("cannot write beside a backup: {panic}")))??;
    store.close().await;
    let (dir, promised) = made?;

    let mut proof = Proof::default();
    let problems = safekeeping.verify(shelf.clone()).await?;
    proof.holds(
        problems.is_empty(),
        problems.first().map_or("it verifies".into(), |problem| format!("fresh as it is, {problem}")),
    );
    safekeeping.unpack(shelf.clone(), to.clone()).await?;
    let database = AuditFiles::of(&to).database;
    let facts = blocking(move || Ok(inspect_copy(&database)?)).await?;
    let differences = promised.differences(&facts.content);
    proof.holds(
        differences.is_empty(),
        differences.first().map_or_else(
            || format!("unpacked, it holds what the store held: {}", promised.digest),
            |first| format!("unpacked, it is not what the store held: {first}"),
        ),
    );
    let numbers = numbers(&to, &settings, ground).await?;
    let whole = numbers.iter().copied().eq(0..numbers.len() as u64);
    let count = numbers.len() as u64;
    proof.holds(
        whole && before <= count && count <= after + 1,
        format!(
            "{before} rows were there before, {after} when it was done; it has {count}{}",
            if whole { ", none left out" } else { ", with gaps" }
        ),
    );
    for (what, spoilt) in [
        ("a file that was cut off", Spoil::Cut),
        ("a file of which one byte was changed", Spoil::Flip),
        ("a manifest whose hash does not fit", Spoil::Hash),
        ("a file that is missing", Spoil::Missing),
    ] {
        let (at, how) = (dir.clone(), spoilt);
        let undo = blocking(move || how.on(&at)).await?;
        let problems = safekeeping.verify(shelf.clone()).await?;
        // One that was unpacked all the same is in nobody's way.
        let gone = plot.path().join(what);
        let unpacked = safekeeping.unpack(shelf.clone(), gone.clone()).await;
        blocking(move || undo.put_back()).await?;
        proof.holds(
            !problems.is_empty(),
            format!("{what} was {}", if problems.is_empty() { "verified" } else { "found" }),
        );
        proof.holds(
            unpacked.is_err() && !gone.exists(),
            format!("{what} was {}", if unpacked.is_ok() { "unpacked" } else { "not unpacked" }),
        );
    }
    Ok(proof.judge(format!(
        "a backup under writes holds {count} rows of one moment, and what was changed is refused"
    )))
}

async fn write(store: &Store, written: &AtomicU64) -> Result<(), Fault> {
    let number = written.load(Ordering::Relaxed);
    let event = Event {
        seq: 0,
        at: store.now(),
        kind: EventKind::AgentReady,
        instance: None,
        text: format!("{number} {}", "x".repeat(ROW)),
    };
    store.record_event(event).await?;
    written.store(number + 1, Ordering::Relaxed);
    Ok(())
}

/// The numbers of the rows in an unpacked backup, opened as the daemon opens its own.
async fn numbers(dir: &Path, settings: &StoreSettings, ground: &Ground) -> Result<Vec<u64>, Fault> {
    let (database, aside) = (AuditFiles::of(dir).database, dir.join("migrated"));
    let (settings, clock) = (settings.clone(), ground.clock());
    let store = blocking(move || Ok(Store::open(&database, &aside, &settings, clock)?)).await?;
    let events = store.events(0, u32::MAX).await;
    store.close().await;
    let number = |text: &str| text.split(' ').next().and_then(|number| number.parse().ok());
    Ok(events?.iter().filter_map(|event| number(&event.text)).collect())
}

#[derive(Clone, Copy)]
enum Spoil {
    Cut,
    Flip,
    Hash,
    Missing,
}

/// What a file was before.
struct Before {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Spoil {
    fn on(self, dir: &Path) -> Result<Before, Fault> {
        let failed =
            |error: std::io::Error| Fault::internal(format!("cannot spoil a scratch backup: {error}"));
        let largest = || {
            let files = fs::read_dir(dir)?.flatten();
            let largest = files.max_by_key(|file| file.metadata().map_or(0, |about| about.len()));
            largest.map(|file| file.path()).ok_or_else(|| std::io::Error::other("it is empty"))
        };
        let spoil = || -> std::io::Result<Before> {
            let file = if matches!(self, Self::Hash) { dir.join("manifest.json") } else { largest()? };
            let bytes = fs::read(&file)?;
            let half = bytes.len() / 2;
            match self {
                Self::Cut => fs::write(&file, &bytes[..half])?,
                Self::Flip => {
                    let mut flipped = bytes.clone();
                    flipped[half] ^= 1;
                    fs::write(&file, flipped)?;
                }
                Self::Hash => {
                    let text = String::from_utf8_lossy(&bytes);
                    let at = text.find("\"sha256\": \"").map_or(0, |at| at + 11);
                    let mut other = bytes.clone();
                    other[at] = if other[at] == b'0' { b'1' } else { b'0' };
                    fs::write(&file, other)?;
                }
                Self::Missing => fs::remove_file(&file)?,
            }
            Ok(Before { file, bytes })
        };
        spoil().map_err(failed)
    }
}

impl Before {
    fn put_back(self) -> Result<(), Fault> {
        fs::write(&self.file, self.bytes)
            .map_err(|error| Fault::internal(format!("cannot mend a scratch backup: {error}")))
    }
}

#[cfg(test)]
pub use sabotage::{SABOTEUR_OF_FRESH, SABOTEUR_OF_RETURNS};

#[cfg(test)]
#[path = "backups_sabotage.rs"]
mod sabotage;
