//! Route: an endpoint with its handler, types erased, and the single gate before it.
use super::App;
use crate::{
    config::redact,
    domain::{Action, Audited, Caller, Fault, FaultKind, Permission},
    protocol::{Endpoint, Streamed, Verb, path},
};
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::{future::Future, sync::Arc};

/// A reply, encoded.
pub enum Body {
    Whole(Bytes),
    /// One JSON value a line.
    Lines(BoxStream<'static, Bytes>),
}

/// What a request, encoded, is done to.
type Object = fn(&[u8]) -> String;
/// A request as its handler reads it.
type Exact = fn(&[u8]) -> Result<Value, Fault>;
/// What else an action depends on, in words, where the request does not say it.
pub type Circumstance = fn(App) -> BoxFuture<'static, Result<String, Fault>>;
type Handler = Arc<dyn Fn(App, Caller, Bytes) -> BoxFuture<'static, Result<Body, Fault>> + Send + Sync>;

#[derive(Clone)]
pub struct Route {
    pub path: String,
    pub verb: Verb,
    pub needs: Permission,
    /// The endpoint's name, for the audit trail.
    pub action: &'static str,
    pub audited: Audited,
    /// It asks for work.
    pub work: bool,
    object: Object,
    exact: Exact,
    circumstance: Option<Circumstance>,
    handler: Handler,
}

impl Route {
    pub fn to<E, F, Fut>(handle: F) -> Self
    where
        E: Endpoint,
        F: Fn(App, Caller, E::Request) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<E::Reply, Fault>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |app, caller, raw| {
            Box::pin(async move {
                let request = decode::<E::Request>(E::VERB, &raw)?;
                Ok(Body::Whole(encode(&handle(app, caller, request).await?)?))
            })
        });
        Self {
            path: path(E::NAME),
            verb: E::VERB,
            needs: E::NEEDS,
            action: E::NAME,
            audited: E::AUDITED,
            work: E::WORK,
            object: |raw| {
                decode::<E::Request>(E::VERB, raw).map(|asked| E::object(&asked)).unwrap_or_default()
            },
            exact: |raw| {
                serde_json::to_value(decode::<E::Request>(E::VERB, raw)?)
                    .map_err(|e| Fault::internal(format!("cannot read the request back: {e}")))
            },
            circumstance: None,
            handler,
        }
    }

    pub fn stream<E, F, Fut, S>(handle: F) -> Self
    where
        E: Streamed,
        F: Fn(App, Caller, E::Request) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<S, Fault>> + Send + 'static,
        S: Stream<Item = E::Item> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |app, caller, raw| {
            Box::pin(async move {
                let request = decode::<E::Request>(Verb::Read, &raw)?;
                let items = handle(app, caller, request).await?;
                let lines = items.map(|item| {
                    let mut line = serde_json::to_vec(&item).unwrap_or_default();
                    line.push(b'\n');
                    Bytes::from(line)
                });
                Ok(Body::Lines(lines.boxed()))
            })
        });
        Self {
            path: path(E::NAME),
            verb: Verb::Read,
            needs: E::NEEDS,
            action: E::NAME,
            audited: E::AUDITED,
            work: false,
            object: |_| String::new(),
            exact: |_| Ok(Value::Null),
            circumstance: None,
            handler,
        }
    }

    /// What an approval of it is bound to beside the request.
    #[must_use]
    pub fn given(self, circumstance: Circumstance) -> Self {
        Self { circumstance: Some(circumstance), ..self }
    }

    /// The gate: may this caller use this route?
    pub fn admit(&self, caller: &Caller) -> Result<(), Fault> {
        if caller.role.may(self.needs) {
            return Ok(());
        }
        let (needs, role, path) = (self.needs, caller.role, &self.path);
        let who = match &caller.agent {
            Some(agent) => format!("agent {agent}"),
            None => caller.principal.to_string(),
        };
        Err(Fault::new(
            FaultKind::Forbidden,
            format!("cannot use {path}: it needs {needs}, and {who} is {role}"),
        )
        .hint("ask an administrator to add you under [access] in agentd.toml"))
    }

    /// What the request is done to, as the audit trail calls it; a secret in the place of a name is not.
    pub fn object(&self, raw: &[u8]) -> String {
        redact(&(self.object)(raw)).into_owned()
    }

    /// The one action that this request is, for who has to say yes to it.
    pub(super) async fn exact(&self, app: App, raw: &[u8]) -> Result<Action, Fault> {
        let object = match self.circumstance {
            Some(circumstance) => circumstance(app).await?,
            None => self.object(raw),
        };
        Ok(Action { action: self.action.to_owned(), object, request: (self.exact)(raw)? })
    }

    /// The handler alone; whoever calls it has passed the gate.
    pub(super) async fn handle(&self, app: App, caller: Caller, raw: Bytes) -> Result<Body, Fault> {
        (self.handler)(app, caller, raw).await
    }
}

fn decode<T: serde::de::DeserializeOwned>(verb: Verb, raw: &[u8]) -> Result<T, Fault> {
    let wrong = |error: String| Fault::usage(format!("cannot read the request: {error}"));
    match verb {
        Verb::Read => serde_urlencoded::from_bytes(raw).map_err(|e| wrong(e.to_string())),
        Verb::Write => serde_json::from_slice(raw).map_err(|e| wrong(e.to_string())),
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, Fault> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|e| Fault::internal(format!("cannot encode the reply: {e}")))
}
