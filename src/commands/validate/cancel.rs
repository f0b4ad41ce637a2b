//! Ctrl-C, both ends: the daemon calls the run off, and the terminal waits until it is gone.
use super::serve::Started;
use crate::{
    cli::{CliError, Ctl, Stops},
    daemon::App,
    domain::{Act, Audited, Caller, Fault, FaultKind, Permission, RunId},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct CancelRequest {
    pub run: RunId,
}

pub(super) struct Cancel;
impl Endpoint for Cancel {
    const NAME: &'static str = "readiness/cancel";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReadinessRun;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = CancelRequest;
    type Reply = Started;

    fn object(request: &CancelRequest) -> String {
        format!("run/{}", request.run)
    }
}

pub(super) async fn handle_cancel(
    app: App,
    caller: Caller,
    request: CancelRequest,
) -> Result<Started, Fault> {
    let act = Act::new(&caller, Cancel::NAME, "");
    app.readiness.cancel(request.run, &caller, act).await?;
    Ok(Started { run: request.run })
}

/// Calls our run off, unless somebody asks again: then it is left to the daemon.
pub(super) async fn call_off(run: RunId, ctl: &Ctl, stops: &mut Stops) -> CliError {
    ctl.ui.note(&format!("Cancelling run {run} ... (Ctrl-C again does not wait for it)"));
    let asked = tokio::select! {
        asked = async { ctl.client.call::<Cancel>(&CancelRequest { run }).await } => asked,
        () = stops.asked() => return CliError::Interrupted,
    };
    match asked {
        Ok(_) => ctl.ui.note(&format!("Run {run} is cancelled.")),
        // It was quicker.
        Err(CliError::Fault(fault)) if fault.kind == FaultKind::Conflict => {}
        Err(error) => ctl.ui.error(&error),
    }
    CliError::Interrupted
}
