//! Operations: long work that is under way or was, and calling it off. Both ends. Other commands follow theirs here.
use super::way::Begun;
use crate::{
    cli::{
        CliError, Ctl, Exit, Output, Stops, confirm, follow,
        render::{self, OperationWatcher, exit_of_operation},
    },
    daemon::{App, Route},
    deploy::RESTORE,
    domain::{
        Audited, Caller, Fault, FaultKind, Operation, OperationId, OperationState, OperationSummary,
        Permission, StepState,
    },
    protocol::{Endpoint, Followed, Verb},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// How long agentd may take over a new start that the operation itself asks for: it replaces a database meanwhile.
const NEW_START: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_millis(200);

/// Look at long work that survives a crash, follow it, or call it off.
///
/// Deployments, rollbacks and restores are operations: a list of steps, each written to a journal of its own before it
/// runs and after. Whatever ends agentd in the middle, the next start goes on with it, undoes it, or stops where a
/// person has to look.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List operations, the newest first
    #[command(visible_alias = "ls")]
    List {
        /// How many at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show one: its steps, how they stand, and how long they took; exit 0 if it succeeded, 1 if not, 8 while it lasts
    Show {
        #[arg(value_name = "OPERATION")]
        id: OperationId,
        /// Wait for its end, with its progress on stderr; Ctrl-C leaves it running
        #[arg(short, long)]
        follow: bool,
    },
    /// Call one off: its step under way may end, then what was done is undone
    Cancel {
        #[arg(value_name = "OPERATION")]
        id: OperationId,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Operations {
    pub schema_version: u32,
    pub operations: Vec<OperationSummary>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "operations/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Operations;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {
    pub id: OperationId,
    #[serde(default)]
    pub after: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct One {
    pub schema_version: u32,
    #[serde(flatten)]
    pub operation: Operation,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "operations/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ShowRequest;
    type Reply = One;
}

impl Followed for Show {
    fn after(request: &mut ShowRequest, cursor: u64) {
        request.after = cursor;
    }
    fn cursor(reply: &One) -> u64 {
        reply.operation.cursor
    }
    fn settled(reply: &One) -> bool {
        reply.operation.state.is_terminal()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CancelRequest {
    pub id: OperationId,
}

struct Cancel;
impl Endpoint for Cancel {
    const NAME: &'static str = "operations/cancel";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    /// Journals are not in the store.
    const AUDITED: Audited = Audited::Around;
    type Request = CancelRequest;
    type Reply = One;

    fn object(request: &CancelRequest) -> String {
        format!("operation/{}", request.id)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Cancel, _, _>(handle_cancel),
    ]
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Operations, Fault> {
    Ok(Operations { schema_version: 1, operations: app.operations.list(request.limit) })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<One, Fault> {
    Ok(One { schema_version: 1, operation: app.operations.show(request.id, request.after).await? })
}

async fn handle_cancel(app: App, caller: Caller, request: CancelRequest) -> Result<One, Fault> {
    Ok(One { schema_version: 1, operation: app.operations.cancel(request.id, caller.principal).await? })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List { limit } => {
            let list = ctl.client.call::<List>(&ListRequest { limit }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| render::operations(&ctl.ui, &list.operations, wide))?;
            Ok(Exit::Ok)
        }
        Action::Show { id, follow: true } => {
            let operation = follow_operation(ctl, id).await?;
            show(ctl, operation)
        }
        Action::Show { id, follow: false } => {
            let one = ctl.client.call::<Show>(&ShowRequest { id, after: 0 }).await?;
            show(ctl, one.operation)
        }
        Action::Cancel { id, yes } => {
            confirm(&format!("call {id} off and undo what it has done"), yes)?;
            let one = ctl.client.call::<Cancel>(&CancelRequest { id }).await?;
            ctl.output.print(&ctl.ui, &one, |_| {
                format!(
                    "{id} is called off: `agentctl operation show {id} --follow` waits until it is undone\n"
                )
            })?;
            Ok(Exit::Ok)
        }
    }
}

/// As -o asks; the exit code is that of its outcome.
fn show(ctl: &Ctl, operation: Operation) -> Result<Exit, CliError> {
    let one = One { schema_version: 1, operation };
    if one.operation.state.is_terminal() && ctl.output != Output::Table && ctl.output != Output::Wide {
        warn(ctl, &one.operation);
    }
    // One value: its name is its own, not that of its steps.
    match ctl.output {
        Output::Name => ctl.ui.data(&format!("{}\n", one.operation.id))?,
        Output::Jsonl => ctl.ui.data(&Output::Jsonl.render(&[&one], |_| String::new())?)?,
        output => output.print(&ctl.ui, &one, |_| render::operation(&ctl.ui, &one.operation))?,
    }
    Ok(exit_of_operation(&one.operation))
}

fn warn(ctl: &Ctl, operation: &Operation) {
    if operation.state == OperationState::Stopped {
        ctl.ui.note(render::loud(&ctl.ui, operation).trim_end());
    }
}

/// Waits for its end, with its progress on stderr. Ctrl-C asks whether it is to go on: with no terminal to ask on it
/// does, and what is known of it then is the answer. `render::exit_of_operation` has the exit code.
pub(super) async fn follow_operation(ctl: &Ctl, id: OperationId) -> Result<Operation, CliError> {
    let mut stops = Stops::listen()?;
    let mut watcher = OperationWatcher::new(&ctl.ui);
    let mut last = None;
    let mut lost_at: Option<Instant> = None;
    let outcome = loop {
        let following = follow::<Show>(ctl, ShowRequest { id, after: 0 }, |one| {
            watcher.show(&one.operation);
            lost_at = None;
            last = Some(one.operation.clone());
            Ok(())
        });
        let end = tokio::select! {
            end = following => Some(end),
            () = stops.asked() => None,
        };
        match end {
            Some(Ok(one)) => break Ok(one.operation),
            Some(Err(error)) if is_lost(&error) && starts_anew(last.as_ref()) => {
                let since = *lost_at.get_or_insert_with(|| {
                    let limit = NEW_START.as_secs();
                    let said = format!("{id} starts agentd anew; it is waited for, up to {limit} s");
                    watcher.aside(|| ctl.ui.note(&said));
                    Instant::now()
                });
                if since.elapsed() >= NEW_START {
                    break Err(error);
                }
                tokio::time::sleep(AGAIN).await;
            }
            Some(Err(error)) => {
                if matches!(error, CliError::Unreachable { .. }) && last.is_some() {
                    let said = format!("{id} goes on when agentd is started again: {}", how(id));
                    watcher.aside(|| ctl.ui.note(&said));
                }
                break Err(error);
            }
            None if can_be_cancelled(last.as_ref()) && watcher.aside(|| wants_cancel(id)) => {
                match ctl.client.call::<Cancel>(&CancelRequest { id }).await {
                    Ok(_) => {}
                    // It was quicker, or is being undone already: both are seen next.
                    Err(CliError::Fault(fault)) if fault.kind == FaultKind::Conflict => {}
                    Err(error) => watcher.aside(|| ctl.ui.error(&error)),
                }
            }
            None => {
                watcher.aside(|| ctl.ui.note(&format!("{id} goes on: {}", how(id))));
                break last.ok_or(CliError::Interrupted);
            }
        }
    };
    watcher.finish();
    outcome
}

/// Begun, and waited for unless somebody will look later. None: it goes on, and what is known of it is said. One that did
/// not succeed is a fault with the reason that it had.
pub(super) async fn made(ctl: &Ctl, begun: &Begun, detach: bool) -> Result<Made, CliError> {
    if detach {
        match ctl.output {
            Output::Name => ctl.ui.data(&format!("{}\n", begun.operation))?,
            output => output.print(&ctl.ui, begun, |_| format!("{} is under way\n", begun.operation))?,
        }
        return Ok(Made::Later(Exit::Ok));
    }
    let operation = follow_operation(ctl, begun.operation).await?;
    match (operation.state, &operation.why) {
        (OperationState::Succeeded, _) => {
            let left = operation.steps.last().and_then(|step| step.left.clone());
            Ok(Made::Left(left.unwrap_or_default()))
        }
        (OperationState::Unwound | OperationState::Stopped, Some(why)) => Err(why.fault().into()),
        _ => {
            ctl.ui.note(render::operation(&ctl.ui, &operation).trim_end());
            Ok(Made::Later(exit_of_operation(&operation)))
        }
    }
}

/// What came of following an operation that makes something.
pub(super) enum Made {
    /// What its last step left.
    Left(Value),
    Later(Exit),
}

fn how(id: OperationId) -> String {
    format!(
        "`agentctl operation show {id} --follow` follows it, `agentctl operation cancel {id}` calls it off"
    )
}

/// Nobody answers, or no more, or it says that it is ending.
fn is_lost(error: &CliError) -> bool {
    match error {
        CliError::Unreachable { .. } | CliError::Protocol(_) => true,
        CliError::Fault(fault) => fault.kind == FaultKind::Unavailable,
        _ => false,
    }
}

/// Its step under way is one at which agentd ends and begins again.
fn starts_anew(operation: Option<&Operation>) -> bool {
    let under_way = |state: StepState| matches!(state, StepState::Running | StepState::Undoing);
    operation.is_some_and(|seen| {
        seen.steps.iter().any(|step| step.name.as_str() == RESTORE && under_way(step.state))
    })
}

fn can_be_cancelled(operation: Option<&Operation>) -> bool {
    operation.is_some_and(|seen| seen.state == OperationState::Running && seen.cancel.is_none())
}

/// The default leaves it alone, as does a second Ctrl-C.
fn wants_cancel(id: OperationId) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    let prompt = format!("{id} is under way. Call it off and undo what it has done?");
    dialoguer::Confirm::new().with_prompt(prompt).default(false).interact().unwrap_or(false)
}
