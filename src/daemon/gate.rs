//! What stands before every handler, in order: who is it, has it room left, may it, is work taken of it now, did somebody
//! else say yes where that is needed, and what is written of it.
use super::{App, Body, Route};
use crate::{
    auth::{TurnedAway, outcome_of},
    domain::{Act, Allowance, AuditOutcome, Audited, Caller, Fault, FaultKind, Means, Principal},
    protocol::Verb,
};
use futures_util::{FutureExt, StreamExt};
use hyper::body::Bytes;
use secrecy::SecretString;
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

/// One request before the gate. The caller is who the kernel says it is.
pub struct Asked {
    pub route: Route,
    pub caller: Caller,
    /// What it showed beside that.
    pub bearer: Option<SecretString>,
    pub raw: Bytes,
    /// Where the gate says who it turned out to be.
    pub principal: Arc<OnceLock<Principal>>,
}

/// The answer, or why there is none.
type Outcome = Result<Body, Fault>;
/// One that may be answered.
type Admitted = Result<(Route, Caller, Bytes), Fault>;

/// The answer, and what is left of the caller's quota.
///
/// A client that hangs up ends this future, wherever it stands. What is to be seen through all the same, a proof of who
/// it is and whatever leaves a row, runs as a task of its own.
pub async fn pass(app: &App, asked: Asked) -> (Outcome, Option<Allowance>) {
    let lost = |_| (Err(panicked()), None);
    match (asked.route.audited, &asked.bearer) {
        (Audited::Read | Audited::WithEffect | Audited::Around, _) => {
            app.trail.see_through(through(app.clone(), asked)).await.unwrap_or_else(lost)
        }
        (Audited::Not, None) => Box::pin(through(app.clone(), asked)).await,
        // A look may be long (a poll, a stream), and is for nobody when nobody waits for it.
        (Audited::Not, Some(_)) => {
            let lost = |_| (Err(panicked()), None);
            let admitted = app.trail.see_through(admit(app.clone(), asked)).await;
            let (admitted, allowance) = admitted.unwrap_or_else(lost);
            (answered(app.clone(), admitted).await, allowance)
        }
    }
}

async fn through(app: App, asked: Asked) -> (Outcome, Option<Allowance>) {
    let (admitted, allowance) = admit(app.clone(), asked).await;
    (answered(app, admitted).await, allowance)
}

async fn admit(app: App, asked: Asked) -> (Admitted, Option<Allowance>) {
    let Asked { route, caller, bearer, raw, principal } = asked;
    if bearer.is_some()
        && let Err(refusal) = app.meter.patience(&caller)
    {
        return turned_away(&app, &route, &caller, &raw, refusal).await;
    }
    let caller = match recognise(&app, caller, bearer).await {
        Ok(caller) => caller,
        Err((caller, told, fault)) => {
            refused(&app, &route, &caller, &raw, &told).await;
            return (Err(fault), None);
        }
    };
    // Nobody else sets it.
    let _ = principal.set(caller.principal.clone());
    let allowance = match app.meter.charge(&caller, route.needs).await {
        Ok(allowance) => allowance,
        Err(refusal) => return turned_away(&app, &route, &caller, &raw, refusal).await,
    };
    if let Err(fault) = route.admit(&caller) {
        refused(&app, &route, &caller, &raw, &fault).await;
        return (Err(fault), allowance);
    }
    if route.work
        && let Err(fault) = app.supervisor.admission().admits(&caller.principal)
    {
        refused(&app, &route, &caller, &raw, &fault).await;
        return (Err(fault), allowance);
    }
    if let Err(fault) = approved(&app, &route, &caller, &raw).await {
        refused(&app, &route, &caller, &raw, &fault).await;
        return (Err(fault), allowance);
    }
    (Ok((route, caller, raw)), allowance)
}

/// A key or a session says who asks; without one, the kernel's word stands. A refusal comes twice: in full for the trail,
/// and as the client may know it.
async fn recognise(
    app: &App,
    caller: Caller,
    bearer: Option<SecretString>,
) -> Result<Caller, (Caller, Fault, Fault)> {
    let Some(bearer) = bearer else { return Ok(caller) };
    // Every listener that there is speaks over a Unix socket.
    let address = None;
    app.keyring.recognise(&caller, address, &bearer).await.map_err(|refusal| {
        let fault = refusal.answer();
        if fault.kind == FaultKind::Unauthenticated {
            app.meter.failed(&caller);
        }
        (caller, refusal.for_the_trail(), fault)
    })
}

/// Where the manifest makes it wait for somebody's yes: is there one, for exactly this?
async fn approved(app: &App, route: &Route, caller: &Caller, raw: &Bytes) -> Result<(), Fault> {
    if !app.approvals.needed(route.action) {
        return Ok(());
    }
    let action = route.exact(app.clone(), raw).await?;
    app.approvals.claim(caller, action, app.supervisor.separation()).await
}

/// The handler, with its row in the trail.
async fn answered(app: App, admitted: Admitted) -> Outcome {
    let (route, caller, raw) = admitted?;
    let act = Act::new(&caller, route.action, route.object(&raw));
    let correlation = act.correlation;
    if route.audited == Audited::Around {
        app.trail.intend(act.clone()).await?;
    }
    let means = caller.means.clone();
    let handled = within(&app, &means, route.verb, route.handle(app.clone(), caller, raw));
    let outcome = caught(handled, route.audited).await;
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
async fn caught(handler: impl Future<Output = Outcome>, audited: Audited) -> Outcome {
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

/// A look that lasts, such as a stream or a long poll, ends when the key or the session behind it does. What changes
/// something is carried through.
async fn within(app: &App, means: &Means, verb: Verb, handle: impl Future<Output = Outcome>) -> Outcome {
    if *means == Means::Socket || verb == Verb::Write {
        return handle.await;
    }
    let body = tokio::select! {
        // Most have answered before anything else is begun.
        biased;
        outcome = handle => outcome?,
        () = app.keyring.lapse(means) => {
            let over = "cannot answer: the key or session that was shown is over";
            return Err(Fault::new(FaultKind::Unauthenticated, over));
        }
    };
    Ok(match body {
        Body::Lines(lines) => {
            let (keyring, means) = (app.keyring.clone(), means.clone());
            Body::Lines(lines.take_until(async move { keyring.lapse(&means).await }).boxed())
        }
        whole @ Body::Whole(_) => whole,
    })
}

/// There is no room for it. A flood leaves one row in the trail and one line in the log, not one of each for every
/// request that was not served.
async fn turned_away(
    app: &App,
    route: &Route,
    caller: &Caller,
    raw: &Bytes,
    refusal: TurnedAway,
) -> (Admitted, Option<Allowance>) {
    if refusal.first {
        tracing::warn!(path = route.path, correlation = %caller.correlation, "{}", refusal.fault);
        refused(app, route, caller, raw, &refusal.fault).await;
    }
    (Err(*refusal.fault), Some(refusal.allowance))
}

async fn refused(app: &App, route: &Route, caller: &Caller, raw: &Bytes, fault: &Fault) {
    app.trail.refused(Act::new(caller, route.action, route.object(raw)), fault).await;
}
