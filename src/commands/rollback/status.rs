//! How do we get back, right now? What runs, what it would go back to, what is under way, and what acts by itself.
use super::triggers_show;
use crate::{
    cli::{CliError, Ctl, Exit, one_line, render},
    daemon::{App, Route},
    domain::{
        Audited, Caller, Fault, OperationSummary, Permission, ReleaseId, ReleaseStanding, ReleaseState,
        SwitchedOff, TriggerFiring, TriggerHold, TriggerStanding, moment, previous_stable,
    },
    protocol::{Endpoint, Verb},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What holds the fleet while it changes.
const FLEET: &str = "fleet";

#[derive(Debug, Serialize, Deserialize)]
pub struct StatusRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    pub schema_version: u32,
    /// None: the fleet is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_off: Option<SwitchedOff>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_trial: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Place>,
    /// What `rollback run` returns to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<ReleaseId>,
    /// What is under way on the whole fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationSummary>,
    /// A trigger pauses deployments.
    pub paused: bool,
    pub triggers: Vec<TriggerStanding>,
    /// What pauses, is stopped or reverts.
    pub standing: Vec<TriggerFiring>,
    pub holds: Vec<TriggerHold>,
}

/// A release, and since when it stands where it stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Place {
    pub id: ReleaseId,
    pub state: ReleaseState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

struct Look;
impl Endpoint for Look {
    const NAME: &'static str = "ways/status";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = StatusRequest;
    type Reply = Status;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Look, _, _>(handle)]
}

async fn handle(app: App, _caller: Caller, _request: StatusRequest) -> Result<Status, Fault> {
    let (known, current) = (app.store.releases().await?, app.releases.current().await?);
    let place = |standing: &ReleaseStanding| Place {
        id: standing.release.id,
        state: standing.state,
        since: standing.moves.last().map(|step| step.at),
    };
    let in_state = |state| known.iter().find(|standing| standing.state == state).map(place);
    let operations = app.operations.list(u32::MAX).into_iter();
    let standing = app.triggers.open().await?;
    Ok(Status {
        schema_version: 1,
        switched_off: app.supervisor.switched_off(),
        current: known.iter().find(|standing| Some(standing.release.id) == current).map(place),
        on_trial: in_state(ReleaseState::OnTrial),
        stable: in_state(ReleaseState::Stable),
        back_to: previous_stable(&known, current),
        operation: operations
            .into_iter()
            .find(|operation| operation.resource == FLEET && operation.ended_at.is_none()),
        paused: standing.iter().any(|firing| firing.state == crate::domain::FiringState::Paused),
        triggers: app.triggers.list().await?,
        standing,
        holds: app.triggers.holds().await?,
    })
}

pub async fn run(ctl: &Ctl) -> Result<Exit, CliError> {
    let status = ctl.client.call::<Look>(&StatusRequest {}).await?;
    ctl.output.print(&ctl.ui, &status, |wide| {
        let mut text = lines(&status);
        if let Some(operation) = &status.operation {
            text.push_str(&render::operations(&ctl.ui, std::slice::from_ref(operation), true));
        }
        text.push_str(&triggers_show::triggers(&ctl.ui, &status.triggers, wide));
        text.push_str(&triggers_show::standing(&status.standing, &status.holds));
        text
    })?;
    Ok(Exit::Ok)
}

fn lines(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |label: &str, told: String| {
        let _ = writeln!(text, "{label:<12}{}", one_line(&told));
    };
    line(
        "fleet",
        status.switched_off.as_ref().map_or_else(
            || "on".into(),
            |off| format!("off since {}: {} (`agentctl system on`)", moment(off.at), off.reason),
        ),
    );
    let placed = |place: &Option<Place>| match place {
        None => "none".to_owned(),
        Some(Place { id, state, since }) => {
            let since = since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
            format!("{id}, {state}{since}")
        }
    };
    line("runs", placed(&status.current));
    if status.on_trial.as_ref().map(|place| place.id) != status.current.as_ref().map(|place| place.id) {
        line("on trial", placed(&status.on_trial));
    }
    line("stable", placed(&status.stable));
    let back = status.back_to.map_or_else(
        || "nothing: no release but what runs was ever stable (`agentctl release bless`)".into(),
        |id| id.to_string(),
    );
    line("back to", back);
    let under_way = status.operation.as_ref().map_or_else(
        || "nothing".into(),
        |operation| {
            let spent = operation.elapsed_ms / 1000;
            let budget = operation.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
            let over = if operation.over_budget { ", over its budget" } else { "" };
            format!("{} {}: {spent}s{budget}{over}", operation.id, operation.title)
        },
    );
    line("under way", under_way);
    line("deployments", if status.paused { "paused by a trigger".into() } else { "may begin".into() });
    text
}
