//! The daemon's end: what it is, and the wish that it ends.
use crate::{
    cli::{CliError, Client},
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, Permission},
    protocol::{Endpoint, PROTOCOL, Verb},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Nothing {}

#[derive(Debug, Serialize, Deserialize)]
pub struct DaemonState {
    pub schema_version: u32,
    pub at: Timestamp,
    pub version: String,
    pub protocol: u32,
    pub pid: i32,
    pub started_at: Timestamp,
    pub environment: String,
    pub socket: String,
    pub report_socket: String,
    pub state_dir: String,
    pub logs: String,
    pub config_file: Option<String>,
    pub config_digest: String,
    pub stopping: bool,
}

struct State;
impl Endpoint for State {
    const NAME: &'static str = "daemon/status";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Nothing;
    type Reply = DaemonState;
}

/// It has begun to stop.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stopping {
    pub pid: i32,
    /// Seconds within which it will be gone.
    pub within_s: f64,
}

struct Stop;
impl Endpoint for Stop {
    const NAME: &'static str = "daemon/stop";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::DaemonControl;
    const AUDITED: Audited = Audited::Around;
    type Request = Nothing;
    type Reply = Stopping;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<State, _, _>(handle_state), Route::to::<Stop, _, _>(handle_stop)]
}

pub async fn ask(client: &Client) -> Result<DaemonState, CliError> {
    client.call::<State>(&Nothing {}).await
}

pub async fn ask_to_stop(client: &Client) -> Result<Stopping, CliError> {
    client.call::<Stop>(&Nothing {}).await
}

async fn handle_state(app: App, _caller: Caller, _request: Nothing) -> Result<DaemonState, Fault> {
    let environment = app.settings.borrow().environment.clone();
    let config_digest = app.config_digest.borrow().clone();
    Ok(DaemonState {
        schema_version: 1,
        at: app.clock.now(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        pid: std::process::id().cast_signed(),
        started_at: app.started_at,
        environment,
        socket: app.paths.socket.display().to_string(),
        report_socket: app.paths.report_socket.display().to_string(),
        state_dir: app.paths.state_dir.display().to_string(),
        logs: app.paths.logs.display().to_string(),
        config_file: app.config_file.as_ref().map(|file| file.display().to_string()),
        config_digest,
        stopping: app.control.is_stopping(),
    })
}

async fn handle_stop(app: App, caller: Caller, _request: Nothing) -> Result<Stopping, Fault> {
    tracing::info!(uid = caller.identity.uid, pid = caller.identity.pid, "asked to stop");
    let deadline = app.settings.borrow().daemon.stop_deadline.0;
    app.control.stop();
    Ok(Stopping { pid: std::process::id().cast_signed(), within_s: deadline.as_secs_f64() + 20.0 })
}
