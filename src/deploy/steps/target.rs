//! What is to be put in place: a release, whole, unchanged, and with a configuration that would be taken; or a backup,
//! read from end to end. Nothing is harmed yet.
use super::hands::{Hands, backup, course};
use crate::{
    domain::{Course, Fault, FaultKind, WayKind},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::task::spawn_blocking;

pub struct Target(pub Arc<Hands>);

impl Step for Target {
    fn name(&self) -> &'static str {
        super::TARGET
    }

    fn title(&self) -> &'static str {
        super::title(super::TARGET)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            if course.kind == WayKind::Database {
                return verified(&self.0, &course).await;
            }
            let Some(to) = course.to else {
                return Err(Fault::internal("cannot verify a release: none is named"));
            };
            let found = self.0.releases.verify(to).await?;
            if !found.sound {
                let message = format!("cannot use {to}: {}", found.problems.join("; "));
                return Err(Fault::new(FaultKind::Conflict, message)
                    .hint("it is not what was recorded: make a new release, or return to another"));
            }
            let release = self.0.releases.get(to).await?.standing.release;
            if release.config.is_some() {
                let file = self.0.releases_dir.join(to.to_string()).join("agentd.toml");
                let reload = Arc::clone(self.0.reload()?);
                spawn_blocking(move || reload.check(&file))
                    .await
                    .map_err(|panic| Fault::internal(format!("cannot check a configuration: {panic}")))??;
            }
            Ok(json!({ "files": found.files, "bytes": found.bytes }))
        })
    }

    fn undo<'a>(&'a self, _at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(600)
    }
}

/// The one that was looked at when this was planned, and as it was made.
async fn verified(hands: &Hands, course: &Course) -> Result<Value, Fault> {
    let wanted = backup(course)?;
    let id = &wanted.id;
    let refused = |why: &str| {
        Fault::new(FaultKind::Conflict, format!("cannot put the database back to {id}: {why}"))
            .hint("`agentctl backup list` names the others; nothing was changed")
    };
    let (entry, _) = hands.backups.show(id.clone()).await?;
    if entry.manifest.is_none_or(|manifest| manifest.seal != wanted.seal) {
        return Err(refused("it is not the one that was planned with"));
    }
    let found = hands.backups.verify(id.clone(), course.by.to_string(), Arc::new(|_| ())).await?;
    match found.problems.first() {
        Some(problem) => Err(refused(problem)),
        None => Ok(json!({ "backup": id, "verified_at": found.at })),
    }
}
