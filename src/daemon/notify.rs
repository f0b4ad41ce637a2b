//! What systemd is told, where it listens: ready, reloading, stopping, alive.
use crate::{
    domain::{Fault, FaultCategory, FaultKind, FaultSeverity},
    errors::{Errors, Failure},
    store::Store,
};
use sd_notify::NotifyState;

pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Must be followed by `ready`.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the monotonic clock"),
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}

/// Pings the watchdog, if there is one, as long as the runtime turns and the store both reads and commits. Without
/// the ping systemd kills and restarts us, and the next daemon adopts the agents.
pub async fn keep_watchdog(store: Store, errors: Errors) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let period = limit / 3;
    let mut writer = Writer::of(&store);
    loop {
        tokio::time::sleep(period).await;
        let now = Writer::of(&store);
        let reads = matches!(tokio::time::timeout(period, store.runs(1)).await, Ok(Ok(_)));
        if reads && !now.stuck_since(&writer) {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(reads, queued = now.queued, "the store does not answer; the watchdog is not fed");
            let fault = Fault::new(FaultKind::Timeout, "cannot feed the watchdog: the store does not answer")
                .category(FaultCategory::Database)
                .severity(FaultSeverity::Critical);
            errors.record(Failure::new("watchdog", fault));
        }
        writer = now;
    }
}

/// Where the store's writer stands: stuck if something waits and nothing was committed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Writer {
    commits: u64,
    queued: u32,
}

impl Writer {
    fn of(store: &Store) -> Self {
        let stats = store.stats();
        Self { commits: stats.commits, queued: stats.write_queue }
    }

    fn stuck_since(&self, before: &Self) -> bool {
        self.queued > 0 && before.queued > 0 && self.commits == before.commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_stuck_only_while_something_waits_and_nothing_is_committed() {
        let writer = |commits, queued| Writer { commits, queued };
        assert!(writer(7, 3).stuck_since(&writer(7, 1)));
        assert!(!writer(8, 3).stuck_since(&writer(7, 1)), "it commits");
        assert!(!writer(7, 0).stuck_since(&writer(7, 0)), "it is idle");
        assert!(!writer(7, 1).stuck_since(&writer(7, 0)), "the write has only just come");
    }
}
