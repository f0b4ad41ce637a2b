//! For the saboteurs: a router that recognises, admits, decides and records as the daemon's does, but for one thing.
use crate::{
    auth::{Decision, Granted, Names, Policy, Reason, Roles},
    config::Settings,
    domain::{
        Act, ApplicationPermission, AuditOutcome, Caller, Clients, Identity, Permission, Principal, Role,
        check_client,
    },
    readiness::{Answered, Gate, GateAnswer, Question, Serve, Served, Stage},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    AllowsEverything,
    DeniesEverything,
    ForgetsClients,
    MatchesClientsLoosely,
    GivesSupportRefunds,
    TakesReportsFromAnalytics,
    KnowsNoCustomRole,
    TrustsUnknownPrincipals,
    MakesRootAllMighty,
    GuessesPermissions,
    AnswersViewers,
    AnswersStrangers,
    RecordsNothing,
    RecordsTheOpposite,
    LetsEverybodyIn,
    LetsNobodyIn,
    StrangersLook,
    ViewersAct,
    OperatorsChangePolicy,
    GroupsDoNotCount,
    AgentsLook,
    RefusalsGoUnrecorded,
}

impl Broken {
    pub const OF_DECISIONS: &[(&'static str, Self)] = &[
        ("a decision that is always yes", Self::AllowsEverything),
        ("a decision that is always no", Self::DeniesEverything),
        ("a decision that forgets whose data it is", Self::ForgetsClients),
        ("clients compared without regard to case", Self::MatchesClientsLoosely),
        ("a role with one permission too many", Self::GivesSupportRefunds),
        ("a role with one permission too few", Self::TakesReportsFromAnalytics),
        ("roles of the file that are not known", Self::KnowsNoCustomRole),
        ("principals trusted that nobody knows", Self::TrustsUnknownPrincipals),
        ("root taken for the system role", Self::MakesRootAllMighty),
        ("a permission guessed from its beginning", Self::GuessesPermissions),
        ("viewers who may ask", Self::AnswersViewers),
        ("strangers who may ask", Self::AnswersStrangers),
        ("answers without a row", Self::RecordsNothing),
        ("rows that say the opposite", Self::RecordsTheOpposite),
    ];
    pub const OF_ROUTES: &[(&'static str, Self)] = &[
        ("a router that lets everybody in", Self::LetsEverybodyIn),
        ("a router that lets nobody in", Self::LetsNobodyIn),
        ("strangers taken for viewers", Self::StrangersLook),
        ("viewers who act", Self::ViewersAct),
        ("operators who change policy", Self::OperatorsChangePolicy),
        ("groups that do not count", Self::GroupsDoNotCount),
        ("refusals without a row", Self::RefusalsGoUnrecorded),
    ];
}

const ROUTES: &[(&str, bool, Permission)] = &[
    ("/v1/status", false, Permission::FleetRead),
    ("/v1/agents/stop", true, Permission::AgentControl),
    ("/v1/agents/report", true, Permission::AgentReport),
    ("/v1/config/reload", true, Permission::PolicyChange),
    ("/v1/auth/can", true, Permission::AccessAsk),
    ("/v1/auth/whoami", false, Permission::SessionOwn),
];

pub struct FakeRouter(pub Broken);

impl Serve for FakeRouter {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
        let own = rustix::process::geteuid().as_raw();
        let mut access = stage.settings.access.clone();
        if self.0 == Broken::GroupsDoNotCount {
            access.operator_groups.clear();
            access.viewer_groups.clear();
        }
        let (policy, _unknown) = Policy::resolve(&access, &Names::default(), own);
        let served = Fake { broken: self.0, stage, policy };
        async move { Box::new(served) as Box<dyn Served> }.boxed()
    }
}

impl Gate for FakeRouter {
    fn ask(&self, role: Role) -> BoxFuture<'_, Vec<GateAnswer>> {
        let answer = |(path, _, needs): &(&str, bool, Permission)| GateAnswer {
            path: (*path).into(),
            needs: *needs,
            admitted: role.may(*needs),
        };
        let answers = ROUTES.iter().map(answer).collect();
        async move { answers }.boxed()
    }
}

struct Fake {
    broken: Broken,
    stage: Stage,
    policy: Policy,
}

impl Served for Fake {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
        async move {
            let (status, body) = self.reply(question).await;
            Answered { status, headers: Vec::new(), body }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Fake {
    fn caller(&self, identity: Identity, needs: Permission) -> Option<Caller> {
        let agent = self.stage.supervisor.agent_of(&identity).ok()?;
        if let Some(agent) = agent {
            return Some(Caller::by_socket(identity, Role::Agent, Some(agent)));
        }
        let role = self.policy.role(&identity).or(match self.broken {
            Broken::StrangersLook => Some(Role::Viewer),
            Broken::LetsEverybodyIn => Some(Role::Admin),
            Broken::AnswersStrangers if needs == Permission::AccessAsk => Some(Role::Service),
            _ => None,
        })?;
        Some(Caller::by_socket(identity, role, None))
    }

    fn admits(&self, role: Role, needs: Permission) -> bool {
        match (self.broken, role, needs) {
            (Broken::LetsEverybodyIn, ..)
            | (Broken::AnswersViewers, Role::Viewer, Permission::AccessAsk)
            | (Broken::ViewersAct, Role::Viewer, Permission::AgentControl)
            | (Broken::OperatorsChangePolicy, Role::Operator, Permission::PolicyChange)
            | (Broken::AgentsLook, Role::Agent, Permission::FleetRead) => true,
            (Broken::LetsNobodyIn, ..) => false,
            _ => role.may(needs),
        }
    }

    async fn reply(&self, question: Question) -> (u16, Value) {
        let Some((path, writes, needs)) = ROUTES.iter().find(|(path, ..)| *path == question.path) else {
            return (404, json!({ "message": "no such endpoint" }));
        };
        let Some(caller) = self.caller(question.identity, *needs) else { return (403, Value::Null) };
        if *writes != question.body.is_some() {
            return (405, Value::Null);
        }
        if !self.admits(caller.role, *needs) {
            let act = Act::new(&caller, path.trim_start_matches("/v1/"), "");
            if self.broken != Broken::RefusalsGoUnrecorded {
                let told = self.stage.store.record_act(act, AuditOutcome::Refused, String::new()).await;
                told.expect("recorded");
            }
            return (403, Value::Null);
        }
        match question.body {
            Some(body) if *needs == Permission::AccessAsk && body.is_object() => {
                self.can(&caller, &body).await
            }
            Some(_) => (400, Value::Null),
            None => (200, json!({})),
        }
    }

    async fn can(&self, caller: &Caller, body: &Value) -> (u16, Value) {
        let text = |key: &str| body[key].as_str();
        let words = || ApplicationPermission::ALL.iter();
        let permission = text("permission").and_then(|text| match self.broken {
            Broken::GuessesPermissions => words().find(|word| word.as_str().starts_with(text)).copied(),
            _ => text.parse().ok(),
        });
        let principal = text("principal").and_then(|text| text.parse::<Principal>().ok());
        let client = text("client");
        let (Some(permission), Some(principal)) = (permission, principal) else { return (400, Value::Null) };
        if client.is_some_and(|client| check_client(client).is_err()) {
            return (400, Value::Null);
        }
        let decision = self.decide(&principal, permission, client);
        let said = decision.allowed != (self.broken == Broken::RecordsTheOpposite);
        let outcome = if said { AuditOutcome::Done } else { AuditOutcome::Refused };
        let of = client.map(|client| format!(" of client {client}")).unwrap_or_default();
        let act = Act::new(caller, "auth/can", format!("{principal} {permission}{of}"));
        if self.broken != Broken::RecordsNothing {
            self.stage.store.record_act(act, outcome, String::new()).await.expect("recorded");
        }
        let Decision { allowed, why, reason, .. } = decision;
        let asked = json!({ "principal": principal, "permission": permission, "client": client });
        let mut answer = json!({ "allowed": allowed, "why": why, "reason": reason });
        answer.as_object_mut().expect("a table").extend(asked.as_object().expect("a table").clone());
        (200, answer)
    }

    /// The decision that serves, on settings and grants that are what is broken.
    fn decide(
        &self,
        principal: &Principal,
        permission: ApplicationPermission,
        client: Option<&str>,
    ) -> Decision {
        use ApplicationPermission as P;
        let settings: &Settings = &self.stage.settings;
        let mut granted = Granted::by_file(settings, principal);
        let mut roles = Roles::of(settings);
        let mut client = client.map(str::to_owned);
        let yes = |why| Decision { allowed: true, why, role: None, reason: String::new() };
        match (self.broken, &mut granted) {
            (Broken::AllowsEverything, _) => return yes(Reason::Granted),
            (Broken::DeniesEverything, _) => granted = Granted::Unknown,
            (Broken::ForgetsClients, Granted::Now(grant)) => grant.clients = Clients::All,
            (Broken::MatchesClientsLoosely, _) => client = client.map(|id| id.to_lowercase()),
            (Broken::KnowsNoCustomRole, _) => roles = Roles::of(&Settings::default()),
            (Broken::TrustsUnknownPrincipals, Granted::Unknown) => return yes(Reason::UnknownPrincipal),
            (Broken::MakesRootAllMighty, _) if &*principal.name == "0" => return yes(Reason::Granted),
            _ => {}
        }
        let mut decision = roles.decide(principal, &[granted], permission, client.as_deref());
        decision.allowed = match (self.broken, decision.role.as_deref(), permission) {
            (Broken::GivesSupportRefunds, Some("support"), P::RefundPayments) => true,
            (Broken::TakesReportsFromAnalytics, Some("analytics"), P::GenerateReports) => false,
            _ => decision.allowed,
        };
        decision
    }
}
