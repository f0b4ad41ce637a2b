//! Asks a URL as the `http` probe does, for who wants the answer itself and not a judgement of it.
use super::{
    Probe,
    http::{Http, Options},
};
use crate::{
    config::OptionProblem,
    health::{Miss, Target},
};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use std::collections::BTreeMap;

/// What is looked at of a body: nothing of it is asked for.
const LITTLE: &str = "4KiB";

pub struct Asker(Http);

/// The head of an answer. Untrusted.
pub struct Head {
    pub status: u16,
    pub headers: HeaderMap,
}

impl Asker {
    /// Headers are literal or by reference, as those of the probe; pointers of problems are as if all were `options`.
    pub fn new(
        url: &str,
        method: Option<&str>,
        headers: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<OptionProblem>> {
        let options = json!({ "url": url, "method": method, "headers": headers, "max_body": LITTLE });
        let options: Options = serde_json::from_value(options).map_err(|error| {
            vec![OptionProblem { pointer: String::new(), message: error.to_string(), hint: None }]
        })?;
        Http::compile(options).map(Self)
    }

    /// One request on a connection of its own; no redirect is followed. The caller sets the deadline.
    pub async fn ask(&self, more: &[(HeaderName, HeaderValue)]) -> Result<Head, Miss> {
        let (status, headers) = self.0.answer(&Target::local("checklist", None), more).await?;
        Ok(Head { status, headers })
    }
}
