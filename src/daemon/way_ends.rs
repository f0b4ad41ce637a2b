//! The ends of deployments and rollbacks: the audit trail is told how each ended that somebody asked for, by whichever
//! daemon is there then; and a database that was kept for the way back goes once there is none any more.
use super::App;
use crate::{
    domain::{
        Act, Asked, AuditFilter, AuditOutcome, Course, Fault, Operation, OperationId, OperationState, Period,
    },
    errors::Failure,
    store::Replacing,
};
use tokio::task::spawn_blocking;

/// What the audit trail calls the request that begins one.
pub const BEGIN_WAY: &str = "ways/begin";

/// From when it was begun: the row is written when it has ended, and not by the gate. An end of agentd before that is not
/// its end; the next start sees to it.
pub fn see_to_its_end(app: &App, id: OperationId) {
    let waiting = app.clone();
    app.trail.see_through(async move {
        if let Ok(operation) = waiting.operations.settled(id).await {
            conclude(&waiting, &operation).await;
        }
    });
}

/// At the start: of the newest one, since an earlier one ended before that was begun.
pub(super) async fn see_to_the_last(app: &App) {
    match app.ways.past(1).first() {
        Some(last) if !last.state.is_terminal() => see_to_its_end(app, last.id),
        Some(last) => match app.operations.show(last.id, 0).await {
            Ok(operation) => conclude(app, &operation).await,
            Err(fault) => app.errors.record(Failure::new(BEGIN_WAY, fault)),
        },
        None => {}
    }
}

async fn conclude(app: &App, operation: &Operation) {
    if let Err(fault) = tell(app, operation).await {
        tracing::error!(%fault, id = %operation.id, "a row is missing from the audit trail");
        app.errors.record(Failure::new(BEGIN_WAY, fault));
    }
    // Somebody has to look, and may need what was live before.
    if operation.state != OperationState::Stopped {
        let (replacing, its) = (Replacing::of(&app.paths.database), format!("{}/", operation.id));
        let cleared = spawn_blocking(move || match replacing.standing()? {
            Some(kept) if kept.key.starts_with(&its) => replacing.clear(),
            _ => Ok(()),
        });
        let cleared = cleared.await;
        match cleared {
            Ok(Ok(())) => {}
            Ok(Err(error)) => app.errors.record(Failure::new(BEGIN_WAY, error.into())),
            Err(panic) => tracing::error!(%panic, "cannot clear what was kept of the database"),
        }
    }
}

/// Once, whoever comes to it: a row that has an end needs no other.
async fn tell(app: &App, operation: &Operation) -> Result<(), Fault> {
    let Ok(course) = serde_json::from_value::<Course>(operation.arguments.clone()) else { return Ok(()) };
    let Some(Asked { from, object, correlation }) = course.asked else { return Ok(()) };
    let filter = AuditFilter {
        correlation: Some(correlation),
        action: Some(BEGIN_WAY.into()),
        limit: 10,
        ..AuditFilter::default()
    };
    let rows = app.store.audit_entries(filter).await?;
    if rows.iter().any(|row| row.event.outcome != AuditOutcome::Intended) {
        return Ok(());
    }
    let act = Act { principal: course.by, from, action: BEGIN_WAY, object, correlation };
    let outcome = match operation.state {
        OperationState::Succeeded => AuditOutcome::Done,
        _ => AuditOutcome::Failed,
    };
    app.trail.concluded(act, outcome, said(operation)).await;
    Ok(())
}

fn said(operation: &Operation) -> String {
    let (id, state, took) = (operation.id, operation.state.as_str(), Period::millis(operation.elapsed_ms));
    match (&operation.why, &operation.cancel) {
        (Some(why), _) => format!("{id} {state} after {took}: {}", why.message),
        (None, Some(cancel)) => format!("{id} {state} after {took}: called off by {}", cancel.by),
        (None, None) => format!("{id} {state} after {took}"),
    }
}
