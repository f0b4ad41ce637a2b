//! What `deploy` and `rollback` have in common: look at the plan, begin it, follow it. Both ends.
use super::operation::follow_operation;
use crate::{
    cli::{CliError, Ctl, Exit, Output, Table, confirm, one_line, render},
    daemon::{self, App, Route},
    deploy::Wish,
    domain::{
        Act, Asked, Audited, BackupId, Caller, Digest, Fault, OperationId, Permission, ReleaseId, WayBackup,
        WayKind, WayPlan, moment,
    },
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The longest reason that is taken, in characters.
const LONGEST: usize = 200;

#[derive(Debug, Serialize, Deserialize)]
pub struct PlanRequest {
    pub kind: WayKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    #[serde(default)]
    pub unproved: bool,
}

impl PlanRequest {
    fn of(wish: &Wish) -> Self {
        let Wish { kind, to, backup, unproved } = wish.clone();
        Self { kind, to, backup, unproved }
    }

    fn wish(self) -> Wish {
        let Self { kind, to, backup, unproved } = self;
        Wish { kind, to, backup, unproved }
    }
}

pub struct Plan;
impl Endpoint for Plan {
    const NAME: &'static str = "ways/plan";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = PlanRequest;
    type Reply = WayPlan;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BeginRequest {
    #[serde(flatten)]
    pub wish: Wish,
    /// Of the plan that was looked at: nothing else is begun.
    pub plan: Digest,
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    pub schema_version: u32,
    pub operation: OperationId,
}

pub struct Begin;
impl Endpoint for Begin {
    const NAME: &'static str = daemon::BEGIN_WAY;
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::Around;
    type Request = BeginRequest;
    type Reply = Begun;

    fn object(request: &BeginRequest) -> String {
        let Wish { kind, to, backup, .. } = &request.wish;
        match (to, backup) {
            (_, Some(backup)) => format!("{kind} backup/{backup}"),
            (Some(to), None) => format!("{kind} release/{to}"),
            (None, None) => kind.to_string(),
        }
    }
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Plan, _, _>(handle_plan), Route::to::<Begin, _, _>(handle_begin)]
}

async fn handle_plan(app: App, caller: Caller, request: PlanRequest) -> Result<WayPlan, Fault> {
    app.ways.plan(&request.wish(), &caller.principal).await
}

async fn handle_begin(app: App, caller: Caller, request: BeginRequest) -> Result<Begun, Fault> {
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST || reason.chars().any(char::is_control) {
        let message = format!("cannot go on without a reason: one line of 1 to {LONGEST} characters");
        return Err(Fault::usage(message).hint("--reason \"booking 2.4, OPS-17\""));
    }
    let act = Act::new(&caller, Begin::NAME, Begin::object(&request));
    let asked = Asked { from: act.from, object: act.object, correlation: act.correlation };
    let operation =
        app.ways.begin_asked(&request.wish, request.plan, &caller.principal, reason, Some(asked)).await?;
    // The row that says how it ended is written when it has.
    app.trail.leave(caller.correlation);
    daemon::see_to_its_end(&app, operation);
    Ok(Begun { schema_version: 1, operation })
}

/// How it is to be gone.
pub struct Going {
    pub wish: Wish,
    pub reason: String,
    /// Of a plan that was looked at before; none takes the one that is there now.
    pub seen: Option<Digest>,
    pub dry_run: bool,
    pub detach: bool,
    pub yes: bool,
}

pub async fn show_plan(ctl: &Ctl, wish: &Wish) -> Result<WayPlan, CliError> {
    let plan = ctl.client.call::<Plan>(&PlanRequest::of(wish)).await?;
    ctl.output.print(&ctl.ui, &plan, |_| planned(&plan))?;
    Ok(plan)
}

/// 0 where it would be begun, 6 where something stands against it.
pub fn exit_of_plan(plan: &WayPlan) -> Exit {
    if plan.against.is_empty() { Exit::Ok } else { Exit::Refused }
}

pub async fn go(ctl: &Ctl, going: Going) -> Result<Exit, CliError> {
    if going.dry_run {
        return Ok(exit_of_plan(&show_plan(ctl, &going.wish).await?));
    }
    let plan = ctl.client.call::<Plan>(&PlanRequest::of(&going.wish)).await?;
    ctl.ui.note(planned(&plan).trim_end());
    if !plan.against.is_empty() {
        let message = format!("cannot go on: {}", plan.against.join("; "));
        let refused = Fault::new(crate::domain::FaultKind::Refused, message);
        return Err(refused.hint("nothing was changed").into());
    }
    confirm(&format!("do that to the whole fleet ({} steps)", plan.steps.len()), going.yes)?;
    // The backup says all of where it goes.
    let to = if going.wish.kind == WayKind::Database { None } else { plan.to };
    let wish = Wish { to, ..going.wish };
    let request = BeginRequest { wish, plan: going.seen.unwrap_or(plan.digest), reason: going.reason };
    let begun = ctl.client.call::<Begin>(&request).await?;
    if going.detach {
        ctl.output.print(&ctl.ui, &begun, |_| format!("{} is under way\n", begun.operation))?;
        return Ok(Exit::Ok);
    }
    follow_way(ctl, begun.operation).await
}

/// Until it has ended; as -o asks.
pub async fn follow_way(ctl: &Ctl, id: OperationId) -> Result<Exit, CliError> {
    let operation = follow_operation(ctl, id).await?;
    match ctl.output {
        Output::Name => ctl.ui.data(&format!("{}\n", operation.id))?,
        output => output.print(&ctl.ui, &operation, |_| render::operation(&ctl.ui, &operation))?,
    }
    Ok(render::exit_of_operation(&operation))
}

pub fn planned(plan: &WayPlan) -> String {
    let release = |id: Option<ReleaseId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let mut text = match plan.kind {
        WayKind::Immediate => "switch the fleet off".to_owned(),
        WayKind::Full => format!("roll back from release {} to {}", release(plan.from), release(plan.to)),
        WayKind::Deploy => format!("deploy release {} over {}", release(plan.to), release(plan.from)),
        WayKind::Database => plan.backup.as_ref().map_or_else(
            || "put the database back".to_owned(),
            |to| format!("put the database back to {}, of {}{}", to.id, moment(to.at), verified(to)),
        ),
    };
    let expected =
        plan.expected_ms().map_or_else(|| "not known yet".into(), |ms| format!("{:.1} s", seconds(ms)));
    let _ = writeln!(text, "; expected {expected}, at most {}", plan.budget);
    let mut table = Table::new(&["STEP", "WHAT", "TOOK"]).figures(&[2]);
    for step in &plan.steps {
        let took = step.expected_ms.map_or_else(String::new, |ms| format!("{:.1} s", seconds(ms)));
        table.row(vec![step.name.to_string(), one_line(&step.title), took]);
    }
    text.push_str(&table.render(None));
    let databases = plan.backup.iter().flat_map(|backup| &backup.databases);
    for name in databases {
        let _ = writeln!(text, "with it: database {}", one_line(name));
    }
    if let Some(last) = &plan.rehearsed {
        let how = if last.passed() { "passed" } else { "failed" };
        let _ = writeln!(
            text,
            "rehearsed: {how} in {}, {} ({})",
            last.took,
            last.at.strftime("%Y-%m-%d %H:%MZ"),
            last.operation
        );
    }
    for (label, sentences) in [("lost", &plan.lost), ("doubt", &plan.doubts), ("against", &plan.against)] {
        for sentence in sentences {
            let _ = writeln!(text, "{label}: {}", one_line(sentence));
        }
    }
    if plan.kind == WayKind::Database {
        text.push_str(
            "kept: the audit trail, releases, validations, approvals and attestations; what ended since stays ended\n",
        );
    }
    let _ = writeln!(text, "plan {}", plan.digest);
    text
}

fn verified(backup: &WayBackup) -> String {
    backup
        .verified_at
        .map_or_else(|| ", never verified".to_owned(), |at| format!(", verified {}", moment(at)))
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}
