//! Looks after what falls to us as the subreaper: zombies that nobody waits for, and strays that nobody claims.
use super::{child::reap_orphans, child::report_strays, procfs::Table, supervisor::Inner};
use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// It is looked at most this often, and only after a child has ended.
const REAP_EVERY: Duration = Duration::from_secs(5);

/// Zombies of double forks fall to the subreaper. A child's end may have brought some, so SIGCHLD is the bell.
pub(super) fn reap_in_background(inner: &Arc<Inner>) {
    let inner: Weak<Inner> = Arc::downgrade(inner);
    let Ok(mut ended) = signal(SignalKind::child()) else { return };
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            // Twice: a zombie is taken only when nobody else has by the second look.
            for _ in 0..2 {
                sleep(REAP_EVERY).await;
                let Some(inner) = inner.upgrade() else { return };
                let snapshot = inner.shared.board.snapshot();
                let known: HashSet<i32> =
                    snapshot.instances().filter_map(|(_, instance)| instance.pid).collect();
                reap_orphans(&known);
                report_strays(&*Table::fresh().await, &known, &inner.shared.paths.fifos);
            }
        }
    });
}
