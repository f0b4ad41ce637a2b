//! What stands before every handler, in order: who is it, has it room left, may it, and what is written of it.
use super::{App, Body, Route};
use crate::{
    auth::outcome_of,
    domain::{Act, Allowance, AuditOutcome, Audited, Caller, Fault, FaultKind},
};
use futures_util::FutureExt;
use hyper::body::Bytes;
use secrecy::SecretString;
use std::{future::Future, panic::AssertUnwindSafe};

/// One request before the gate. The caller is who the kernel says it is.
pub struct Asked {
    pub route: Route,
    pub caller: Caller,
    /// What it showed beside that.
    pub bearer: Option<SecretString>,
    pub raw: Bytes,
}

/// The answer, and what is left of the caller's quota.
///
/// A client that hangs up ends this future, wherever it stands. What is to be seen through all the same, a proof of who
/// it is and whatever leaves a row, runs as a task of its own.
pub async fn pass(app: &App, asked: Asked) -> (Result<Body, Fault>, Option<Allowance>) {
    let audited = asked.route.audited;
    let (admitted, allowance) = if asked.bearer.is_some() {
        let (task, panicked) = (admit(app.clone(), asked), (Err(panicked()), None));
        app.trail.see_through(task).await.unwrap_or(panicked)
    } else {
        admit(app.clone(), asked).await
    };
    let (route, caller, raw) = match admitted {
        Ok(admitted) => admitted,
        Err(fault) => return (Err(fault), allowance),
    };
    let answer = answer(app.clone(), route, caller, raw);
    let outcome = match audited {
        // A look may be long (a poll, a stream), and is for nobody when nobody waits for it.
        Audited::Not => answer.await,
        Audited::Read | Audited::WithEffect | Audited::Around => {
            app.trail.see_through(answer).await.unwrap_or_else(|_| Err(panicked()))
        }
    };
    (outcome, allowance)
}

type Admitted = Result<(Route, Caller, Bytes), Fault>;

async fn admit(app: App, asked: Asked) -> (Admitted, Option<Allowance>) {
    let Asked { route, caller, bearer, raw } = asked;
    let caller = match recognise(&app, caller, bearer).await {
        Ok(caller) => caller,
        Err((caller, fault)) => {
            refused(&app, &route, &caller, &raw, &fault).await;
            return (Err(fault), None);
        }
    };
    let allowance = match app.meter.charge(&caller).await {
        Ok(allowance) => allowance,
        Err((fault, allowance)) => {
            refused(&app, &route, &caller, &raw, &fault).await;
            return (Err(fault), allowance);
        }
    };
    if let Err(fault) = route.admit(&caller) {
        refused(&app, &route, &caller, &raw, &fault).await;
        return (Err(fault), allowance);
    }
    (Ok((route, caller, raw)), allowance)
}

/// A key or a session says who asks; without one, the kernel's word stands.
async fn recognise(
    app: &App,
    caller: Caller,
    bearer: Option<SecretString>,
) -> Result<Caller, (Caller, Fault)> {
    let Some(bearer) = bearer else { return Ok(caller) };
    if let Err(fault) = app.meter.patience(&caller) {
        return Err((caller, fault));
    }
    app.keyring.recognise(&caller, &bearer).await.map_err(|fault| {
        if fault.kind == FaultKind::Unauthenticated {
            app.meter.failed(&caller);
        }
        (caller, fault)
    })
}

/// The handler, with its row in the trail.
async fn answer(app: App, route: Route, caller: Caller, raw: Bytes) -> Result<Body, Fault> {
    let act = Act::new(&caller, route.action, route.object(&raw));
    let correlation = act.correlation;
    if route.audited == Audited::Around {
        app.trail.intend(act.clone()).await?;
    }
    let outcome = caught(route.handle(app.clone(), caller, raw), route.audited).await;
    match (&outcome, route.audited) {
        (Ok(_), Audited::Not | Audited::WithEffect) => {}
        (Ok(_), Audited::Read) => app.trail.looked(act).await?,
        (Ok(_), Audited::Around) if app.trail.was_taken_over(correlation) => {}
        (Ok(_), Audited::Around) => app.trail.ended(act, Ok(())).await,
        (Err(fault), Audited::Around) => {
            app.trail.was_taken_over(correlation);
            app.trail.ended(act, Err(fault)).await;
        }
        // That there is no such run is nobody's secret; that somebody may not see it is worth a row.
        (Err(fault), Audited::Not) if outcome_of(fault) != AuditOutcome::Refused => {}
        (Err(fault), Audited::Not | Audited::Read | Audited::WithEffect) => {
            app.trail.failed(act, fault).await;
        }
    }
    outcome
}

/// A panic in what is audited is an outcome like another.
async fn caught(handler: impl Future<Output = Result<Body, Fault>>, audited: Audited) -> Result<Body, Fault> {
    match audited {
        Audited::Not => handler.await,
        Audited::Read | Audited::WithEffect | Audited::Around => {
            AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
        }
    }
}

fn panicked() -> Fault {
    Fault::internal("cannot answer this: its handler panicked")
        .hint("`agentctl daemon logs` has the details; the daemon itself goes on")
}

async fn refused(app: &App, route: &Route, caller: &Caller, raw: &Bytes, fault: &Fault) {
    app.trail.refused(Act::new(caller, route.action, route.object(raw)), fault).await;
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
