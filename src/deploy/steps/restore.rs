//! The daemon's own database back to the backup. It cannot be replaced under a daemon that has it open: it is laid ready,
//! and takes its place at the next start, for which this step asks; run again after that, it sees how it went.
use super::hands::{Hands, backup, course};
use crate::{
    domain::{Act, AuditFilter, AuditOutcome, CorrelationId, Course, Fault, FaultKind},
    operations::{Site, Step},
    store::{Carried, ReplacePhase as Phase, Replacement, StoreError},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;

pub struct Restore(pub Arc<Hands>);

impl Step for Restore {
    fn name(&self) -> &'static str {
        super::RESTORE
    }

    fn title(&self) -> &'static str {
        super::title(super::RESTORE)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            let wanted = backup(&course)?;
            let mine = self.standing().await?.filter(|it| it.key == at.key() && it.of == wanted.seal);
            let Some(mine) = mine else {
                at.note("unpacking the backup beside the live database");
                self.lay_ready(&course, at).await?;
                return self.begin_anew(at).await;
            };
            match mine.phase {
                Phase::Placed { carried, .. } => {
                    let said = format!("the database was put back to {}: {}", wanted.id, told(&carried));
                    self.audit(&course, at, said).await?;
                    Ok(json!({ "backup": wanted.id, "carried": carried }))
                }
                Phase::Failed { why } => Err(failed(&why)),
                Phase::Pending | Phase::Ready { .. } => self.not_yet(at).await,
            }
        })
    }

    /// What was live before takes its place again, the same way. Nothing is to be done where it never lost it.
    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            let forth = at.key().trim_end_matches("/undo").to_owned();
            let Some(found) = self.standing().await?.filter(|it| it.key == forth || it.key == at.key())
            else {
                return Ok(());
            };
            let is_back = found.former_until.is_some();
            match found.phase {
                Phase::Placed { at: since, .. } if !is_back => {
                    let (replacing, key) = (self.0.replacing.clone(), at.key().to_owned());
                    self.blocking(move || replacing.propose_back(&key, found.of, since)).await?;
                    self.begin_anew(at).await.map(drop)
                }
                Phase::Placed { carried, .. } => {
                    let said = format!("the database is again what it was before: {}", told(&carried));
                    self.audit(&course, at, said).await
                }
                Phase::Failed { why } if is_back => Err(failed(&why)),
                Phase::Pending | Phase::Ready { .. } if is_back => self.not_yet(at).await.map(drop),
                // It never came to be live.
                Phase::Pending | Phase::Ready { .. } | Phase::Failed { .. } => {
                    let replacing = self.0.replacing.clone();
                    self.blocking(move || replacing.clear()).await
                }
            }
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }
}

impl Restore {
    async fn standing(&self) -> Result<Option<Replacement>, Fault> {
        let replacing = self.0.replacing.clone();
        self.blocking(move || replacing.standing()).await
    }

    async fn lay_ready(&self, course: &Course, at: &Site) -> Result<(), Fault> {
        let wanted = backup(course)?.clone();
        let replacing = self.0.replacing.clone();
        let to = self.blocking(move || replacing.clean()).await?;
        let unpacked = self.0.backups.unpack_for_restore(wanted.id, to).await;
        let laid = match unpacked {
            Ok(manifest) if manifest.seal != wanted.seal => {
                Err(failed("the backup is not the one that was planned with"))
            }
            Ok(_) => {
                let (replacing, key, now) =
                    (self.0.replacing.clone(), at.key().to_owned(), self.0.clock.now());
                self.blocking(move || replacing.propose(&key, wanted.seal, now)).await.map(drop)
            }
            Err(fault) => Err(fault),
        };
        if laid.is_err() {
            // It takes the room of whoever goes on.
            let replacing = self.0.replacing.clone();
            let _ = self.blocking(move || replacing.clear()).await;
        }
        laid
    }

    /// The start before this run came to nothing with it: another would not do better.
    async fn not_yet(&self, at: &Site) -> Result<Value, Fault> {
        match &self.0.replaced {
            Err(why) => Err(failed(why)),
            Ok(_) => self.begin_anew(at).await,
        }
    }

    /// Does not return: agentd ends, and the next one runs this step again.
    async fn begin_anew(&self, at: &Site) -> Result<Value, Fault> {
        at.note("starting agentd anew, for it to open the other database");
        self.0.reload()?.start_anew();
        pending().await
    }

    /// Once, however often this is cut off: the row has an id that follows from the step.
    async fn audit(&self, course: &Course, at: &Site, said: String) -> Result<(), Fault> {
        let digest = crate::deploy::releases::sha256(at.key().as_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&digest.0[..8]);
        let correlation = CorrelationId(u64::from_be_bytes(id).max(1));
        let filter = AuditFilter {
            correlation: Some(correlation),
            action: Some(ACTION.into()),
            limit: 1,
            ..AuditFilter::default()
        };
        if !self.0.store.audit_entries(filter).await?.is_empty() {
            return Ok(());
        }
        let object = course.backup.as_ref().map(|backup| format!("backup/{}", backup.id)).unwrap_or_default();
        let act = Act { object, correlation, ..Hands::act(course, at, ACTION) };
        Ok(self.0.store.record_act(act, AuditOutcome::Done, said).await.map(drop)?)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = spawn_blocking(work).await;
        Ok(done.map_err(|panic| Fault::internal(format!("cannot replace the database: {panic}")))??)
    }
}

/// What the trail calls it.
const ACTION: &str = "database/restore";

fn told(carried: &Carried) -> String {
    let Carried { keys_ended, keys_known, sessions_ended, waivers_ended, audit_rows } = carried;
    format!(
        "keys ended {keys_ended}, keys known as revoked {keys_known}, sessions ended {sessions_ended}, waivers ended \
         {waivers_ended}, rows of the audit trail kept {audit_rows}"
    )
}

fn failed(why: &str) -> Fault {
    Fault::new(FaultKind::Unavailable, format!("cannot put the database back: {why}"))
        .hint("the live database is what it was; `agentctl backup verify ID` looks at the backup")
}
