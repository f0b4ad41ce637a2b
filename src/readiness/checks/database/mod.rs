//! Database: what the store promises, asked of a scratch store opened as the daemon's own is; and the daemon's own file.
mod durable;
mod pool;
mod writes;

use crate::{
    config::StoreSettings,
    domain::{Category, Fault, Severity},
    readiness::{Check, Evidence, Found},
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
        why: "writes share a commit; if one that fails or panics is not undone, or takes others with it, state is wrong",
        how: "four writes are handed to a scratch store together; one fails after writing, one panics; a reader must find the other two rows and no more",
        fix: "do not run this build: its writer loses or keeps the wrong rows; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| writes::undone(evidence).boxed(),
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
        run: |evidence| writes::refused(evidence).boxed(),
    },
    Check {
        id: "DB-003",
        title: "what was acknowledged survives a crash, and every connection sees to it",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "with synchronous below FULL a commit that was acknowledged can be lost with the power",
        how: "the daemon's own writer and every open reader are asked: WAL, synchronous FULL, foreign keys, readers that refuse to write, SQLite 3.51.3 or newer; on a scratch store a copy of the files made when a write is acknowledged must hold it, and one made before must not",
        fix: "stop whatever else opens the database file, then `agentctl daemon stop` and start again",
        exercised: true,
        quiet: false,
        run: |evidence| durable::settings(evidence).boxed(),
    },
    Check {
        id: "DB-004",
        title: "a full pool refuses in time and recovers",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "a pool that leaks a connection at each failed query is dead after as many failures as it has connections",
        how: "all readers of a scratch pool of at most 8 are held, one more query must be refused in time; then as many queries fail, and as many panic, as there are readers, and all readers must be there again",
        fix: "raise store.readers_max, or look for what holds readers: `agentctl status` shows the pool",
        exercised: true,
        quiet: false,
        run: |evidence| pool::edge(evidence).boxed(),
    },
    Check {
        id: "DB-005",
        title: "the database file is whole",
        category: Category::Database,
        severity: Severity::Major,
        weight: 2,
        why: "damage spreads into every backup that is made of it",
        how: "SQLite reads the daemon's own file from end to end and looks for references to nothing",
        fix: "stop the daemon and restore the newest file under backups/ in the state directory",
        exercised: false,
        quiet: false,
        run: |evidence| durable::whole(evidence).boxed(),
    },
];

async fn on_scratch(
    evidence: &Evidence,
    settings: StoreSettings,
    exercise: impl FnOnce(Store) -> BoxFuture<'static, Result<Found, Fault>> + Send,
) -> Found {
    let scratch = async {
        let plot = evidence.ground.plot()?;
        let store = evidence.ground.store(&plot, &settings).await?;
        let found = exercise(store.clone()).await;
        store.close().await;
        found
    };
    scratch.await.unwrap_or_else(|fault| Found::error(fault.to_string()))
}
