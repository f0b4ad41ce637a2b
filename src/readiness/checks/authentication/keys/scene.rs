//! Where keys and sessions are tried: the daemon's own router over a scratch store, asked as its clients ask it. Time is
//! turned by opening the router again, on the same store, with its clock set ahead: what a daemon started then would say.
use crate::{
    config::Settings,
    domain::{Fault, Identity},
    readiness::{Answered, Ground, Question, ScratchFleet, Serve, Served, Stage},
    resilience::Clock,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc, time::Duration};

pub const WHOAMI: &str = "/v1/sessions/whoami";

pub struct Scene {
    fleet: ScratchFleet,
    serve: Arc<dyn Serve>,
    clock: Clock,
}

/// One router of a scene.
pub struct Open(Box<dyn Served>);

impl Scene {
    /// `overlay` is what the scratch daemon's settings say beside their defaults.
    pub async fn set(ground: &Ground, serve: &Arc<dyn Serve>, overlay: Value) -> Result<Self, Fault> {
        let fleet = ground.fleet(overlay, false).await?;
        Ok(Self { fleet, serve: Arc::clone(serve), clock: ground.clock() })
    }

    pub async fn open(&self) -> Open {
        self.open_at(self.clock.clone(), self.fleet.settings().clone()).await
    }

    /// A daemon that was started so much later.
    pub async fn open_ahead(&self, by: Duration) -> Open {
        let later = SignedDuration::try_from(by).ok().and_then(|by| self.clock.now().checked_add(by).ok());
        let clock = later.map_or_else(|| self.clock.clone(), Clock::anchored);
        self.open_at(clock, self.fleet.settings().clone()).await
    }

    async fn open_at(&self, clock: Clock, settings: Settings) -> Open {
        let stage = Stage {
            manifest: self.fleet.path().join("agentd.toml"),
            settings: Arc::new(settings),
            paths: self.fleet.paths().clone(),
            store: self.fleet.store().clone(),
            supervisor: self.fleet.supervisor().clone(),
            clock,
        };
        Open(self.serve.serve(stage).await)
    }

    pub fn fleet(&self) -> &ScratchFleet {
        &self.fleet
    }

    pub fn files(&self) -> PathBuf {
        self.fleet.path().to_owned()
    }

    pub async fn strike(self) {
        self.fleet.finish().await;
    }
}

impl Open {
    /// As the daemon's own user, who is admin by the kernel's word; what is shown says the rest.
    pub async fn ask(&self, bearer: Option<&str>, path: &str, body: Option<Value>) -> Answered {
        let identity = Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            pid: i32::try_from(std::process::id()).ok(),
        };
        let question = Question { identity, bearer: bearer.map(str::to_owned), path: path.to_owned(), body };
        self.0.ask(question).await
    }

    /// Who the bearer is taken for; none if it is refused.
    pub async fn whoami(&self, bearer: &str) -> Option<String> {
        let answered = self.ask(Some(bearer), WHOAMI, None).await;
        let principal = answered.body["principal"].as_str().map(str::to_owned);
        principal.filter(|_| answered.status == 200)
    }

    pub async fn key(&self, request: Value) -> Result<Issued, Fault> {
        self.issued("keys/create", None, request).await
    }

    pub async fn rotate(&self, id: &str, overlap: &str) -> Result<Issued, Fault> {
        self.issued("keys/rotate", None, json!({ "id": id, "overlap": overlap })).await
    }

    pub async fn login(&self, bearer: Option<&str>) -> Result<Issued, Fault> {
        self.issued("sessions/open", bearer, json!({})).await
    }

    async fn issued(&self, endpoint: &str, bearer: Option<&str>, body: Value) -> Result<Issued, Fault> {
        let answered = self.ask(bearer, &format!("/v1/{endpoint}"), Some(body)).await;
        let text = |field: &str| answered.body[field].as_str().map(str::to_owned);
        match (text("id"), text("token")) {
            (Some(id), Some(token)) if answered.status == 200 => Ok(Issued { id, token }),
            _ => Err(Fault::internal(format!(
                "cannot try this: a scratch {endpoint} was answered with {}",
                answered.status
            ))),
        }
    }

    pub async fn close(self) {
        self.0.close().await;
    }
}

/// A scratch key or session; it opens nothing but the scene.
pub struct Issued {
    pub id: String,
    pub token: String,
}

impl Issued {
    /// The part that nobody can guess.
    pub fn secret(&self) -> &str {
        self.token.get(17..60).unwrap_or(&self.token)
    }
}
