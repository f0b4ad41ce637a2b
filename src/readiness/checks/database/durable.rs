//! What every connection promises to the disk, and what stands on it.
use crate::{
    config::StoreSettings,
    domain::{Event, EventKind, Fault},
    readiness::{Evidence, Found, Ground, Proof},
    store::{DurabilityFacts, IntegrityFacts, Store},
};
use std::{fs, path::Path};

/// What is written in the exercise.
const WRITTEN: &str = "written and acknowledged";

pub async fn settings(evidence: &Evidence) -> Found {
    let facts = match evidence.store.prove_durability_settings().await {
        Ok(facts) => facts,
        Err(error) => return Found::error(error.to_string()),
    };
    match survival(&evidence.ground, &evidence.settings.store).await {
        Ok(survived) => judge_durability(&facts, survived),
        Err(fault) => fault.into(),
    }
}

/// What a store opened over a copy of another's files finds of its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Survival {
    /// In the copy made before the write: it must not be there.
    before: bool,
    /// In the copy made once the write was acknowledged, the store still open: as a crash leaves the files.
    after: bool,
}

async fn survival(ground: &Ground, settings: &StoreSettings) -> Result<Survival, Fault> {
    let plot = ground.plot()?;
    let store = ground.store(&plot, settings).await?;
    let outcome = crash_copies(ground, plot.path(), settings, &store).await;
    store.close().await;
    outcome
}

async fn crash_copies(
    ground: &Ground,
    path: &Path,
    settings: &StoreSettings,
    store: &Store,
) -> Result<Survival, Fault> {
    let (first, second) = (ground.plot()?, ground.plot()?);
    copy(path, first.path())?;
    let event = Event {
        seq: 0,
        at: ground.clock().now(),
        kind: EventKind::ValidationFinished,
        instance: None,
        text: WRITTEN.into(),
    };
    store.record_event(event).await?;
    copy(path, second.path())?;
    let mut seen = [false; 2];
    for (seen, plot) in seen.iter_mut().zip([&first, &second]) {
        let copy = ground.store(plot, settings).await?;
        let events = copy.events(0, 10).await;
        copy.close().await;
        *seen = events?.iter().any(|event| event.text == WRITTEN);
    }
    Ok(Survival { before: seen[0], after: seen[1] })
}

/// The database and its log; the third file is shared memory, which no crash leaves.
fn copy(from: &Path, to: &Path) -> Result<(), Fault> {
    for name in ["scratch.db", "scratch.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name))
                .map_err(|error| Fault::internal(format!("cannot copy a scratch store: {error}")))?;
        }
    }
    Ok(())
}

fn judge_durability(facts: &DurabilityFacts, survived: Survival) -> Found {
    if facts.connections.len() < 2 {
        return Found::error("there was no writer and reader to ask");
    }
    let mut proof = Proof::default();
    for (index, c) in facts.connections.iter().enumerate() {
        let writer = index == 0;
        let sound = c.journal_mode.eq_ignore_ascii_case("wal")
            && c.synchronous >= 2
            && c.foreign_keys
            && c.busy_timeout_ms > 0
            && (writer || c.query_only);
        proof.holds(
            sound,
            format!(
                "{}: journal {}, synchronous {} (2 is FULL), foreign keys {}, busy timeout {} ms, {}",
                c.who,
                c.journal_mode,
                c.synchronous,
                if c.foreign_keys { "on" } else { "off" },
                c.busy_timeout_ms,
                if c.query_only { "refuses to write" } else { "may write" }
            ),
        );
    }
    let new_enough = at_least(&facts.sqlite_version, [3, 51, 3]);
    proof.holds(new_enough, format!("SQLite {}, 3.51.3 or newer is needed", facts.sqlite_version));
    let is = |there: bool| if there { "is there" } else { "is not there" };
    proof.holds(
        survived.after && !survived.before,
        format!(
            "a scratch write {} in a copy of the files made at its acknowledgement, as a crash leaves them, and {} \
             in one made before it",
            is(survived.after),
            is(survived.before)
        ),
    );
    proof.judge(format!(
        "all {} open connections are durable, and a write survives a crash",
        facts.connections.len()
    ))
}

fn at_least(version: &str, wanted: [u32; 3]) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.as_slice() >= &wanted[..])
}

pub async fn whole(evidence: &Evidence) -> Found {
    match evidence.store.integrity().await {
        Ok(facts) => {
            judge_integrity(&facts).seen(format!("{} bytes read", evidence.store.stats().file_bytes))
        }
        Err(error) => Found::error(error.to_string()),
    }
}

fn judge_integrity(facts: &IntegrityFacts) -> Found {
    match (facts.damage.len(), facts.dangling) {
        (0, 0) => Found::pass("no damage, and no reference to nothing"),
        (0, rows) => Found::fail(format!("{rows} rows refer to nothing")),
        (lines, _) => Found::fail(format!("SQLite complains of {lines} things"))
            .all_seen(facts.damage.iter().take(20).cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, store::ConnectionFacts};

    const SURVIVED: Survival = Survival { before: false, after: true };

    fn sound(who: &str) -> ConnectionFacts {
        ConnectionFacts {
            who: who.into(),
            journal_mode: "wal".into(),
            synchronous: 2,
            foreign_keys: true,
            busy_timeout_ms: 5000,
            query_only: who != "writer",
        }
    }

    #[test]
    fn one_careless_connection_is_found_among_many() {
        let judge = |connections: Vec<ConnectionFacts>, version: &str| {
            judge_durability(&DurabilityFacts { sqlite_version: version.into(), connections }, SURVIVED)
                .outcome
        };
        let with = |change: fn(&mut ConnectionFacts)| {
            let mut odd = sound("reader 2");
            change(&mut odd);
            vec![sound("writer"), sound("reader 1"), odd]
        };
        assert_eq!(judge(with(|_| {}), "3.51.3"), Outcome::Pass);
        assert_eq!(judge(with(|_| {}), "3.52.0"), Outcome::Pass);
        assert_eq!(judge(with(|_| {}), "3.50.9"), Outcome::Fail);
        assert_eq!(judge(with(|_| {}), "unknown"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.synchronous = 1), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.journal_mode = "delete".into()), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.foreign_keys = false), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.query_only = false), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(vec![], "3.51.3"), Outcome::Error);
    }

    #[test]
    fn damage_is_found() {
        let judge = |damage: &[&str], dangling| {
            judge_integrity(&IntegrityFacts {
                damage: damage.iter().map(ToString::to_string).collect(),
                dangling,
            })
            .outcome
        };
        assert_eq!(
            (judge(&[], 0), judge(&["row 3 missing"], 0), judge(&[], 1)),
            (Outcome::Pass, Outcome::Fail, Outcome::Fail)
        );
    }

    #[tokio::test]
    async fn an_acknowledged_write_survives_and_one_that_does_not_is_found() {
        let (_base, ground) = crate::readiness::checks::scratch_ground();
        let survived = survival(&ground, &StoreSettings::default()).await.expect("an exercise");
        assert_eq!(survived, SURVIVED);
        let facts = DurabilityFacts {
            sqlite_version: "3.51.3".into(),
            connections: vec![sound("writer"), sound("reader 1")],
        };
        for (survived, outcome) in [
            (SURVIVED, Outcome::Pass),
            (Survival { before: false, after: false }, Outcome::Fail),
            (Survival { before: true, after: true }, Outcome::Fail),
        ] {
            assert_eq!(judge_durability(&facts, survived).outcome, outcome, "{survived:?}");
        }
    }

    #[tokio::test]
    async fn each_careless_store_is_found() {
        use crate::{
            resilience::Clock,
            store::{Flaw, open_flawed},
        };
        for flaw in [Flaw::SynchronousOff, Flaw::NoForeignKeys, Flaw::ReadersWrite] {
            let home = tempfile::tempdir().expect("a directory");
            let (path, backups) = (home.path().join("a.db"), home.path().join("backups"));
            let store = open_flawed(&path, &backups, &StoreSettings::default(), Clock::system(), flaw);
            let store = store.expect("a store");
            store.runs(1).await.expect("a reader is open");
            let facts = store.prove_durability_settings().await.expect("facts");
            assert_eq!(judge_durability(&facts, SURVIVED).outcome, Outcome::Fail, "{flaw:?}");
            store.close().await;
        }
    }
}
