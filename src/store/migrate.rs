//! The schema's versions: only ever added. A file newer than this program, or somebody else's, is refused untouched;
//! a file that will be changed is copied first.
use super::{StoreError, StoreErrorKind, backup, error::Result, open::Regime};
use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};
use std::path::Path;

/// In order; the version of a file is how many it has seen.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_uids.sql"),
    include_str!("migrations/0003_waivers.sql"),
    include_str!("migrations/0004_trust.sql"),
    include_str!("migrations/0005_return.sql"),
    include_str!("migrations/0006_rehearsed.sql"),
];

/// "agdt": what the first migration writes into the file's header.
const APPLICATION_ID: i32 = 0x6167_6474;

/// Brings the file to the newest version. Does nothing but read two numbers when it is there already.
pub(super) fn to_head(
    connection: &mut Connection,
    migrations: &[&str],
    backups: &Path,
    now: Timestamp,
    regime: Regime,
) -> Result<()> {
    let wrap = |error: rusqlite::Error| StoreError::from_sqlite("read the version of the database", &error);
    let (version, application): (i64, i32) = connection
        .query_row("SELECT * FROM pragma_user_version, pragma_application_id", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(wrap)?;
    let head = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(wrap)?;
    if (version != 0 || tables != 0) && application != APPLICATION_ID {
        return Err(StoreError::new(
            StoreErrorKind::Unusable,
            "cannot open the database: it is an SQLite file, but not one that agentd made",
        )
        .hint("choose another daemon.state_dir, or move the file away"));
    }
    if version > head && regime.refuse_newer {
        return Err(StoreError::new(
            StoreErrorKind::Unusable,
            format!("cannot open the database: its schema is version {version}, and this agentd knows up to {head}"),
        )
        .hint("run the newer agentd that wrote it, or put back a copy from `backups` in the state directory"));
    }
    if version >= head {
        return Ok(());
    }
    if version > 0 && regime.copy_first {
        backup::before_migration(connection, backups, version, now)?;
    }
    Migrations::new(migrations.iter().map(|sql| M::up(sql).foreign_key_check()).collect())
        .to_latest(connection)
        .map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unusable,
                format!("cannot bring the database from version {version} to {head}: {error}"),
            )
            .hint("nothing was changed; run the agentd that wrote it, and report this")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::StoreSettings,
        domain::{Desire, InstanceRecord, ProbeState, ProbeTransition, UidGrant},
        resilience::Clock,
        store::{
            Store,
            open::writer,
            scratch::{act, event, report, waiver},
        },
    };
    use std::{fs, path::PathBuf};

    const SECOND: &str = "CREATE TABLE later (x INTEGER NOT NULL) STRICT";

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/state")
    }

    fn open(home: &Path) -> Result<Store> {
        let (path, backups) = (home.join("agentd.db"), home.join("backups"));
        Store::open(&path, &backups, &StoreSettings::default(), Clock::system())
    }

    fn migrate(home: &Path, more: &[&str]) -> Result<()> {
        let all: Vec<&str> = MIGRATIONS.iter().chain(more).copied().collect();
        let mut connection = writer(&home.join("agentd.db"), Regime::DURABLE)?;
        to_head(&mut connection, &all, &home.join("backups"), Timestamp::now(), Regime::DURABLE)
    }

    fn copies(home: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(home.join("backups")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let home = tempfile::tempdir().expect("a directory");
        migrate(home.path(), &[SECOND]).expect("made by a newer agentd");
        let before = fs::read(home.path().join("agentd.db")).expect("read");
        let error = open(home.path()).map(drop).expect_err("opened");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
        let newer = format!("version {}", MIGRATIONS.len() + 1);
        assert!(error.message.contains(&newer) && error.hint.is_some(), "{error:?}");
        assert!(fs::read(home.path().join("agentd.db")).expect("read") == before, "it was changed");
        assert_eq!(copies(home.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_file_of_another_program_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let other = Connection::open(home.path().join("agentd.db")).expect("a database");
        other.execute_batch("CREATE TABLE bookmarks (url); PRAGMA user_version = 1").expect("written");
        drop(other);
        let error = open(home.path()).map(drop).expect_err("opened");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
        assert!(error.message.contains("not one that agentd made"), "{error:?}");
    }

    #[test]
    fn a_migration_is_preceded_by_a_copy_and_a_new_file_needs_none() {
        let home = tempfile::tempdir().expect("a directory");
        drop(open(home.path()).expect("opens"));
        drop(open(home.path()).expect("opens again"));
        assert_eq!(copies(home.path()).len(), 0);
        migrate(home.path(), &[SECOND]).expect("migrated");
        let made = copies(home.path());
        assert_eq!(made.len(), 1);
        let copy = Connection::open(&made[0]).expect("opens");
        let version: i64 = copy.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
        assert_eq!(usize::try_from(version), Ok(MIGRATIONS.len()), "the copy is of the old version");
        let id: String = copy.query_row("SELECT value FROM meta", [], |row| row.get(0)).expect("read");
        assert_eq!(id.len(), 32);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let first = open(home.path()).expect("opens").fleet_id().to_owned();
        let error = migrate(home.path(), &["CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)"]);
        assert_eq!(error.map_err(|e| e.kind), Err(StoreErrorKind::Unusable));
        assert_eq!(copies(home.path()).len(), 1);
        let connection = writer(&home.path().join("agentd.db"), Regime::DURABLE).expect("opens");
        let half: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |row| row.get(0))
            .expect("read");
        assert_eq!(half, 0, "half a migration was kept");
        drop(connection);
        assert_eq!(open(home.path()).expect("still opens").fleet_id(), first);
    }

    #[tokio::test]
    async fn every_state_that_was_ever_shipped_still_opens() {
        let mut opened = 0;
        for entry in fs::read_dir(fixtures()).expect("fixtures/state").flatten() {
            let name = entry.file_name().into_string().expect("a name");
            if Path::new(&name).extension().is_none_or(|end| end != "db") {
                continue;
            }
            let home = tempfile::tempdir().expect("a directory");
            fs::copy(entry.path(), home.path().join("agentd.db")).expect("copied");
            let store = open(home.path()).expect(&name);
            assert_eq!(store.fleet_id().len(), 32, "{name}");
            let kept = store.kept_of_agents().await.expect(&name);
            assert_eq!((kept.instances.len(), kept.desires.len()), (1, 1), "{name}");
            assert_eq!(kept.uids.len(), usize::from(name != "v1.db"), "{name}");
            assert_eq!(store.transitions(None, 9).await.expect(&name).len(), 1, "{name}");
            let waivers = store.waivers(None).await.expect(&name);
            assert_eq!(waivers.len(), usize::from(!matches!(name.as_str(), "v1.db" | "v2.db")), "{name}");
            assert_eq!(store.events(0, 9).await.expect(&name).len(), 2 + waivers.len(), "{name}");
            let runs = store.runs(9).await.expect(&name);
            assert_eq!(runs.len(), 2, "{name}");
            assert!(store.report(runs[1].run).await.expect(&name).is_some(), "{name}");
            assert_eq!(store.interrupt_runs().await.expect(&name), 1, "{name}");
            assert!(store.integrity().await.expect(&name).damage.is_empty(), "{name}");
            opened += 1;
        }
        assert_eq!(
            opened,
            MIGRATIONS.len(),
            "a version has no file: run this_version_has_its_fixture with UPDATE_GOLDEN=1"
        );
    }

    /// Run once with UPDATE_GOLDEN=1 when a migration is added, and commit what it writes. Without, it holds that what is
    /// committed for this version is of this version.
    #[tokio::test]
    async fn this_version_has_its_fixture() {
        let kept = fixtures().join(format!("v{}.db", MIGRATIONS.len()));
        if std::env::var_os("UPDATE_GOLDEN").is_none() {
            let connection = Connection::open(&kept).expect("opens");
            let version: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
            assert_eq!(usize::try_from(version), Ok(MIGRATIONS.len()));
            return;
        }
        let home = tempfile::tempdir().expect("a directory");
        let store = open(home.path()).expect("opens");
        let at = Timestamp::from_second(1_700_000_000).expect("a time");
        let id: crate::domain::InstanceId = "orders/1".parse().expect("an instance");
        let instance = InstanceRecord {
            id: id.clone(),
            pid: 4242,
            pid_start: 99,
            boot_id: "a-boot".into(),
            started_at: at,
            port: Some(8080),
            spec_digest: "a-digest".into(),
            was_ready: true,
            release: None,
        };
        store.save_instance(instance).await.expect("saved");
        store.set_desire(id.agent, Desire { stopped: true, replicas: Some(2) }).await.expect("kept");
        let grant = UidGrant { agent: "orders".parse().expect("a name"), uid: 61_200, gone_at: Some(at) };
        store.save_uids(vec![grant]).await.expect("kept");
        for text in ["ready in 3 s", "ready again"] {
            store.record_event(event(text)).await.expect("recorded");
        }
        let change = ProbeTransition {
            at,
            target: "orders/1".into(),
            probe: "up".into(),
            from: ProbeState::Failing,
            to: ProbeState::Passing,
            detail: "200 in 3 ms".into(),
        };
        store.record_transition(change).await.expect("recorded");
        let run = store.begin_run(act(), "staging".into(), false).await.expect("begun");
        store.finish_run(act(), report(run)).await.expect("finished");
        store.begin_run(act(), "staging".into(), true).await.expect("begun");
        store.add_waiver(act(), waiver()).await.expect("added");
        store.close().await;
        fs::create_dir_all(fixtures()).expect("made");
        fs::copy(home.path().join("agentd.db"), kept).expect("copied");
    }
}
