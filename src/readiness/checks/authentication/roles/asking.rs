//! Who asks the router of a scratch fleet: identities that the scratch [access] maps to roles, and one that it does not.
use crate::domain::Identity;
use crate::readiness::{Answered, Ground, Question, ScratchFleet, Serve, Served, Stage};
use futures_util::{StreamExt, future::BoxFuture, stream};
use serde_json::{Value, json};
use std::{fmt, sync::Arc, time::Duration};

/// A watch is held for as long as nothing changes; what is refused is refused at once.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How many questions are under way at once.
const AT_ONCE: usize = 16;
/// Uids and gids of nobody: no system gives numbers as high.
const BASE: u32 = 4_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Admin,
    Operator,
    Viewer,
    /// By group and not by user.
    OperatorByGroup,
    ViewerByGroup,
    /// Named nowhere.
    Stranger,
    /// An agent of the scratch fleet, by its uid.
    Agent(u32),
}

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Asked {
    /// 0 where it was held, which only what is let through is.
    pub status: u16,
    pub body: Value,
}

impl Asker {
    /// Who is who, as [access] has it.
    pub fn access() -> Value {
        let uid = |asker: Self| json!([asker.identity().uid.to_string()]);
        let gid = |asker: Self| json!([asker.identity().gid.to_string()]);
        json!({
            "admin_users": uid(Self::Admin),
            "operator_users": uid(Self::Operator),
            "viewer_users": uid(Self::Viewer),
            "operator_groups": gid(Self::OperatorByGroup),
            "viewer_groups": gid(Self::ViewerByGroup),
        })
    }

    pub fn identity(self) -> Identity {
        let number = match self {
            Self::Admin => 1,
            Self::Operator => 2,
            Self::Viewer => 3,
            Self::OperatorByGroup => 4,
            Self::ViewerByGroup => 5,
            Self::Stranger => 6,
            Self::Agent(uid) => return Identity { uid, gid: uid, pid: Some(own_pid()) },
        };
        Identity { uid: BASE + number, gid: BASE + 100 + number, pid: Some(own_pid()) }
    }

    pub async fn read(self, served: &dyn Served, path: &str) -> Asked {
        self.ask(served, path, None).await
    }

    pub async fn write(self, served: &dyn Served, path: &str, body: Value) -> Asked {
        self.ask(served, path, Some(body)).await
    }

    async fn ask(self, served: &dyn Served, path: &str, body: Option<Value>) -> Asked {
        let question = Question { identity: self.identity(), bearer: None, path: path.to_owned(), body };
        match tokio::time::timeout(PATIENCE, served.ask(question)).await {
            Ok(Answered { status, body, .. }) => Asked { status, body },
            Err(_held) => Asked { status: 0, body: Value::Null },
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "an admin",
            Self::Operator => "an operator",
            Self::Viewer => "a viewer",
            Self::OperatorByGroup => "an operator by group",
            Self::ViewerByGroup => "a viewer by group",
            Self::Stranger => "a user without a role",
            Self::Agent(_) => "an agent",
        })
    }
}

impl Asked {
    /// As one line of evidence.
    pub fn said(&self) -> String {
        let word = |key: &str| self.body[key].as_str().unwrap_or_default();
        match &self.body["allowed"] {
            Value::Bool(true) => format!("allowed: {}", word("reason")),
            Value::Bool(false) => format!("not allowed: {}", word("reason")),
            _ => format!("status {}: {}", self.status, word("message")),
        }
    }
}

/// The answers in the order of the questions, some of which are under way at once.
pub async fn answers(questions: Vec<BoxFuture<'_, Asked>>) -> Vec<Asked> {
    stream::iter(questions).buffered(AT_ONCE).collect().await
}

/// The daemon's own router over a scratch fleet.
pub async fn open(ground: &Ground, fleet: &ScratchFleet, serve: Arc<dyn Serve>) -> Box<dyn Served> {
    let stage = Stage {
        manifest: fleet.path().join("agentd.toml"),
        settings: Arc::new(fleet.settings().clone()),
        paths: fleet.paths().clone(),
        store: fleet.store().clone(),
        supervisor: fleet.supervisor().clone(),
        clock: ground.clock(),
    };
    serve.serve(stage).await
}

/// A pid that belongs to no scratch agent: that of the daemon itself.
fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}
