//! Database: what the store promises, asked of a scratch store opened as the daemon's own is; the daemon's own file and
//! connections; and the databases of the applications.
mod backups;
mod connections;
mod crash;
mod dependencies;
mod integrity;
mod latency;
mod pool;
mod retention;
mod rights;
mod space;
mod versions;
mod writes;

use crate::{
    config::StoreSettings,
    domain::{Category, Fault, Severity},
    readiness::{Check, Found, Ground},
    store::Store,
};
use futures_util::{FutureExt, future::BoxFuture};

pub const CHECKS: &[Check] = &[
    Check {
        id: "DB-001",
        title: "a failed write is undone, and no other with it",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "writes share a commit; if one that fails or panics is not undone, takes others with it, or is seen before its commit, state is wrong",
        how: "four writes are handed to a scratch store together; one fails after writing, one panics; a reader must see none before COMMIT, and the other two and no more after it; then a COMMIT is made to fail, and its caller must be told",
        fix: "do not run this build: its writer loses or keeps the wrong rows; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| on_scratch(&evidence.ground, &evidence.settings.store, writes::UNDONE).boxed(),
    },
    Check {
        id: "DB-002",
        title: "constraints refuse what they forbid",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "a reference to nothing or a state that does not exist is found years later, by somebody else",
        how: "rows that break a key, a reference, a check, a type are tried on a scratch store and must be refused; one sound row must be taken",
        fix: "foreign keys or a constraint are off: restore the file from a backup made by this version",
        exercised: true,
        quiet: false,
        run: |evidence| on_scratch(&evidence.ground, &evidence.settings.store, writes::REFUSED).boxed(),
    },
    Check {
        id: "DB-003",
        title: "what was acknowledged survives a writer that is killed",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "an acknowledgement is a promise: who was told that it is kept does not ask again",
        how: "four processes of this program write to one scratch store, each is killed with SIGKILL, two of them in the middle of COMMIT; every acknowledged write must be there afterwards, nothing that was never written may be, and the file must be whole",
        fix: "do not run this build: it acknowledges before it commits; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| {
            crash::survived(&evidence.ground, &evidence.settings.store, crash::own_program).boxed()
        },
    },
    Check {
        id: "DB-004",
        title: "a full pool refuses in time and recovers",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "a pool that leaks a connection at each failed query is dead after as many failures as it has connections",
        how: "all readers of a scratch pool of at most 8 are held, one more query must be refused when a plain timer says so, a tenth and 75 ms later at most; then as many queries fail, and as many panic, as there are readers, and all readers must be there again; a reader whose query leaves a transaction open must serve no other",
        fix: "raise store.readers_max, or look for what holds readers: `agentctl status` shows the pool",
        exercised: true,
        quiet: false,
        run: |evidence| pool::edge(evidence).boxed(),
    },
    Check {
        id: "DB-005",
        title: "the database file is whole, and damage would be seen",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "damage spreads into every backup that is made of it",
        how: "SQLite reads the daemon's own file from end to end, up to 64 MiB its indexes too, and looks for references to nothing; three scratch files, each damaged in a way of its own, must be objected to",
        fix: "stop the daemon and restore the newest file under backups/ in the state directory",
        exercised: true,
        quiet: false,
        run: |evidence| integrity::whole(&evidence.ground, &evidence.store).boxed(),
    },
    Check {
        id: "DB-006",
        title: "every open connection is durable and checked",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "with synchronous below FULL an acknowledged commit can be lost with the power; one careless connection is enough",
        how: "the daemon's own writer and every open reader, all held at once, are asked: WAL, synchronous FULL, foreign keys, a busy timeout, readers that refuse to write, SQLite 3.51.3 or newer",
        fix: "stop whatever else opens the database file, then `agentctl daemon stop` and start again",
        exercised: true,
        quiet: false,
        run: |evidence| {
            connections::ASKED(evidence.store.clone()).map(|found| found.unwrap_or_else(Found::from)).boxed()
        },
    },
    Check {
        id: "DB-007",
        title: "95 % of queries take, and wait, less than 100 ms",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "a mean hides the one query in twenty that everybody waits for",
        how: "the histograms of the daemon's own pool since its start (judged from 1,000 queries on: fewer may be those of this validation), and nine rounds of twenty real reads, ten at a time, without the two at either end; rounds on both sides of the limit decide nothing",
        fix: "move the state directory to a faster disk, raise store.readers_min, or shorten [retention]",
        exercised: true,
        quiet: true,
        run: |evidence| latency::measured(&evidence.store).boxed(),
    },
    Check {
        id: "DB-008",
        title: "there is room for the state, now and at the pace of its growth",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 1,
        why: "a full disk ends every write, and with it every decision that must be recorded",
        how: "free bytes and inodes of the state directory's file system: at least 256 MiB and 1,000 (1 GiB and 10,000 without a warning), and room for 7 days (30) at the pace at which the database came to its size",
        fix: "make room, shorten [retention], or move daemon.state_dir to a larger file system",
        exercised: false,
        quiet: false,
        run: |evidence| space::left(evidence).boxed(),
    },
    Check {
        id: "DB-009",
        title: "the file is of the newest version; a newer is refused, an older copied first",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "an old program on a new file destroys what it does not know; a migration that fails must have a way back",
        how: "the file's own version against this program's; a scratch file of the next version must be refused and left as it is, one of the version before must be copied and brought to the newest; the newest backup must open whole",
        fix: "run the agentd that wrote the file, or restore the newest file under backups/ in the state directory",
        exercised: true,
        quiet: false,
        run: |evidence| {
            let store = &evidence.settings.store;
            versions::at_head(&evidence.ground, &evidence.store, store, versions::AS_DAEMON).boxed()
        },
    },
    Check {
        id: "DB-010",
        title: "what is past its time is deleted, and nothing else",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 1,
        why: "a table that only grows ends as a full disk",
        how: "old and new events, changes of probes and validations are written to a scratch store, which is pruned by the [retention] in force (of validations two are kept there); the old must be gone and the new be there",
        fix: "give [retention] ages that the clock can reach",
        exercised: true,
        quiet: false,
        run: |evidence| {
            let retention = &evidence.settings.retention;
            retention::pruned(&evidence.ground, retention, retention::BY_STORE).boxed()
        },
    },
    Check {
        id: "DB-011",
        title: "the applications' databases answer as declared",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "agents that start without their database fail on the first task",
        how: "each dependency of kind postgres, sqlite or redis is asked afresh, its query, tables and expectation included, twice at most; the same question where nothing answers must fail",
        fix: "start the database, or mend the dependency's options; `agentctl status` shows what it says",
        exercised: true,
        quiet: false,
        run: |evidence| dependencies::reachable(&evidence.ground, &evidence.settings.dependencies).boxed(),
    },
    Check {
        id: "DB-012",
        title: "the applications' PostgreSQL roles have no needless rights, and migrations are at head",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent that can be talked into SQL does whatever its role may do",
        how: "each dependency of kind postgres is asked for its role: no superuser, no right to create databases or roles, to replicate, or to pass over row security, none by membership, no table of its own beyond `tables` where they are declared; and its declared migration must have been applied. In development a warning",
        fix: "`ALTER ROLE … NOSUPERUSER NOCREATEDB NOCREATEROLE`, let another role own the tables; apply the migrations",
        exercised: false,
        quiet: false,
        run: |evidence| rights::fit(evidence).boxed(),
    },
    Check {
        id: "DB-013",
        title: "the last backup is fresh and verified, and one was tried out",
        category: Category::Database,
        severity: Severity::Major,
        weight: 2,
        why: "a backup that was never restored is a hope, and an old one brings an old fleet back",
        how: "the newest sound backup against `max_age` of [backups], how it was last verified, the last drill against `drill_max_age`, and whether a schedule makes the next; in development a warning",
        fix: "set `every` under [backups], and hold a drill: `agentctl backup drill`",
        exercised: false,
        quiet: false,
        run: |evidence| backups::fresh(evidence).boxed(),
    },
    Check {
        id: "DB-014",
        title: "a backup taken under writes restores to the same content, and a spoilt one is refused",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "a copy of two moments, or one that was damaged since, is found when there is nothing else left",
        how: "a scratch store is backed up by the daemon's own code while rows are written, up to 500 a second; unpacked, it must hold what the store held at one moment, every row up to then and none later; then a file is cut, one byte changed, a hash, a file taken away: each must be found, and not be unpacked",
        fix: "do not rely on backups of this build: `agentctl version`, then report it; look at the disk under `dir` of [backups]",
        exercised: true,
        quiet: false,
        run: |evidence| {
            let safekeeping = evidence.safekeeping.clone();
            backups::returns(&evidence.ground, &evidence.settings.store, safekeeping).boxed()
        },
    },
];

#[cfg(test)]
pub const SABOTEURS: &[super::Saboteur] = &[
    writes::SABOTEUR_OF_UNDONE,
    writes::SABOTEUR_OF_REFUSED,
    crash::SABOTEUR,
    pool::SABOTEUR,
    integrity::SABOTEUR,
    connections::SABOTEUR,
    latency::SABOTEUR,
    space::SABOTEUR,
    versions::SABOTEUR,
    retention::SABOTEUR,
    dependencies::SABOTEUR,
    rights::SABOTEUR,
    backups::SABOTEUR_OF_FRESH,
    backups::SABOTEUR_OF_RETURNS,
];

/// What is done to a store that nobody else uses.
type Exercise = fn(Store) -> BoxFuture<'static, Result<Found, Fault>>;

async fn on_scratch(ground: &Ground, settings: &StoreSettings, exercise: Exercise) -> Found {
    let scratch = async {
        let plot = ground.plot()?;
        let store = ground.store(&plot, settings).await?;
        let found = exercise(store.clone()).await;
        store.close().await;
        found
    };
    scratch.await.unwrap_or_else(Found::from)
}

/// The exercise on a sound scratch store, and on one with each flaw.
#[cfg(test)]
async fn on_flawed(
    settings: StoreSettings,
    exercise: Exercise,
    flaws: impl IntoIterator<Item = (&'static str, crate::store::Flaw)>,
) -> super::Tried {
    let (_base, ground) = super::scratch_ground();
    let on = async |flaw| {
        let (_plot, store) = opened(&ground, &settings, flaw);
        let found = exercise(store.clone()).await.unwrap_or_else(Found::from);
        store.close().await;
        found
    };
    let mut tried = super::Tried { sound: vec![on(None).await], broken: Vec::new() };
    for (what, flaw) in flaws {
        tried.broken.push((what, on(Some(flaw)).await));
    }
    tried
}

/// A scratch store with or without a flaw.
#[cfg(test)]
fn opened(
    ground: &Ground,
    settings: &StoreSettings,
    flaw: Option<crate::store::Flaw>,
) -> (crate::readiness::Plot, Store) {
    let plot = ground.plot().expect("a plot");
    let (path, backups) = (plot.path().join("scratch.db"), plot.path().join("backups"));
    let store = match flaw {
        Some(flaw) => crate::store::open_flawed(&path, &backups, settings, ground.clock(), flaw),
        None => Store::open(&path, &backups, settings, ground.clock()),
    };
    (plot, store.expect("a store"))
}
