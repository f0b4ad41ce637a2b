//! The daemon's end of rollouts.
use crate::{
    daemon::{App, Route},
    deploy::{Beginning, Promotion, ShownRollout},
    domain::{
        Act, AgentName, Audited, Caller, Digest, Fault, OperationId, Permission, ReleaseId, Rollout, Share,
    },
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

/// The longest reason that is taken, in characters.
const LONGEST: usize = 200;
/// So many are told of at most.
const MOST: u32 = 1000;

#[derive(Debug, Serialize, Deserialize)]
pub struct One {
    pub schema_version: u32,
    #[serde(flatten)]
    pub shown: ShownRollout,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct StartRequest {
    pub agent: AgentName,
    pub to: ReleaseId,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

pub struct Start;
impl Endpoint for Start {
    const NAME: &'static str = "rollouts/start";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = StartRequest;
    type Reply = One;

    fn object(request: &StartRequest) -> String {
        format!("agent/{} release/{}", request.agent, request.to)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AgentRequest {
    pub agent: AgentName,
}

pub struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "rollouts/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = AgentRequest;
    type Reply = One;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Rollouts {
    pub schema_version: u32,
    pub rollouts: Vec<ShownRollout>,
}

pub struct List;
impl Endpoint for List {
    const NAME: &'static str = "rollouts/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Rollouts;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PromoteRequest {
    pub agent: AgentName,
    /// Of the deployment that was looked at: nothing else is begun.
    pub plan: Digest,
    #[serde(default)]
    pub unproved: bool,
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Promoting {
    pub schema_version: u32,
    pub rollout: Rollout,
    pub operation: OperationId,
}

pub struct Promote;
impl Endpoint for Promote {
    const NAME: &'static str = "rollouts/promote";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = PromoteRequest;
    type Reply = Promoting;

    fn object(request: &PromoteRequest) -> String {
        format!("agent/{}", request.agent)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EndRequest {
    pub agent: AgentName,
    pub reason: String,
}

pub struct Abort;
impl Endpoint for Abort {
    const NAME: &'static str = "rollouts/abort";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = EndRequest;
    type Reply = One;

    fn object(request: &EndRequest) -> String {
        format!("agent/{}", request.agent)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Start, _, _>(handle_start),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<List, _, _>(handle_list),
        Route::to::<Promote, _, _>(handle_promote),
        Route::to::<Abort, _, _>(handle_abort),
    ]
}

async fn handle_start(app: App, caller: Caller, request: StartRequest) -> Result<One, Fault> {
    let StartRequest { agent, to, reason, share } = request;
    let wish = Beginning { agent, release: to, share, reason: said(&reason)? };
    let act = Act::new(&caller, Start::NAME, "");
    Ok(one(app.rollouts.start(wish, caller.principal, act).await?))
}

async fn handle_show(app: App, _caller: Caller, request: AgentRequest) -> Result<One, Fault> {
    Ok(one(app.rollouts.show(&request.agent).await?))
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Rollouts, Fault> {
    Ok(Rollouts { schema_version: 1, rollouts: app.rollouts.list(request.limit.min(MOST)).await? })
}

async fn handle_promote(app: App, caller: Caller, request: PromoteRequest) -> Result<Promoting, Fault> {
    let PromoteRequest { agent, plan, unproved, reason } = request;
    let wish = Promotion { agent, seen: plan, unproved, reason: said(&reason)? };
    let act = Act::new(&caller, Promote::NAME, "");
    let (rollout, operation) = app.rollouts.promote(wish, caller.principal, act).await?;
    Ok(Promoting { schema_version: 1, rollout, operation })
}

async fn handle_abort(app: App, caller: Caller, request: EndRequest) -> Result<One, Fault> {
    let reason = said(&request.reason)?;
    let act = Act::new(&caller, Abort::NAME, "");
    Ok(one(app.rollouts.abort(&request.agent, reason, act).await?))
}

fn one(shown: ShownRollout) -> One {
    One { schema_version: 1, shown }
}

fn said(reason: &str) -> Result<String, Fault> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST || reason.chars().any(char::is_control) {
        let message = format!("cannot go on without a reason: one line of 1 to {LONGEST} characters");
        return Err(Fault::usage(message).hint("--reason \"booking 2.4, OPS-17\""));
    }
    Ok(reason.to_owned())
}
