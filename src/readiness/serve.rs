//! What readiness wants of the daemon's router: the routes that serve, over scratch parts. `boot` supplies it, since
//! the router is built above this room.
use super::Stage;
use crate::domain::Identity;
use futures_util::future::BoxFuture;
use serde_json::Value;

/// One request, as if it came from a process of that identity.
pub struct Question {
    pub identity: Identity,
    /// A key or a session, shown as a client shows it.
    pub bearer: Option<String>,
    /// `/v1/agents/stop`
    pub path: String,
    /// The body of a write; None for a read, whose query stands in the path.
    pub body: Option<Value>,
}

/// What a client would see.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Null where it is no JSON.
    pub body: Value,
}

impl Answered {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A router that serves nobody but who holds it.
pub trait Served: Send + Sync {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered>;
    /// Ends what it started; the stage's own parts are not its to end.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The daemon's own gate and routes, opened on a stage.
pub trait Serve: Send + Sync {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>>;
}
