//! What the tests of this room share: a store in a directory of its own, and things to keep in it.
//! Compiled for tests only.
use super::{Store, StoreError, open::Regime};
use crate::{
    config::StoreSettings,
    domain::{Act, Demands, Event, EventKind, Interval, Period, Report, RunId, Verdict, Waiver},
    resilience::Clock,
};
use jiff::Timestamp;
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// A control that is missing, so that rooms above can see their checks object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    SynchronousOff,
    NoForeignKeys,
    /// Readers may write.
    ReadersWrite,
    /// What a failed operation wrote is kept.
    NoRollback,
    /// A query that fails takes its reader with it.
    LosesReaders,
    /// Each operation is kept by itself, before those that share its commit.
    NoTransaction,
    /// Callers are told "done" before COMMIT.
    HastyAcknowledgement,
    /// Each query takes 120 ms longer than it should.
    SlowReaders,
    /// A file of a newer version is opened.
    TakesNewer,
    /// A migration makes no copy first.
    NoCopy,
    /// The audit trail is never anchored.
    NoAnchors,
}

impl Flaw {
    pub(super) fn regime(self) -> Regime {
        let sound = Regime::DURABLE;
        match self {
            Self::SynchronousOff => Regime { synchronous: 0, ..sound },
            Self::NoForeignKeys => Regime { foreign_keys: false, ..sound },
            Self::ReadersWrite => Regime { query_only: false, ..sound },
            Self::NoRollback => Regime { undo: false, ..sound },
            Self::LosesReaders => Regime { give_back: false, ..sound },
            Self::NoTransaction => Regime { transact: false, ..sound },
            Self::HastyAcknowledgement => Regime { commit_first: false, ..sound },
            Self::SlowReaders => Regime { drag: Duration::from_millis(120), ..sound },
            Self::TakesNewer => Regime { refuse_newer: false, ..sound },
            Self::NoCopy => Regime { copy_first: false, ..sound },
            Self::NoAnchors => Regime { anchor_rows: 0, ..sound },
        }
    }
}

/// `Store::open`, spoilt.
pub(crate) fn open_flawed(
    path: &Path,
    backups: &Path,
    settings: &StoreSettings,
    clock: Clock,
    flaw: Flaw,
) -> Result<Store, StoreError> {
    Store::open_under(path, backups, settings, clock, flaw.regime())
}

/// Takes one event out of a file that nobody has open, behind everybody's back.
pub(crate) fn lose_event(database: &Path, seq: u32) {
    let connection = rusqlite::Connection::open(database).expect("opens");
    let lost = connection.execute("DELETE FROM events WHERE seq = ?1", [seq]).expect("lost");
    assert_eq!(lost, 1, "there was no event {seq}");
}

pub(super) struct Scratch {
    pub store: Store,
    pub home: TempDir,
}

impl Deref for Scratch {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Scratch {
    pub fn new() -> Self {
        Self::with(&StoreSettings::default(), Regime::DURABLE)
    }

    pub fn flawed(flaw: Flaw) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
        let store = open_flawed(&path, &backups, &StoreSettings::default(), Clock::system(), flaw);
        Self { store: store.expect("opens"), home }
    }

    pub fn with(settings: &StoreSettings, regime: Regime) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
        let store = Store::open_under(&path, &backups, settings, Clock::system(), regime).expect("opens");
        Self { store, home }
    }

    /// Few readers, little patience.
    pub fn tiny(regime: Regime) -> Self {
        let settings = StoreSettings {
            readers_min: 1,
            readers_max: 2,
            checkout_timeout: Period::millis(150),
            write_queue: 4,
            ..StoreSettings::default()
        };
        Self::with(&settings, regime)
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("agentd.db")
    }

    /// Closed and opened again, as another daemon would.
    pub async fn reopen(self) -> Self {
        self.store.close().await;
        let (path, backups) = (self.path(), self.home.path().join("backups"));
        let store = Store::open(&path, &backups, &StoreSettings::default(), Clock::system());
        Self { store: store.expect("opens again"), home: self.home }
    }
}

pub(super) fn event(text: impl Into<String>) -> Event {
    Event {
        seq: 0,
        at: Timestamp::now(),
        kind: EventKind::AgentReady,
        instance: "orders/1".parse().ok(),
        text: text.into(),
    }
}

pub(crate) fn act() -> Act {
    Act::of_daemon(1000, "uid 1000 by socket", "tests/act")
}

pub(super) fn waiver() -> Waiver {
    let at = Timestamp::from_second(1_700_000_000).expect("a time");
    Waiver {
        id: 0,
        check: "SE-001".into(),
        resource: Some("file//etc/x".into()),
        fingerprint: Some("0666".into()),
        owner: "ana".into(),
        reason: "mended next week".into(),
        expires_at: at + jiff::SignedDuration::from_hours(24),
        added_at: at,
        added_by: "uid 1000".into(),
        revoked_at: None,
    }
}

pub(super) fn report(run: RunId) -> Report {
    Report {
        schema_version: 1,
        run,
        environment: "staging".into(),
        started_at: Timestamp::UNIX_EPOCH,
        took_ms: 12.5,
        version: "0.1.0".into(),
        config_digest: "abc".into(),
        bar: 85.0,
        not_run: Vec::new(),
        as_of: None,
        waivers: Vec::new(),
        score_without_waived: None,
        demands: Demands::default(),
        unmet: Vec::new(),
        baseline: None,
        checklist: None,
        partial: false,
        verdict: Verdict::Inconclusive,
        reasons: vec!["nothing was measured".into()],
        score: Interval { low: 10.0, high: 90.5 },
        coverage: 0.25,
        categories: Vec::new(),
        findings: Vec::new(),
    }
}

/// Polls until it holds; fails the test after ten seconds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(10), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
