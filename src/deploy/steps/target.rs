//! The release that is to run: whole, unchanged, and with a configuration that would be taken. Nothing is harmed yet.
use super::hands::{Hands, course};
use crate::{
    domain::{Fault, FaultKind},
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
