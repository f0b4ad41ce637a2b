//! Where the releases stand now that it is done. Written last: what is not verified is not called anything.
use super::hands::{Hands, course};
use crate::{
    domain::{Fault, ReleaseId, ReleaseState, WayKind},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

pub struct Record(pub Arc<Hands>);

impl Record {
    /// Nothing where it stands so already, as after a crash in the middle.
    async fn brings(&self, at: &Site, id: ReleaseId, to: ReleaseState) -> Result<(), Fault> {
        let course = course(at)?;
        if self.0.releases.get(id).await?.standing.state == to {
            return Ok(());
        }
        let act = Hands::act(&course, at, "releases/move").on(format!("release/{id}"));
        let why = format!("{}: {}", at.operation(), course.reason);
        self.0.releases.moved(act, id, to, course.by, why).await
    }
}

impl Step for Record {
    fn name(&self) -> &'static str {
        super::RECORD
    }

    fn title(&self) -> &'static str {
        super::title(super::RECORD)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            let Some(to) = course.to else { return Ok(Value::Null) };
            if course.kind == WayKind::Database {
                // The same release runs as before.
                return Ok(Value::Null);
            }
            if course.kind == WayKind::Deploy {
                self.brings(at, to, ReleaseState::OnTrial).await?;
                return Ok(Value::Null);
            }
            if let Some(from) = course.from {
                self.brings(at, from, ReleaseState::Reverted).await?;
            }
            let standing = self.0.releases.get(to).await?.standing;
            // What was stable is so again; what never was, or was itself taken back since, is on trial.
            let good = standing.stable_since().is_some()
                && (standing.state == ReleaseState::Stable
                    || standing.state.next().contains(&ReleaseState::Stable));
            self.brings(at, to, if good { ReleaseState::Stable } else { ReleaseState::OnTrial }).await?;
            Ok(Value::Null)
        })
    }

    /// The last of its list: what comes after it is the end.
    fn undo<'a>(&'a self, _at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}
