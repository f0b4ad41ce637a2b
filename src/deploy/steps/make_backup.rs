//! A backup, made as a step: run again after a crash it finds the one that it made; called off, nothing of it is left.
use super::{
    MAKE_BACKUP,
    hands::Hands,
    making::{Making, failed, telling},
};
use crate::{
    backups::{Order, Progress},
    domain::{AuditOutcome, Fault},
    operations::{Blueprint, Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// As the audit trail calls it, whoever does it.
const ACTION: &str = "backups/create";

pub struct MakeBackup(pub Arc<Hands>);

pub fn blueprint(making: &Making) -> Result<Blueprint, Fault> {
    making.blueprint("backup", "make a backup", "backups", MAKE_BACKUP)
}

impl Step for MakeBackup {
    fn name(&self) -> &'static str {
        MAKE_BACKUP
    }

    fn title(&self) -> &'static str {
        super::title(MAKE_BACKUP)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let making = Making::of(at)?;
            let act = making.act(at, ACTION);
            let order = Order {
                by: making.by.to_string(),
                note: making.note.clone(),
                key: making.key(at),
                cancelled: at.cancelled().clone(),
            };
            let (tell, told) = watch::channel(String::new());
            let progress = move |Progress { doing, done, of }: Progress| {
                let part = done.saturating_mul(100).checked_div(of);
                tell.send_replace(part.map_or_else(|| doing.to_owned(), |part| format!("{doing}: {part} %")));
            };
            let work = self.0.backups.make(order, Arc::new(progress));
            match telling(at, told, work).await {
                Ok(entry) => {
                    let done = act.on(format!("backup/{}", entry.id));
                    self.0.store.record_act(done, AuditOutcome::Done, String::new()).await?;
                    Ok(json!({ "backup": entry.id }))
                }
                // It was cut short because agentd ends, and is not judged: the next start does it again.
                Err(_) if self.0.backups.is_closing() => std::future::pending().await,
                Err(fault) => {
                    failed(&self.0, act, &fault).await;
                    Err(fault)
                }
            }
        })
    }

    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let making = Making::of(at)?;
            let Some(id) = self.0.backups.made_for(&making.key(at)).await? else { return Ok(()) };
            self.0.backups.delete(id.clone()).await?;
            let gone = making.act(at, "backups/delete").on(format!("backup/{id}"));
            self.0.store.record_act(gone, AuditOutcome::Done, "it was called off".into()).await?;
            Ok(())
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3600)
    }
}
