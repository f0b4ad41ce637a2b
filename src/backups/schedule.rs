//! Backups that nobody asks for: one when the newest is as old as `every`, which at the start of a daemon that was down
//! is at once; then what is past its time goes. Never two at a time.
use super::service::Backups;
use crate::{
    domain::{Act, AuditOutcome, BackupId, Fault, SCHEDULE},
    errors::Failure,
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};

/// One that failed is tried again after this, or after `every` where that is shorter.
const AGAIN: Duration = Duration::from_secs(300);
/// The clock on the wall may be set: it is looked at this often.
const LOOK: Duration = Duration::from_secs(60);
/// Without a schedule, what somebody asked for is bounded all the same.
const RETAIN: Duration = Duration::from_secs(3600);

impl Backups {
    /// Until `close`.
    pub async fn keep_schedule(self) {
        self.sweep().await;
        let mut settings = self.parts().settings.clone();
        let mut failed: Option<Timestamp> = None;
        loop {
            let every = settings.borrow_and_update().backups.every;
            let wait = match every {
                None => RETAIN,
                Some(every) => self.left(every.0, failed).await,
            };
            if !wait.is_zero() {
                tokio::select! {
                    () = self.closing().cancelled() => return,
                    changed = settings.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(wait.min(if every.is_some() { LOOK } else { RETAIN })) => {
                        if every.is_none() {
                            self.clear().await;
                        }
                    }
                }
                continue;
            }
            failed = self.make_one().await.err().map(|()| self.parts().clock.now());
            self.clear().await;
            if self.closing().is_cancelled() {
                return;
            }
        }
    }

    /// How long until the next is due.
    async fn left(&self, every: Duration, failed: Option<Timestamp>) -> Duration {
        let now = self.parts().clock.now();
        let until = |from: Timestamp, length: Duration| {
            let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
            let due = from.checked_add(length).unwrap_or(Timestamp::MAX);
            // A clock that was set back does not put off the next for longer than it may ever take.
            Duration::try_from(due.duration_since(now)).unwrap_or_default()
        };
        let again = failed.map_or(Duration::ZERO, |at| until(at, AGAIN.min(every)));
        match self.standing().await {
            // A shelf that cannot be read is tried again as a backup that failed.
            Err(_) if failed.is_some() => again.max(Duration::from_secs(1)),
            Err(_) => Duration::ZERO,
            Ok(standing) => {
                let newest = standing.newest.and_then(|entry| entry.manifest).map(|manifest| manifest.at);
                let due = newest
                    .map_or(Duration::ZERO, |at| if at > now { Duration::ZERO } else { until(at, every) });
                due.max(again)
            }
        }
    }

    async fn make_one(&self) -> Result<(), ()> {
        let act = || of_daemon("backups/create");
        match self.create(SCHEDULE.into(), String::new(), Arc::new(|_| {})).await {
            Ok(entry) => {
                tracing::info!(id = %entry.id, "made a backup");
                self.tell(act().on(format!("backup/{}", entry.id)), AuditOutcome::Done, String::new()).await;
                Ok(())
            }
            Err(fault) => {
                tracing::error!("no backup was made: {fault}");
                self.tell(act(), AuditOutcome::Failed, fault.message.clone()).await;
                self.parts().errors.record(Failure::new("backup.schedule", fault));
                Err(())
            }
        }
    }

    async fn clear(&self) {
        match self.retain().await {
            Ok(gone) => {
                for id in gone {
                    self.gone(&id).await;
                }
            }
            Err(fault) => self.parts().errors.record(Failure::new("backup.retain", fault)),
        }
    }

    async fn gone(&self, id: &BackupId) {
        tracing::info!(%id, "deleted a backup that was past its time");
        let act = of_daemon("backups/delete").on(format!("backup/{id}"));
        self.tell(act, AuditOutcome::Done, "past its time".into()).await;
    }

    /// It has happened; a trail that cannot take it is logged, and recorded as a failure.
    async fn tell(&self, act: Act, outcome: AuditOutcome, why: String) {
        if let Err(error) = self.parts().store.record_act(act, outcome, why).await {
            tracing::error!(%error, "cannot write to the audit trail");
            self.parts().errors.record(Failure::new("backup.audit", Fault::from(error)));
        }
    }
}

fn of_daemon(action: &'static str) -> Act {
    Act::of_daemon(rustix::process::geteuid().as_raw(), SCHEDULE, action)
}
