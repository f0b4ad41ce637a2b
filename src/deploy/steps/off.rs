//! The fleet off: no agent runs and none is started, so that nothing works while its ground is changed.
use super::hands::{Hands, course};
use crate::{
    domain::Fault,
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

pub struct Off(pub Arc<Hands>);

impl Step for Off {
    fn name(&self) -> &'static str {
        super::OFF
    }

    fn title(&self) -> &'static str {
        super::title(super::OFF)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            self.0.hold_off(at).await?;
            Ok(Value::Null)
        })
    }

    /// On again, and up again: a fleet that was taken down for nothing must stand as it stood.
    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            if course.was_off {
                return Ok(());
            }
            self.0.supervisor.switch_on().await?;
            super::verify::runs(&self.0, course.from, at).await
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(900)
    }
}
