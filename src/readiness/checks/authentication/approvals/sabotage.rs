//! A daemon that keeps approvals as it should, by the room that does, and as it should not. For tests only.
use super::stage::{FORBIDDEN, GIVER, NOT_FOUND, OK, OTHER, REFUSED};
use crate::{
    agents::Supervisor,
    auth::Approvals,
    config::Settings,
    domain::{Action, Approval, Caller, Fault, FaultKind, Identity, Role, Separation},
    readiness::{Answered, Question, Serve, Served, Stage},
};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Sound,
    NeverAsks,
    NotBound,
    ForAnyAsker,
    UsedAgain,
    SelfGiven,
    UnknownIsFine,
    DenialForgotten,
    AgentGives,
    AgentActs,
    GoodwillIsEnough,
}

impl Manners {
    fn what(self) -> &'static str {
        match self {
            Self::Sound => "nothing",
            Self::NeverAsks => "a gate that asks for no approval",
            Self::NotBound => "an approval of whatever the request says",
            Self::ForAnyAsker => "an approval for whoever asks",
            Self::UsedAgain => "an approval that is used again and again",
            Self::SelfGiven => "an approval given by who asks for it",
            Self::UnknownIsFine => "a yes to an approval that does not exist",
            Self::DenialForgotten => "a denial that nobody remembers",
            Self::AgentGives => "an agent taken for the person whose key it shows",
            Self::AgentActs => "an agent that is let through the door",
            Self::GoodwillIsEnough => "approvals where nothing separates agents",
        }
    }
}

/// What is broken, and the daemon that has it so.
pub fn serve(manners: Manners) -> (&'static str, Arc<dyn Serve>) {
    (manners.what(), Arc::new(Daemon { manners, done: Arc::default() }))
}

/// What was done, by the store that it would be in: a restart over the same one forgets nothing.
type Done = Arc<Mutex<BTreeMap<String, usize>>>;

struct Daemon {
    manners: Manners,
    done: Done,
}

impl Serve for Daemon {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
        let (manners, done) = (self.manners, Arc::clone(&self.done));
        async move {
            let mut settings = Settings::clone(&stage.settings);
            if manners == Manners::SelfGiven {
                settings.approvals.by = crate::config::ApprovedBy::Anybody;
            }
            let (sender, settings) = watch::channel(Arc::new(settings));
            let fleet = stage.store.fleet_id().to_owned();
            let approvals = Approvals::new(settings, stage.store, stage.clock);
            let supervisor = stage.supervisor;
            Box::new(Router { manners, approvals, supervisor, done, fleet, _sender: sender })
                as Box<dyn Served>
        }
        .boxed()
    }
}

struct Router {
    manners: Manners,
    approvals: Approvals,
    supervisor: Supervisor,
    done: Done,
    fleet: String,
    _sender: watch::Sender<Arc<Settings>>,
}

impl Served for Router {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
        async move {
            let (status, body) = match self.answer(question).await {
                Ok(body) => (OK, body),
                Err(fault) => (status(fault.kind), Value::Null),
            };
            Answered { status, headers: Vec::new(), body }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

impl Router {
    async fn answer(&self, question: Question) -> Result<Value, Fault> {
        let caller = self.caller(question.identity)?;
        let body = question.body.unwrap_or_default();
        let id = body["id"].as_u64().unwrap_or_default();
        let approval = |approval: Approval| serde_json::to_value(approval).expect("json");
        let (path, query) = question.path.split_once('?').unwrap_or((&question.path, ""));
        if caller.role == Role::Agent {
            return Err(Fault::new(FaultKind::Forbidden, "cannot: an agent"));
        }
        match path {
            "/v1/waivers/add" => self.act(&caller, body).await,
            "/v1/waivers/list" => {
                let done = self.done.lock().expect("no panic").get(&self.fleet).copied();
                Ok(json!({ "waivers": vec![0; done.unwrap_or_default()] }))
            }
            "/v1/approvals/list" => Ok(json!({ "approvals": self.approvals.list(true).await? })),
            "/v1/approvals/show" => {
                let id = query.trim_start_matches("id=").parse().expect("a number");
                Ok(approval(self.approvals.find(id).await?))
            }
            "/v1/approvals/give" if self.manners == Manners::UnknownIsFine => {
                Ok(self.approvals.give(&caller, id, self.apart()).await.map(approval).unwrap_or_default())
            }
            "/v1/approvals/give" => Ok(approval(self.approvals.give(&caller, id, self.apart()).await?)),
            "/v1/approvals/deny" if self.manners == Manners::DenialForgotten => Ok(Value::Null),
            "/v1/approvals/deny" => Ok(approval(self.approvals.deny(&caller, id, "no").await?)),
            _ => Err(Fault::not_found("cannot find it")),
        }
    }

    async fn act(&self, caller: &Caller, body: Value) -> Result<Value, Fault> {
        let done = || self.done.lock().expect("no panic").get(&self.fleet).copied().unwrap_or_default();
        let request = if self.manners == Manners::NotBound { Value::Null } else { body };
        let any = Caller::by_socket(Identity { uid: OTHER, ..caller.identity }, Role::Operator, None);
        let asker = if self.manners == Manners::ForAnyAsker { &any } else { caller };
        let free = self.manners == Manners::NeverAsks || (self.manners == Manners::UsedAgain && done() > 0);
        if !free {
            let action = Action { action: "waivers/add".into(), object: String::new(), request };
            self.approvals.claim(asker, action, self.apart()).await?;
        }
        *self.done.lock().expect("no panic").entry(self.fleet.clone()).or_default() += 1;
        Ok(Value::Null)
    }

    fn caller(&self, identity: Identity) -> Result<Caller, Fault> {
        let agent = self.supervisor.agent_of(&identity)?;
        let own = rustix::process::geteuid().as_raw();
        let person = |uid| {
            let role = if uid == own { Role::Admin } else { Role::Operator };
            Caller::by_socket(Identity { uid, ..identity }, role, None)
        };
        Ok(match agent {
            Some(_) if self.manners == Manners::AgentGives => person(GIVER),
            Some(_) if self.manners == Manners::AgentActs => person(identity.uid),
            Some(agent) => Caller::by_socket(identity, Role::Agent, Some(agent)),
            None => person(identity.uid),
        })
    }

    fn apart(&self) -> Separation {
        match self.manners {
            Manners::GoodwillIsEnough => Separation::OwnUser,
            _ => self.supervisor.separation(),
        }
    }
}

fn status(kind: FaultKind) -> u16 {
    match kind {
        FaultKind::Forbidden => FORBIDDEN,
        FaultKind::NotFound => NOT_FOUND,
        FaultKind::Refused => REFUSED,
        FaultKind::Conflict => super::stage::CONFLICT,
        _ => 500,
    }
}
