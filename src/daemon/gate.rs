//! What stands before every handler, in order: who is it, has it room left, may it, and what is written of it.
use super::{App, Body, Route};
use crate::{
    domain::{Act, Allowance, Audited, Caller, Fault, FaultKind, Means},
    protocol::Verb,
};
use futures_util::StreamExt;
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
    let caller = match recognise(app, caller, bearer).await {
        Ok(caller) => caller,
        Err((caller, told, fault)) => {
            refused(app, &route, &caller, &raw, &told).await;
            return (Err(fault), None);
        }
    };
    let allowance = match app.meter.charge(&caller).await {
        Ok(allowance) => allowance,
        Err((fault, allowance)) => {
            refused(app, &route, &caller, &raw, &fault).await;
            return (Err(fault), allowance);
        }
    };
    if let Err(fault) = route.admit(&caller) {
        refused(app, &route, &caller, &raw, &fault).await;
        return (Err(fault), allowance);
    }
    (answer(app, route, caller, raw).await, allowance)
}

/// A key or a session says who asks; without one, the kernel's word stands. A refusal comes twice: in full for the trail,
/// and as the client may know it.
async fn recognise(
    app: &App,
    caller: Caller,
    bearer: Option<SecretString>,
) -> Result<Caller, (Caller, Fault, Fault)> {
    let Some(bearer) = bearer else { return Ok(caller) };
    if let Err(fault) = app.meter.patience(&caller) {
        return Err((caller, fault.clone(), fault));
    }
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

/// The handler, with its row in the trail.
async fn answer(app: &App, route: Route, caller: Caller, raw: Bytes) -> Result<Body, Fault> {
    let act = Act::new(&caller, route.action, "");
    if route.audited == Audited::Around {
        app.trail.intend(act.clone().on(route.object(&raw))).await?;
    }
    let object = route.object(&raw);
    let (verb, means) = (route.verb, caller.means.clone());
    let outcome = within(app, &means, verb, route.handle(app.clone(), caller, raw)).await;
    match (&outcome, route.audited) {
        (Ok(_), Audited::Not | Audited::WithEffect) => {}
        (Ok(_), Audited::Read | Audited::Around) => app.trail.done(act.on(object)).await?,
        (Err(fault), _) => app.trail.failed(act.on(object), fault).await,
    }
    outcome
}

/// A look that lasts, such as a stream or a long poll, ends when the key or the session behind it does. What changes
/// something is carried through.
async fn within(
    app: &App,
    means: &Means,
    verb: Verb,
    handle: impl Future<Output = Result<Body, Fault>>,
) -> Result<Body, Fault> {
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

async fn refused(app: &App, route: &Route, caller: &Caller, raw: &Bytes, fault: &Fault) {
    app.trail.refused(Act::new(caller, route.action, route.object(raw)), fault).await;
}
