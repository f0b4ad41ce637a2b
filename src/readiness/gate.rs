//! What readiness wants to know of the daemon's door; `boot` supplies it, since the door is built above this room.
use crate::domain::{Permission, Role};
use futures_util::future::BoxFuture;

/// One served route and what its own gate said to a caller of some role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateAnswer {
    /// `/v1/agents/stop`
    pub path: String,
    /// What the route says it needs.
    pub needs: Permission,
    /// Did the gate let the caller through? The request behind it must be one that no handler acts on.
    pub admitted: bool,
}

/// The daemon's door: every served route, asked through the real gate by a caller made up for the occasion.
pub trait Gate: Send + Sync {
    fn ask(&self, role: Role) -> BoxFuture<'_, Vec<GateAnswer>>;
}
