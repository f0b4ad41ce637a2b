use super::*;
use crate::{
    config::StoreSettings,
    domain::{Act, ApiKey, Caller, Clients, Identity, Role, Session, Waiver},
    resilience::Clock,
    store::{
        HashedKey, HashedSession, Store,
        audit::AuditFiles,
        inspect_copy,
        scratch::{Scratch, act, event},
        verify_audit_files,
    },
};
use jiff::SignedDuration;
use std::path::PathBuf;

fn admin() -> Act {
    let caller = Caller::by_socket(Identity { uid: 0, gid: 0, pid: None }, Role::Admin, None);
    Act::new(&caller, "keys/create", "")
}

fn key(number: u8) -> HashedKey {
    HashedKey {
        hash: [number; 32],
        key: ApiKey {
            id: format!("{number:012}"),
            principal: "service:billing".parse().expect("a principal"),
            role: Role::Service,
            application_role: None,
            clients: Clients::None,
            networks: Vec::new(),
            created_at: Timestamp::now(),
            created_by: "user:0".parse().expect("a principal"),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
            replaced_by: None,
        },
    }
}

fn session(number: u8, key: Option<u8>) -> HashedSession {
    let now = Timestamp::now();
    let session = Session {
        id: format!("{number:012}"),
        principal: "service:billing".parse().expect("a principal"),
        role: Role::Service,
        key: key.map(|number| format!("{number:012}")),
        uid: 0,
        gid: 0,
        opened_at: now,
        expires_at: now + SignedDuration::from_hours(9),
        last_used_at: now,
        ended_at: None,
    };
    HashedSession { session, hash: [number; 32] }
}

fn waiver() -> Waiver {
    let now = Timestamp::now();
    Waiver {
        added_at: now,
        expires_at: now + SignedDuration::from_hours(9),
        ..crate::store::scratch::waiver()
    }
}

/// Keys 1 to 3 and a session of each, and a waiver: then a copy. Since then: key 1 was revoked, session 2 ended, key 4
/// made, key 5 made and revoked, waiver 1 revoked, waiver 3 added, and things happened.
async fn bench() -> (Scratch, tempfile::TempDir, PathBuf) {
    let store = Scratch::new();
    for number in 1..=3 {
        store.add_key(key(number), admin()).await.expect("added");
        store.open_session(session(number, Some(number)), 99, admin()).await.expect("opened");
    }
    store.add_waiver(act(), waiver()).await.expect("added");
    store.add_waiver(act(), waiver()).await.expect("added");
    store.record_event(event("before")).await.expect("recorded");
    let home = tempfile::tempdir().expect("a directory");
    store.copy_to(home.path().to_owned(), Box::new(|_, _| true)).await.expect("copied");
    let now = Timestamp::now();
    store.revoke_key(format!("{:012}", 1), now, admin()).await.expect("revoked");
    store.end_session(format!("{:012}", 2), now, admin()).await.expect("ended");
    store.add_key(key(4), admin()).await.expect("added");
    store.add_key(key(5), admin()).await.expect("added");
    store.revoke_key(format!("{:012}", 5), now, admin()).await.expect("revoked");
    store.revoke_waiver(act(), 1, "user:0".into()).await.expect("revoked");
    store.add_waiver(act(), waiver()).await.expect("added");
    store.record_event(event("since")).await.expect("recorded");
    let database = AuditFiles::of(home.path()).database;
    (store, home, database)
}

fn open(database: &Path) -> Store {
    Store::open(database, &database.with_file_name("b"), &StoreSettings::default(), Clock::system())
        .expect("opens")
}

async fn in_force(store: &Store) -> (Vec<String>, Vec<String>, Vec<u64>) {
    let keys = store.keys().await.expect("read").into_iter().map(|hashed| hashed.key);
    let sessions = store.sessions(Timestamp::UNIX_EPOCH).await.expect("read");
    let sessions = sessions.into_iter().map(|hashed| hashed.session);
    let waivers = store.waivers(None).await.expect("read").into_iter();
    let short = |id: String| id.trim_start_matches('0').to_owned();
    let (mut keys, mut sessions): (Vec<_>, Vec<_>) = (
        keys.filter(|key| key.revoked_at.is_none()).map(|key| short(key.id)).collect(),
        sessions.filter(|session| session.ended_at.is_none()).map(|session| short(session.id)).collect(),
    );
    let mut waivers: Vec<_> = waivers.filter(|w| w.revoked_at.is_none()).map(|w| w.id).collect();
    keys.sort();
    sessions.sort();
    waivers.sort_unstable();
    (keys, sessions, waivers)
}

#[tokio::test]
async fn what_was_revoked_or_ended_since_the_backup_stays_so_and_the_trail_is_not_rewound() {
    let (live, home, database) = bench().await;
    // Unchanged, it would bring them all back.
    let revived = open(&database);
    assert_eq!(in_force(&revived).await.0, ["1", "2", "3"]);
    revived.close().await;
    let carried = carry_over(&database, Some(&live.path()), Timestamp::now()).expect("carried");
    let rows = live.audit_events(0, 999).await.expect("read").len() as u64;
    let wanted =
        Carried { keys_ended: 1, keys_known: 2, sessions_ended: 2, waivers_ended: 1, audit_rows: rows };
    assert_eq!(carried, wanted);
    assert_eq!(inspect_copy(&database).expect("read").damage, Vec::<String>::new());
    // In the place of the live file, with its key and its anchors.
    let files = AuditFiles { database: database.clone(), ..AuditFiles::of(live.home.path()) };
    let verdict = verify_audit_files(&files).expect("verified");
    assert!(verdict.whole, "{verdict:?}");
    live.close().await;
    for name in ["audit.key", "audit.anchors"] {
        std::fs::copy(live.home.path().join(name), home.path().join(name)).expect("put in place");
    }
    let restored = open(&database);
    let (keys, sessions, waivers) = in_force(&restored).await;
    assert_eq!((keys, sessions), (vec!["2".into(), "3".into()], vec!["3".into()]));
    assert_eq!(waivers, [2], "one that was revoked came back, or one that was added since");
    let known = restored.keys().await.expect("read");
    assert_eq!(known.len(), 5, "a key that was made since is not known");
    let texts: Vec<_> =
        restored.events(0, 99).await.expect("read").into_iter().map(|event| event.text).collect();
    assert!(texts.contains(&"before".to_owned()) && !texts.contains(&"since".to_owned()), "{texts:?}");
    // Numbers that were given are not given again; the trail goes on.
    assert_eq!(restored.add_waiver(act(), waiver()).await.expect("added").id, 4);
    let verdict = restored.verify_audit().await.expect("verified");
    assert!(verdict.whole && verdict.rows == rows + 1, "{verdict:?}");
    restored.close().await;
    // Done twice, it changes nothing more.
    let again = carry_over(&database, Some(&live.path()), Timestamp::now()).expect("carried");
    assert_eq!((again.keys_ended, again.keys_known, again.sessions_ended), (0, 0, 0));
}

#[tokio::test]
async fn without_a_live_file_nothing_is_in_force() {
    let (_live, _home, database) = bench().await;
    let carried = carry_over(&database, None, Timestamp::now()).expect("carried");
    assert_eq!((carried.keys_ended, carried.sessions_ended, carried.waivers_ended), (3, 3, 2));
    let restored = open(&database);
    assert_eq!(in_force(&restored).await, (Vec::new(), Vec::new(), Vec::new()));
    assert!(restored.verify_audit().await.expect("verified").whole, "by the key of the backup");
    restored.close().await;
}

#[tokio::test]
async fn another_fleets_file_and_one_that_is_not_there_are_refused_and_nothing_is_changed() {
    let (_live, home, database) = bench().await;
    let before = inspect_copy(&database).expect("read").content;
    let other = Scratch::new();
    for wrong in [other.path(), home.path().join("nothing.db")] {
        let error = carry_over(&database, Some(&wrong), Timestamp::now()).expect_err("carried");
        assert!(
            error.message.contains("another fleet") || error.message.contains("no such file"),
            "{error:?}"
        );
    }
    assert!(!home.path().join("nothing.db").exists(), "it was made");
    assert_eq!(inspect_copy(&database).expect("read").content, before);
}

/// A table that nobody classed would silently be as the backup has it, or not.
#[tokio::test]
async fn every_table_is_of_the_present_or_of_the_backup_or_merged() {
    let store = Scratch::new();
    let connection = rusqlite::Connection::open(store.path()).expect("opens");
    let mut query = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .expect("a query");
    let tables: Vec<String> =
        query.query_map([], |row| row.get(0)).expect("rows").collect::<rusqlite::Result<_>>().expect("names");
    let mut classed: Vec<&str> = [OF_THE_PRESENT, MERGED, OF_THE_BACKUP].concat();
    classed.sort_unstable();
    assert_eq!(
        tables, classed,
        "class it in store/carry.rs: what would become of it when a backup is put back?"
    );
}

#[tokio::test]
async fn what_only_the_restore_ended_is_in_force_again_on_the_way_back() {
    let (live, home, database) = bench().await;
    let former = home.path().join("former");
    std::fs::create_dir(&former).expect("made");
    live.copy_to(former.clone(), Box::new(|_, _| true)).await.expect("copied");
    let before = in_force(&live).await;
    let since = Timestamp::now();
    carry_over(&database, Some(&live.path()), since).expect("carried");
    for name in ["audit.key", "audit.anchors"] {
        std::fs::copy(live.home.path().join(name), home.path().join(name)).expect("put in place");
    }
    live.close().await;
    let restored = open(&database);
    // Somebody revokes one, ends a session and makes one, while what was restored is live.
    restored.revoke_key(format!("{:012}", 2), Timestamp::now(), admin()).await.expect("revoked");
    restored.add_key(key(6), admin()).await.expect("added");
    let rows = restored.audit_events(0, 999).await.expect("read").len() as u64;
    restored.close().await;
    let former = AuditFiles::of(&former).database;
    // As a daemon leaves it that is about to end.
    let carried = carry_back(&former, &database, since, Timestamp::now()).expect("carried back");
    assert_eq!((carried.keys_ended, carried.keys_known, carried.audit_rows), (1, 1, rows));
    let again = open(&former);
    let after = in_force(&again).await;
    assert_eq!(before.0, ["2", "3", "4"]);
    assert_eq!(after.0, ["3", "4"], "what somebody revoked is back, or what nobody did is not");
    assert_eq!(after.1, ["3"], "the session of a key that was revoked since");
    assert_eq!(after.2, before.2);
    again.close().await;
}
