//! What a probe looks at: an instance, a dependency, or something made up for a drill.
use super::{Miss, identity::Owned};
use crate::domain::{InstanceId, ProbeRole};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// Where one look goes and what is known of the place.
#[derive(Clone, Debug)]
pub struct Target {
    /// As in `ProbeStatus`: `orders/0` or `orders-db`.
    pub name: Arc<str>,
    pub instance: Option<InstanceId>,
    /// Where probes without an address of their own look.
    pub host: Arc<str>,
    pub port: Option<u16>,
    /// The URL of an agent that runs elsewhere; a probe's `path` is joined to it.
    pub base: Option<Arc<str>>,
    /// The main process of a supervised instance, which leads its process group.
    pub pid: Option<i32>,
    pub role: ProbeRole,
    /// Since when it has been up, for what it has not said yet.
    pub since: Instant,
    /// When the agent last reported of itself.
    pub reported: Option<Instant>,
    /// On this look, also ask whose listener answers.
    pub check_identity: bool,
    /// What earlier looks have proved to be its own.
    pub(super) owned: Option<Arc<Owned>>,
}

impl Target {
    /// Something on this machine that is no agent of ours: no pid, so nobody to identify.
    pub fn local(name: &str, port: Option<u16>) -> Self {
        Self {
            name: name.into(),
            instance: None,
            host: "127.0.0.1".into(),
            port,
            base: None,
            pid: None,
            role: ProbeRole::Readiness,
            since: Instant::now(),
            reported: None,
            check_identity: false,
            owned: None,
        }
    }

    /// An instance whose listener must be its own.
    pub fn instance(id: InstanceId, port: Option<u16>, pid: Option<i32>) -> Self {
        let mut target = Self::local(&id.to_string(), port);
        target.instance = Some(id);
        target.pid = pid;
        target.check_identity = true;
        target
    }

    /// The port asked for, or the instance's own.
    pub(super) fn port(&self, asked: Option<u16>) -> Result<u16, Miss> {
        let none = || Miss::Blind(format!("{} has no port and the probe names none", self.name));
        asked.or(self.port).ok_or_else(none)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
