//! A small router over the real keyring and the real trail, with one control that may be missing: what the checks of
//! keys and sessions are shown to object to. Compiled for tests only.
use crate::{
    auth::{KeyRequest, Keyring, Names, Policy, Trail},
    domain::{Act, Caller, Fault, FaultKind, Means, Period, Permission, Principal, Role, Session},
    readiness::{Answered, Question, Serve, Served, Stage},
    resilience::Clock,
};
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// A bearer is not looked at.
    TakesAnything,
    TakesNothing,
    /// Whoever knows a key's id is its bearer.
    ByIdAlone,
    /// The last character of what is shown does not count.
    ForgivesTheLast,
    /// Who showed something good is never asked again.
    Remembers,
    /// A daemon that was started anew knows no key.
    ForgetsAtRestart,
    /// Time stands still.
    StoppedClock,
    /// A rotation ends the old key at once.
    NoOverlap,
    /// Revoking answers well and does nothing.
    RevokesNothing,
    /// Refusals say why.
    Talkative,
    /// Refusals leave no row.
    Silent,
    /// Refusals leave what was shown in the trail.
    KeepsWhatWasShown,
    /// What is handed out is written down.
    KeepsWhatItMakes,
    /// As many sessions as anybody likes.
    NoCap,
    /// A session may open a session.
    SessionsBreed,
    /// A key says what its bearer is, even an agent's.
    AgentsAsTheySay,
    /// Whoever may look may make keys.
    AnyoneMakesKeys,
    /// An agent reports for any.
    ReportsForAny,
}

pub struct Desk {
    flaw: Flaw,
    /// What outlasts a router of this desk: by its store the clock of the first, and who was let in.
    first_clocks: Mutex<HashMap<String, Clock>>,
    seen: Arc<Mutex<HashMap<String, Caller>>>,
}

struct Router {
    flaw: Flaw,
    keyring: Keyring,
    trail: Trail,
    seen: Arc<Mutex<HashMap<String, Caller>>>,
    started_anew: bool,
}

impl Desk {
    pub fn with(flaw: Flaw) -> Arc<dyn Serve> {
        Arc::new(Self { flaw, first_clocks: Mutex::default(), seen: Arc::default() })
    }
}

impl Serve for Desk {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
        let mut first = self.first_clocks.lock().expect("whole");
        let started_anew = first.contains_key(stage.store.fleet_id());
        let first =
            first.entry(stage.store.fleet_id().to_owned()).or_insert_with(|| stage.clock.clone()).clone();
        let clock = if self.flaw == Flaw::StoppedClock { first } else { stage.clock };
        let mut settings = (*stage.settings).clone();
        if self.flaw == Flaw::NoCap {
            settings.sessions.per_principal = 1000;
        }
        let own = rustix::process::geteuid().as_raw();
        let policy = Policy::resolve(&settings.access, &Names::default(), own).0;
        let keyring = Keyring::new(
            watch::channel(Arc::new(settings)).1,
            watch::channel(Arc::new(policy)).1,
            stage.store.clone(),
            clock,
        );
        let trail = Trail::new(stage.store.clone());
        let (flaw, seen) = (self.flaw, Arc::clone(&self.seen));
        async move { Box::new(Router { flaw, keyring, trail, seen, started_anew }) as Box<dyn Served> }
            .boxed()
    }
}

impl Served for Router {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
        async move {
            let (status, body) = match self.answer(question).await {
                Ok(body) => (200, body),
                Err(fault) => (status(fault.kind), serde_json::to_value(&fault).expect("JSON")),
            };
            Answered { status, headers: Vec::new(), body }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Router {
    async fn answer(&self, question: Question) -> Result<Value, Fault> {
        let mut caller = Caller::by_socket(question.identity, Role::Admin, None);
        let action: &'static str = ACTIONS.iter().find(|(path, _)| *path == question.path).expect("known").0;
        let action = action.strip_prefix("/v1/").expect("a version");
        if let Some(bearer) = question.bearer {
            caller = self.recognise(caller, action, bearer).await?;
        }
        let needs = ACTIONS.iter().find(|(path, _)| *path == question.path).expect("known").1;
        let lenient = self.flaw == Flaw::AnyoneMakesKeys && action == "keys/create";
        if !caller.role.may(needs) && !lenient {
            return Err(Fault::new(FaultKind::Forbidden, "no"));
        }
        let act = Act::new(&caller, action, "");
        if lenient {
            caller.role = Role::Admin;
        }
        self.handle(action, &caller, question.body.unwrap_or_default(), act).await
    }

    async fn recognise(&self, caller: Caller, action: &'static str, shown: String) -> Result<Caller, Fault> {
        let mut shown = shown;
        if self.flaw == Flaw::Remembers
            && let Some(known) = self.seen.lock().expect("whole").get(&shown)
        {
            return Ok(known.clone());
        }
        match self.flaw {
            Flaw::TakesAnything => return Ok(caller),
            Flaw::TakesNothing => return Err(Fault::new(FaultKind::Unauthenticated, "no")),
            Flaw::ForgetsAtRestart if self.started_anew => {
                return Err(Fault::new(FaultKind::Unauthenticated, "no"));
            }
            Flaw::ByIdAlone => {
                let named = shown.get(4..16).unwrap_or_default().to_owned();
                if let Ok(key) = self.keyring.key(&named).await {
                    return Ok(Caller {
                        principal: key.principal,
                        role: key.role,
                        means: Means::Key(named),
                        ..caller
                    });
                }
            }
            Flaw::ForgivesTheLast => {
                let seen = self.seen.lock().expect("whole");
                let known = seen.keys().find(|known| known.len() > 1 && known[..known.len() - 1] == shown);
                shown = known.cloned().unwrap_or(shown);
            }
            _ => {}
        }
        let bearer = SecretString::from(shown.clone());
        match self.keyring.recognise(&caller, None, &bearer).await {
            Ok(mut known) => {
                if self.flaw == Flaw::AgentsAsTheySay && known.role == Role::Agent {
                    known.role = Role::Admin;
                }
                self.seen.lock().expect("whole").insert(shown, known.clone());
                Ok(known)
            }
            Err(refusal) => {
                let told = refusal.for_the_trail();
                let object = if self.flaw == Flaw::KeepsWhatWasShown { unmarked(&shown) } else { "" };
                if self.flaw != Flaw::Silent {
                    self.trail.refused(Act::new(&caller, action, object), &told).await;
                }
                Err(if self.flaw == Flaw::Talkative { told } else { refusal.answer() })
            }
        }
    }

    async fn handle(&self, action: &str, caller: &Caller, body: Value, act: Act) -> Result<Value, Fault> {
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        if action.ends_with("revoke") && self.flaw == Flaw::RevokesNothing {
            return Ok(json!({}));
        }
        match action {
            "sessions/whoami" => Ok(json!({ "principal": caller.principal })),
            "keys/create" => {
                let mut request: KeyRequest = serde_json::from_value(body).expect("a request");
                if self.flaw == Flaw::AgentsAsTheySay {
                    request.role =
                        request.role.filter(|_| !request.principal.to_string().starts_with("agent:"));
                }
                let (key, token) = self.keyring.create_key(caller, request, act).await?;
                self.issued(key.id, &token).await
            }
            "keys/list" => Ok(json!(self.keyring.keys(true).await?.len())),
            "keys/rotate" => {
                let written: Period = body["overlap"].as_str().expect("text").parse().expect("a period");
                let overlap = if self.flaw == Flaw::NoOverlap { Period::default() } else { written };
                let rotation = self.keyring.rotate_key(caller, &id, overlap, act).await?;
                self.issued(rotation.new.id, &rotation.token).await
            }
            "keys/revoke" => self.keyring.revoke_key(&id, act).await.map(|_| json!({})),
            "sessions/open" => {
                let mut caller = caller.clone();
                if self.flaw == Flaw::SessionsBreed {
                    caller.means = Means::Socket;
                }
                let (Session { id, .. }, token) = self.keyring.open_session(&caller, act).await?;
                self.issued(id, &token).await
            }
            "sessions/close" => self.keyring.close_session(caller, act).await.map(|_| json!({})),
            "sessions/revoke" if id.is_empty() => {
                let principal: Principal = serde_json::from_value(body["principal"].clone()).expect("one");
                self.keyring.end_sessions_of(principal, act).await.map(|ended| json!({ "ended": ended }))
            }
            "sessions/revoke" => self.keyring.end_session(&id, act).await.map(|()| json!({})),
            "agents/report" => {
                let instance = body["instance"].as_str().expect("text");
                let own = instance.split('/').next() == Some(&caller.principal.name);
                let kind = if own || self.flaw == Flaw::ReportsForAny {
                    FaultKind::NotFound
                } else {
                    FaultKind::Forbidden
                };
                Err(Fault::new(kind, "no"))
            }
            other => panic!("{other}"),
        }
    }

    async fn issued(&self, id: String, token: &SecretString) -> Result<Value, Fault> {
        let token = token.expose_secret();
        if self.flaw == Flaw::KeepsWhatItMakes {
            let act = Act::new(&Caller::by_socket(IDENTITY, Role::Admin, None), "keys/create", "");
            self.trail.ended(act.on(unmarked(token)), Ok(())).await;
        }
        Ok(json!({ "id": id, "token": token }))
    }
}

/// Without what makes the trail know it for a secret: what it cannot know it writes down.
fn unmarked(token: &str) -> &str {
    token.rsplit('_').next().unwrap_or(token)
}

const IDENTITY: crate::domain::Identity = crate::domain::Identity { uid: 0, gid: 0, pid: None };
const ACTIONS: &[(&str, Permission)] = &[
    ("/v1/agents/report", Permission::AgentReport),
    ("/v1/keys/create", Permission::AccessManage),
    ("/v1/keys/list", Permission::AccessManage),
    ("/v1/keys/revoke", Permission::AccessManage),
    ("/v1/keys/rotate", Permission::AccessManage),
    ("/v1/sessions/close", Permission::SessionOwn),
    ("/v1/sessions/open", Permission::SessionOwn),
    ("/v1/sessions/revoke", Permission::AccessManage),
    ("/v1/sessions/whoami", Permission::SessionOwn),
];

fn status(kind: FaultKind) -> u16 {
    match kind {
        FaultKind::Usage => 400,
        FaultKind::Unauthenticated => 401,
        FaultKind::Forbidden => 403,
        FaultKind::NotFound => 404,
        FaultKind::Conflict => 409,
        FaultKind::Refused => 412,
        _ => 500,
    }
}
