//! The link to the release that runs, and the configuration in force: both at once, or as they were.
use super::{
    MIGRATE_UP,
    hands::{Hands, course, way_back},
};
use crate::{
    deploy::Before,
    domain::Fault,
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

pub struct Switch(pub Arc<Hands>);

impl Step for Switch {
    fn name(&self) -> &'static str {
        super::SWITCH
    }

    fn title(&self) -> &'static str {
        super::title(super::SWITCH)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let Some(to) = course(at)?.to else {
                return Err(Fault::internal("cannot switch: no release is named"));
            };
            let before = self.0.releases.switch_to(to).await?;
            self.0.reload()?.reload().await?;
            serde_json::to_value(before)
                .map_err(|error| Fault::internal(format!("cannot write down what was switched: {error}")))
        })
    }

    fn undo<'a>(&'a self, at: &'a Site, left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            way_back(at, at.left(MIGRATE_UP).is_some())?;
            let Some(to) = course(at)?.to else { return Ok(()) };
            let before: Option<Before> = left.and_then(|left| serde_json::from_value(left.clone()).ok());
            let back = match before {
                Some(before) => self.0.releases.undo_switch(before).await.map(|()| true)?,
                // Cut off in the middle: whatever it had begun was written down first.
                None => self.0.releases.take_back(to).await?,
            };
            if back { self.0.reload()?.reload().await } else { Ok(()) }
        })
    }
}
