//! Router from routes; kind of failure → HTTP status. Whatever a handler does, the client gets an answer in time.
use super::{
    App, Body, Route,
    gate::{self, Asked},
    listen::{Answer, Payload, Reply},
};
use crate::{
    auth::{Directory, identify, still},
    config::redact,
    domain::{
        Act, AgentName, Allowance, Caller, CorrelationId, Fault, FaultCategory, FaultKind, FaultSeverity,
        Identity, Permission,
    },
    errors::{Failure, expecting_panics},
    protocol::{PROTOCOL, PROTOCOL_HEADER, Verb},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use http_body_util::{BodyExt, Either, Full, Limited, StreamBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use secrecy::SecretString;
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// Longer than a long poll (25 s).
const HANDLER_DEADLINE: Duration = Duration::from_secs(30);
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const BODY_BYTES: usize = 1 << 20;

/// The routes of one listener. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    routes: HashMap<String, Route>,
    app: App,
    directory: Arc<dyn Directory>,
}

/// Kind → status, in this one place.
pub fn status(kind: FaultKind) -> StatusCode {
    match kind {
        FaultKind::Usage => StatusCode::BAD_REQUEST,
        FaultKind::Config => StatusCode::UNPROCESSABLE_ENTITY,
        FaultKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        FaultKind::Forbidden => StatusCode::FORBIDDEN,
        FaultKind::Refused => StatusCode::PRECONDITION_FAILED,
        FaultKind::NotFound => StatusCode::NOT_FOUND,
        FaultKind::Conflict => StatusCode::CONFLICT,
        FaultKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        FaultKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        FaultKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Router {
    pub fn new(routes: impl IntoIterator<Item = Route>, app: App, directory: Arc<dyn Directory>) -> Self {
        let routes = routes.into_iter().map(|route| (route.path.clone(), route)).collect();
        Self { inner: Arc::new(Inner { routes, app, directory }) }
    }

    /// One request to its answer, wherever it came from.
    pub(super) async fn reply<B>(&self, caller: Result<Caller, Fault>, request: Request<B>) -> Reply
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let caller = match caller.and_then(|caller| self.still(caller)) {
            Ok(caller) => caller.for_request(CorrelationId(fastrand::u64(1..))),
            Err(fault) => {
                self.inner.app.errors.record(Failure::new("request", fault.clone()));
                return refuse(&fault);
            }
        };
        let route = match find(&self.inner.routes, request.uri().path(), request.method(), request.headers())
        {
            Ok(route) => route.clone(),
            Err((fault, reply)) => {
                let failure = Failure::new("request", fault).of_agent(caller.agent.clone());
                self.inner.app.errors.record(failure.asked_by(&caller.principal, caller.correlation));
                return *reply;
            }
        };
        let (path, uid, correlation) = (route.path.clone(), caller.identity.uid, caller.correlation);
        let (writes, agent) = (route.verb == Verb::Write, caller.agent.clone());
        let (client, asked_by) = (caller.principal.clone(), Arc::new(OnceLock::new()));
        let (action, object) = (route.action, route.clone());
        let mut shown = Bytes::new();
        let began = Instant::now();
        let bearer = bearer(request.headers());
        let (outcome, allowance) = match read(route.verb, request).await {
            Ok(raw) => {
                shown = raw.clone();
                self.run(Asked { route, caller, bearer, raw, principal: Arc::clone(&asked_by) }).await
            }
            Err(fault) => (Err(fault), None),
        };
        let took_ms = began.elapsed().as_micros() as f64 / 1e3;
        self.inner.app.metrics.requests().answered(outcome.as_ref().err().map(|fault| fault.kind));
        let mut reply = match outcome {
            Ok(body) => {
                if writes {
                    tracing::info!(path, uid, %correlation, took_ms, "done");
                } else {
                    tracing::debug!(path, uid, took_ms, "answered");
                }
                answer(body)
            }
            Err(fault) => {
                // Who was told to come back was told so in the log once, by the gate.
                if allowance.is_none_or(|left| left.retry_after_s.is_none()) {
                    let said = redact(&fault.message);
                    tracing::warn!(path, uid, %correlation, took_ms, kind = ?fault.kind, "{said}");
                }
                let object = object.object(&shown);
                let about: Option<AgentName> =
                    object.strip_prefix("agent/").and_then(|name| name.parse().ok());
                let fleet = self.inner.app.supervisor.snapshot();
                // A name that a caller made up is no agent.
                let agent = agent.or(about.filter(|name| fleet.agent(name.as_str()).is_some()));
                let failure = Failure::new(action, fault.clone())
                    .of_agent(agent)
                    .asked_by(asked_by.get().unwrap_or(&client), correlation)
                    .context(object);
                self.inner.app.errors.record(failure);
                refuse(&fault)
            }
        };
        mark(reply.headers_mut(), correlation, allowance);
        reply
    }

    /// By the settings in force now, not by those of when it connected.
    fn still(&self, caller: Caller) -> Result<Caller, Fault> {
        let policy = self.inner.app.policy.borrow().clone();
        still(caller, &policy, &self.inner.app.settings.borrow())
    }

    /// The gate and the handler, within a deadline; a panic in it is an answer too.
    async fn run(&self, asked: Asked) -> (Result<Body, Fault>, Option<Allowance>) {
        if asked.route.needs != Permission::FleetRead && self.inner.app.control.is_stopping() {
            let fault = Fault::new(FaultKind::Unavailable, "cannot take this on: agentd is stopping")
                .hint("`agentctl status` shows how far it is");
            return (Err(fault), None);
        }
        let path = asked.route.path.clone();
        let work = expecting_panics(gate::pass(&self.inner.app, asked));
        match tokio::time::timeout(HANDLER_DEADLINE, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(passed)) => passed,
            Ok(Err(_panic)) => {
                let fault = Fault::internal(format!("cannot answer {path}: its handler panicked"))
                    .category(FaultCategory::Api)
                    .severity(FaultSeverity::Critical)
                    .hint("`agentctl daemon logs` has the details; the daemon itself goes on");
                (Err(fault), None)
            }
            Err(_late) => {
                let late = format!("cannot answer {path} within {}s", HANDLER_DEADLINE.as_secs());
                let fault = Fault::new(FaultKind::Timeout, late)
                    .hint("`agentctl daemon logs` may show what it waited for");
                (Err(fault), None)
            }
        }
    }
}

impl Answer for Router {
    fn identify(&self, identity: Identity) -> Result<Caller, Fault> {
        let policy = self.inner.app.policy.borrow().clone();
        identify(identity, &policy, &*self.inner.directory).inspect_err(|fault| {
            // Once a connection, whatever it would have asked.
            let (act, fault, trail) =
                (Act::of_stranger(identity), fault.clone(), self.inner.app.trail.clone());
            self.inner.app.trail.see_through(async move { trail.refused(act, &fault).await });
        })
    }

    fn failed(&self, fault: Fault) {
        self.inner.app.errors.record(Failure::new("connection", fault));
    }

    fn answer(&self, caller: Result<Caller, Fault>, request: Request<Incoming>) -> BoxFuture<'static, Reply> {
        let router = self.clone();
        Box::pin(async move { router.reply(caller, request).await })
    }
}

fn find<'a>(
    routes: &'a HashMap<String, Route>,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<&'a Route, (Fault, Box<Reply>)> {
    let Some(route) = routes.get(path) else {
        let fault = unknown(path, headers);
        let reply = Box::new(refuse(&fault));
        return Err((fault, reply));
    };
    let allowed = match route.verb {
        Verb::Read => Method::GET,
        Verb::Write => Method::POST,
    };
    if *method == allowed {
        return Ok(route);
    }
    let fault = Fault::usage(format!("cannot {method} {path}: it takes {allowed}"));
    let mut reply = faulty(&fault, StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(value) = allowed.as_str().parse() {
        reply.headers_mut().insert(ALLOW, value);
    }
    Err((fault, Box::new(reply)))
}

fn unknown(path: &str, headers: &HeaderMap) -> Fault {
    let theirs = headers.get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let path: String = path.chars().take(100).collect();
    let fault = Fault::not_found(format!("cannot find {}: there is no such endpoint", path.escape_debug()));
    match theirs {
        Some(theirs) if theirs > PROTOCOL => fault.hint(format!(
            "this daemon speaks protocol {PROTOCOL}, you speak {theirs}; restart it after upgrading: \
             `agentctl daemon stop`, then `agentctl daemon start`"
        )),
        _ => fault.hint("`agentctl --help` lists what there is; `agentctl version` shows both ends"),
    }
}

/// The query of a read, the body of a write: bounded in size and in time.
async fn read<B>(verb: Verb, request: Request<B>) -> Result<Bytes, Fault>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match verb {
        Verb::Read => {
            Ok(request.uri().query().map(|q| Bytes::copy_from_slice(q.as_bytes())).unwrap_or_default())
        }
        Verb::Write => {
            let body = Limited::new(request.into_body(), BODY_BYTES).collect();
            match tokio::time::timeout(BODY_DEADLINE, body).await {
                Ok(Ok(body)) => Ok(body.to_bytes()),
                Ok(Err(error)) => Err(Fault::usage(format!("cannot read the request's body: {error}"))),
                Err(_late) => Err(Fault::new(
                    FaultKind::Timeout,
                    format!("cannot read the request's body within {}s", BODY_DEADLINE.as_secs()),
                )),
            }
        }
    }
}

/// `Authorization: Bearer …`, as it came: what it proves is not settled here.
fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let shown = headers.get(AUTHORIZATION)?.as_bytes();
    let token = shown.strip_prefix(b"Bearer ").unwrap_or(shown);
    Some(String::from_utf8_lossy(token).into_owned().into())
}

/// What every answer says beside its body.
fn mark(headers: &mut HeaderMap, correlation: CorrelationId, allowance: Option<Allowance>) {
    if let Ok(id) = HeaderValue::from_str(&correlation.to_string()) {
        headers.insert("agentd-correlation", id);
    }
    if let Some(Allowance { limit, remaining, reset_s, retry_after_s }) = allowance {
        headers.insert("ratelimit-limit", HeaderValue::from(limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(reset_s));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

fn answer(body: Body) -> Reply {
    match body {
        Body::Whole(bytes) => dress(StatusCode::OK, "application/json", Either::Left(Full::new(bytes))),
        Body::Lines(lines) => {
            let frames = lines.map(|line| Ok(Frame::data(line))).boxed();
            dress(StatusCode::OK, "application/x-ndjson", Either::Right(StreamBody::new(frames)))
        }
    }
}

fn refuse(fault: &Fault) -> Reply {
    faulty(fault, status(fault.kind))
}

fn faulty(fault: &Fault, status: StatusCode) -> Reply {
    let body = serde_json::to_vec(fault).unwrap_or_default();
    dress(status, "application/json", Either::Left(Full::new(Bytes::from(body))))
}

fn dress(status: StatusCode, kind: &'static str, body: Payload) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL));
    reply
}
