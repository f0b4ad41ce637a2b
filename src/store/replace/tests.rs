use super::{
    crash::points,
    marker::{Phase, Replacement},
    propose::Replacing,
};
use crate::{
    config::StoreSettings,
    domain::{Digest, Waiver},
    resilience::Clock,
    store::{
        Carried, Store, StoreError,
        audit::AuditFiles,
        inspect_copy,
        scratch::{act, event, waiver},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{
    fs,
    path::{Path, PathBuf},
};

const KEY: &str = "op-1/restore";
const SEAL: Digest = Digest([7; 32]);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn opened(database: &Path) -> Result<Store, StoreError> {
    Store::open(database, &database.with_file_name("b"), &StoreSettings::default(), Clock::system())
}

fn long_waiver() -> Waiver {
    let now = Timestamp::now();
    Waiver { added_at: now, expires_at: now + SignedDuration::from_hours(9), ..waiver() }
}

/// What is written in it, and how many waivers are in force.
fn said(database: &Path) -> (Vec<String>, usize, bool) {
    runtime().block_on(async {
        let store = opened(database).expect("opens");
        let texts = store.events(0, 99).await.expect("read").into_iter().map(|event| event.text);
        // Waivers leave events, too.
        let texts = texts.filter(|text| !text.starts_with("waiver")).collect();
        let waivers = store.waivers(None).await.expect("read");
        let in_force = waivers.iter().filter(|waiver| waiver.revoked_at.is_none()).count();
        let whole = store.verify_audit().await.expect("verified").whole;
        store.close().await;
        (texts, in_force, whole)
    })
}

/// A live database with `since` in it and two waivers, and a copy of before beside it: with one, and without `since`.
/// Closed as a kill leaves it: what was committed is in its WAL.
fn bench(home: &Path) -> (Replacing, PathBuf) {
    let database = home.join("agentd.db");
    let replacing = Replacing::of(&database);
    runtime().block_on(async {
        let store = opened(&database).expect("opens");
        store.record_event(event("before")).await.expect("recorded");
        store.add_waiver(act(), long_waiver()).await.expect("added");
        let unpacked = replacing.clean().expect("made");
        fs::create_dir(&unpacked).expect("made");
        store.copy_to(unpacked, Box::new(|_, _| true)).await.expect("copied");
        store.record_event(event("since")).await.expect("recorded");
        store.add_waiver(act(), long_waiver()).await.expect("added");
        replacing.propose(KEY, SEAL, Timestamp::now()).expect("proposed");
        // Known to nobody but the live file, after the trial.
        store.revoke_waiver(act(), 1, "user:0".into()).await.expect("revoked");
        for end in ["", "-wal", "-shm"] {
            let from = home.join(format!("agentd.db{end}"));
            fs::copy(&from, home.join(format!("killed{end}"))).expect("copied");
        }
        store.close().await;
        for end in ["", "-wal", "-shm"] {
            fs::rename(home.join(format!("killed{end}")), home.join(format!("agentd.db{end}"))).expect("put");
        }
    });
    (replacing, database)
}

fn phase(replacing: &Replacing) -> Phase {
    replacing.standing().expect("read").expect("a marker").phase
}

/// Killed at every moment of the start, there and back again: the next start goes on, and each ends as one uninterrupted.
#[test]
fn killed_anywhere_the_next_start_goes_on_with_it_there_and_back() {
    let home = std::cell::RefCell::new(tempfile::tempdir().expect("a directory"));
    let replacing = || Replacing::of(&home.borrow().path().join("agentd.db"));
    let work = || drop(replacing().carry_out(Timestamp::now()).expect("carried out"));
    let forth = points(
        || {
            home.replace(tempfile::tempdir().expect("a directory"));
            bench(home.borrow().path());
        },
        work,
        |point| {
            work();
            let Phase::Placed { carried, .. } = phase(&replacing()) else { panic!("not placed at {point}") };
            // Revoked after it was tried out, and told of all the same.
            assert_eq!(carried.waivers_ended, 1, "at {point}");
            let database = home.borrow().path().join("agentd.db");
            let (texts, waivers, whole) = said(&database);
            assert!(whole && waivers == 0, "at {point}: {texts:?} {waivers} {whole}");
            assert_eq!(texts, ["before"], "at {point}");
            work();
            assert_eq!(said(&database).0, ["before"], "done twice, at {point}");
        },
    );
    assert!(forth >= 6, "it was killed at {forth} moments only");
    let back = points(
        || {
            home.replace(tempfile::tempdir().expect("a directory"));
            let (replacing, database) = bench(home.borrow().path());
            work();
            let Phase::Placed { at, .. } = phase(&replacing) else { panic!("not placed") };
            runtime().block_on(async {
                let store = opened(&database).expect("opens");
                store.record_event(event("with the other")).await.expect("recorded");
                store.close().await;
            });
            replacing.propose_back(&format!("{KEY}/undo"), SEAL, at).expect("proposed");
        },
        work,
        |point| {
            work();
            assert!(matches!(phase(&replacing()), Phase::Placed { .. }), "at {point}");
            let (texts, waivers, whole) = said(&home.borrow().path().join("agentd.db"));
            // The waiver that the restore ended is in force again; the one that somebody revoked is not.
            assert_eq!(
                (texts, waivers, whole),
                (vec!["before".into(), "since".into()], 1, true),
                "at {point}"
            );
        },
    );
    assert!(back >= 6, "it was killed at {back} moments only");
}

#[test]
fn what_was_changed_after_it_was_laid_ready_is_given_up_and_the_live_one_stays() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 4] = [
        ("changed", |dir| {
            let file = dir.join("restored.db");
            let mut bytes = fs::read(&file).expect("read");
            let last = bytes.len() - 100;
            bytes[last] ^= 1;
            fs::write(&file, bytes).expect("written");
        }),
        ("gone", |dir| fs::remove_file(dir.join("restored.db")).expect("removed")),
        ("cut off", |dir| fs::write(dir.join("restored.db"), "").expect("written")),
        ("in the way", |dir| fs::create_dir(dir.join("next.db")).expect("made")),
    ];
    for (what, spoil) in spoils {
        let home = tempfile::tempdir().expect("a directory");
        let (replacing, database) = bench(home.path());
        spoil(&home.path().join("restore"));
        let done = replacing.carry_out(Timestamp::now()).expect("seen to").expect("a marker");
        assert!(matches!(done.phase, Phase::Failed { .. }), "{what}: {done:?}");
        assert_eq!(replacing.standing().expect("read"), Some(done), "{what}");
        assert_eq!(said(&database), (vec!["before".into(), "since".into()], 1, true), "{what}");
        replacing.clear().expect("cleared");
        assert_eq!(replacing.standing().expect("read"), None);
        assert!(!home.path().join("restore").exists());
    }
}

#[test]
fn a_marker_that_nobody_can_read_stops_no_start_and_loses_no_database() {
    let home = tempfile::tempdir().expect("a directory");
    let (replacing, database) = bench(home.path());
    let marker = home.path().join("restore.json");
    fs::write(&marker, "{").expect("written");
    // As if it had been cut off between the two renames, too.
    fs::rename(&database, home.path().join("restore/former.db")).expect("moved");
    for end in ["-wal", "-shm"] {
        let from = home.path().join(format!("agentd.db{end}"));
        fs::rename(from, home.path().join(format!("restore/former.db{end}"))).expect("moved");
    }
    let why = replacing.carry_out(Timestamp::now()).expect_err("read");
    assert!(why.contains("restore.json"), "{why}");
    assert!(database.exists(), "the live database is gone");
    assert!(replacing.standing().is_err());
    let beyond = Replacement {
        schema_version: 2,
        key: KEY.into(),
        of: SEAL,
        sha256: SEAL,
        former_until: None,
        tried: Carried::default(),
        phase: Phase::Pending,
    };
    fs::write(&marker, serde_json::to_vec(&beyond).expect("text")).expect("written");
    assert!(replacing.carry_out(Timestamp::now()).is_err(), "one of another version was understood");
}

#[test]
fn without_a_marker_what_lies_there_is_swept_and_a_full_directory_is_said() {
    let home = tempfile::tempdir().expect("a directory");
    let replacing = Replacing::of(&home.path().join("agentd.db"));
    let unpacked = replacing.clean().expect("made");
    fs::create_dir(&unpacked).expect("made");
    assert_eq!(replacing.carry_out(Timestamp::now()), Ok(None));
    assert!(!home.path().join("restore").exists());
    let error = replacing.propose(KEY, SEAL, Timestamp::now()).expect_err("proposed");
    assert!(error.hint.is_some_and(|hint| hint.contains("df -h")), "{}", error.message);
}

#[test]
fn a_database_that_is_put_in_place_is_sound_and_nothing_lies_beside_it() {
    let home = tempfile::tempdir().expect("a directory");
    let (replacing, database) = bench(home.path());
    replacing.carry_out(Timestamp::now()).expect("carried out");
    let facts = inspect_copy(&database).expect("read");
    assert_eq!((facts.damage.len(), facts.dangling), (0, 0));
    assert!(!home.path().join("agentd.db-wal").exists() && AuditFiles::of(home.path()).key.exists());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&database).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
}
