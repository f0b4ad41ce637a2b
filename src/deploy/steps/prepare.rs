//! The declared set-up of a release, before its first start on this machine: once for its content, and never again. It has
//! an undo only where one is declared.
use super::{
    PREPARE,
    hands::{Hands, course},
    migrate::run,
};
use crate::{
    domain::{Fault, ReleaseStanding},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub struct Prepare(pub Arc<Hands>);

impl Prepare {
    async fn release(&self, at: &Site) -> Result<ReleaseStanding, Fault> {
        let to = course(at)?.to.ok_or_else(|| Fault::internal("cannot set up a release: none is named"))?;
        Ok(self.0.releases.get(to).await?.standing)
    }
}

impl Step for Prepare {
    fn name(&self) -> &'static str {
        PREPARE
    }

    fn title(&self) -> &'static str {
        super::title(PREPARE)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let release = self.release(at).await?.release;
            let (id, content) = (release.id, release.content);
            if let Some(before) = self.0.releases.prepared(content).await? {
                // By this very step, if it was cut off before its result was written.
                let ran = before.key == at.key();
                at.note("it was set up on this machine before");
                return Ok(json!({ "release": id, "ran": ran, "said": "" }));
            }
            let said = run("set-up", &release.migration.prepare, id, at.key()).await?;
            self.0.releases.keep_prepared(content, id, at.key().to_owned()).await?;
            at.note(&said);
            Ok(json!({ "release": id, "ran": true, "said": said }))
        })
    }

    /// Forgotten first: what was taken away in part must be set up again.
    fn undo<'a>(&'a self, at: &'a Site, left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let release = self.release(at).await?.release;
            let ran = left.is_none_or(|left| left["ran"] == true);
            if !ran || release.migration.unprepare.is_empty() {
                return Ok(());
            }
            self.0.releases.forget_prepared(release.content).await?;
            run("removal of the set-up", &release.migration.unprepare, release.id, at.key()).await.map(drop)
        })
    }

    fn deadline(&self) -> Duration {
        super::migrate::DEADLINE + Duration::from_secs(10)
    }
}
