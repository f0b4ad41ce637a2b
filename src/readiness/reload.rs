//! What readiness wants of the daemon's reload; `boot` supplies it, since the reload is built above this room.
use crate::{
    agents::Supervisor,
    config::{Paths, Settings},
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{path::PathBuf, sync::Arc};

/// A scratch fleet and the manifest that its daemon is to read.
pub struct Stage {
    pub manifest: PathBuf,
    /// What is in force before.
    pub settings: Arc<Settings>,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub clock: Clock,
}

/// How a reload ended.
pub struct Reloaded {
    /// What it said, if it refused.
    pub refused: Option<String>,
    /// What is in force after it.
    pub settings: Arc<Settings>,
}

/// The daemon's own reload, carried out on a stage.
pub trait Reload: Send + Sync {
    fn reload(&self, stage: Stage) -> BoxFuture<'_, Reloaded>;
}
