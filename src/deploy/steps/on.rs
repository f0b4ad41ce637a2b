//! The fleet on: every agent may run again that the configuration wants, in its order.
use super::{
    MIGRATE_UP,
    hands::{Hands, way_back},
};
use crate::{
    domain::Fault,
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

pub struct On(pub Arc<Hands>);

impl Step for On {
    fn name(&self) -> &'static str {
        super::ON
    }

    fn title(&self) -> &'static str {
        super::title(super::ON)
    }

    fn run<'a>(&'a self, _at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            self.0.supervisor.switch_on().await?;
            Ok(Value::Null)
        })
    }

    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            way_back(at, at.left(MIGRATE_UP).is_some())?;
            self.0.hold_off(at).await
        })
    }
}
