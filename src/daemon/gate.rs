//! What stands before every handler, in order: who is it, has it room left, may it, and what is written of it.
use super::{App, Body, Route};
use crate::{
    auth::Refusal,
    domain::{Act, Allowance, Audited, Caller, Fault, FaultKind},
};
use hyper::body::Bytes;
use secrecy::SecretString;

/// One request before the gate. The caller is who the kernel says it is.
pub struct Asked {
    pub route: Route,
    pub caller: Caller,
    /// What it showed beside that.
    pub bearer: Option<SecretString>,
    pub raw: Bytes,
}

/// The answer, and what is left of the caller's quota.
pub async fn pass(app: &App, asked: Asked) -> (Result<Body, Fault>, Option<Allowance>) {
    let Asked { route, caller, bearer, raw } = asked;
    if bearer.is_some()
        && let Err(refusal) = app.meter.patience(&caller)
    {
        return turned_away(app, &route, &caller, &raw, refusal).await;
    }
    let caller = match recognise(app, caller, bearer).await {
        Ok(caller) => caller,
        Err((caller, fault)) => {
            refused(app, &route, &caller, &raw, &fault).await;
            return (Err(fault), None);
        }
    };
    let allowance = match app.meter.charge(&caller, route.needs).await {
        Ok(allowance) => allowance,
        Err(refusal) => return turned_away(app, &route, &caller, &raw, refusal).await,
    };
    if let Err(fault) = route.admit(&caller) {
        refused(app, &route, &caller, &raw, &fault).await;
        return (Err(fault), allowance);
    }
    (answer(app, route, caller, raw).await, allowance)
}

/// A key or a session says who asks; without one, the kernel's word stands.
async fn recognise(
    app: &App,
    caller: Caller,
    bearer: Option<SecretString>,
) -> Result<Caller, (Caller, Fault)> {
    let Some(bearer) = bearer else { return Ok(caller) };
    app.keyring.recognise(&caller, &bearer).await.map_err(|fault| {
        if fault.kind == FaultKind::Unauthenticated {
            app.meter.failed(&caller);
        }
        (caller, fault)
    })
}

/// The handler, with its row in the trail.
async fn answer(app: &App, route: Route, caller: Caller, raw: Bytes) -> Result<Body, Fault> {
    let act = Act::new(&caller, route.action, "");
    if route.audited == Audited::Around {
        app.trail.intend(act.clone().on(route.object(&raw))).await?;
    }
    let object = route.object(&raw);
    let outcome = route.handle(app.clone(), caller, raw).await;
    match (&outcome, route.audited) {
        (Ok(_), Audited::Not | Audited::WithEffect) => {}
        (Ok(_), Audited::Read | Audited::Around) => app.trail.done(act.on(object)).await?,
        (Err(fault), _) => app.trail.failed(act.on(object), fault).await,
    }
    outcome
}

/// There is no room for it. A flood leaves one row in the trail and one line in the log, not one of each for every
/// request that was not served.
async fn turned_away(
    app: &App,
    route: &Route,
    caller: &Caller,
    raw: &Bytes,
    refusal: Refusal,
) -> (Result<Body, Fault>, Option<Allowance>) {
    if refusal.first {
        tracing::warn!(path = route.path, correlation = %caller.correlation, "{}", refusal.fault);
        refused(app, route, caller, raw, &refusal.fault).await;
    }
    (Err(refusal.fault), Some(refusal.allowance))
}

async fn refused(app: &App, route: &Route, caller: &Caller, raw: &Bytes, fault: &Fault) {
    app.trail.refused(Act::new(caller, route.action, route.object(raw)), fault).await;
}
