//! `http`: asks a URL and asserts on what comes back. Each look opens a connection of its own: that proves more than
//! one kept from better days, and costs a few microseconds.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    domain::ByteSize,
    health::{
        Miss, Target,
        expect::{Expect, ExpectSettings, pointer_key},
        identity, net,
        reference::Reference,
        tls, words,
    },
    resilience::{Clock, Failing},
};
use futures_util::{
    future::{Either, select},
    pin_mut,
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, Uri,
    body::{Body, Bytes},
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A longer head is not an answer to a probe.
const MAX_HEAD: usize = 32 << 10;
const AGENT: &str = concat!("agentd-probe/", env!("CARGO_PKG_VERSION"));

/// Asks a URL.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpProbeOptions")]
pub struct Options {
    /// Path at the instance's own address, or below the URL of an agent of kind http: `/health?deep=1`.
    #[serde(default)]
    path: Option<String>,
    /// A whole URL instead: http://HOST:PORT/PATH or https://…
    #[serde(default)]
    url: Option<String>,
    /// With `path`: default is the instance's own port.
    #[serde(default)]
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// Default GET.
    #[serde(default)]
    method: Option<String>,
    /// Values are literal or `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What the answer must look like.
    #[serde(default)]
    expect: ExpectSettings,
    /// Must the listener belong to the agent's own processes? Default: for a supervised agent, yes.
    #[serde(default)]
    identity: Option<bool>,
    /// How much of the body is read.
    #[serde(default = "max_body")]
    max_body: ByteSize,
}

fn max_body() -> ByteSize {
    ByteSize(64 << 10)
}

/// An address, resolved as far as it can be before the look.
struct Place {
    secure: bool,
    host: String,
    port: u16,
    path: Uri,
}

enum Whereabouts {
    Fixed(Place),
    Below(Uri),
}

pub struct Http {
    place: Whereabouts,
    port: Option<u16>,
    method: Method,
    headers: HeaderMap,
    secret_headers: Vec<(HeaderName, Reference)>,
    expect: Expect,
    identity: Option<bool>,
    max_body: usize,
}

/// What came back, as far as it was read.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    whole: bool,
}

impl Probe for Http {
    const NAME: &'static str = "http";
    const ABOUT: &'static str = "asks a URL and asserts on status, headers, body and JSON";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut note = |pointer: String, message: String, hint: Option<&str>| {
            problems.push(OptionProblem { pointer, message, hint: hint.map(Into::into) });
        };
        let place = match (&options.url, &options.path) {
            (Some(url), None) => Place::parse(url).map(Whereabouts::Fixed).map_err(|why| ("/url", why)),
            (None, Some(path)) => check_path(path).map_err(|why| ("/path", why)),
            (Some(_), Some(_)) => Err(("/path", "a probe has a url or a path, not both".to_owned())),
            (None, None) => Err(("", "the probe needs a path or a url".to_owned())),
        };
        let place = place.map_err(|(at, why)| note(at.into(), why, Some("write path = \"/health\""))).ok();
        if options.url.is_some() && options.port.is_some() {
            note("/port".into(), "a url names its own port".into(), None);
        }
        let method = options.method.as_deref().unwrap_or("GET");
        let known = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS, Method::PUT];
        let method = known.into_iter().find(|known| known.as_str() == method);
        if method.is_none() {
            note(
                "/method".into(),
                "is not a method of a probe".into(),
                Some("GET, HEAD, POST, OPTIONS or PUT"),
            );
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let mut secret_headers = Vec::new();
        for (name, value) in &options.headers {
            let at = format!("/headers/{}", pointer_key(name));
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
                note(at, format!("`{}` is not the name of a header", name.escape_debug()), None);
                continue;
            };
            match Reference::parse(value) {
                Err(why) => note(at, why, None),
                Ok(reference) if reference.is_literal() => match HeaderValue::from_str(value) {
                    Ok(_) if is_credential(&name) => note(
                        at,
                        format!("{name} holds a secret, and a secret does not stand in this file"),
                        Some("write a reference: env:NAME, file:PATH or exec:PROGRAM ARGS"),
                    ),
                    Ok(value) => drop(headers.insert(name, value)),
                    Err(_) => note(at, "is not the value of a header".into(), None),
                },
                Ok(reference) => secret_headers.push((name, reference)),
            }
        }
        problems.extend(net::check_port(options.port));
        let expect = Expect::compile(&options.expect).map_err(|inner| {
            problems.extend(
                inner.into_iter().map(|p| OptionProblem { pointer: format!("/expect{}", p.pointer), ..p }),
            );
        });
        match (place, method, expect) {
            (Some(place), Some(method), Ok(expect)) if problems.is_empty() => Ok(Self {
                place,
                port: options.port,
                method,
                headers,
                secret_headers,
                expect,
                identity: options.identity,
                max_body: usize::try_from(options.max_body.0).unwrap_or(usize::MAX).min(16 << 20),
            }),
            _ => Err(problems),
        }
    }

    async fn look(&self, target: &Target) -> Seen {
        let began = Instant::now();
        let judged = self.exchange(target, &[]).await.and_then(|answer| {
            self.expect.check_status(answer.status).map_err(|told| answer.blames(told))?;
            self.expect.check_headers(&answer.headers)?;
            self.expect.check_body(&answer.body, answer.whole)?;
            Ok(answer.status)
        });
        match judged {
            Ok(status) => Ok(format!("{status} in {:.1} ms", began.elapsed().as_secs_f64() * 1e3)),
            Err(why) => {
                // A credential that was replaced looks like this: ask for it anew.
                self.secret_headers.iter().for_each(|(_, reference)| reference.forget());
                Err(why)
            }
        }
    }
}

impl Http {
    /// What came back, unjudged. Headers that are given replace those of the options.
    pub(super) async fn answer(
        &self,
        target: &Target,
        more: &[(HeaderName, HeaderValue)],
    ) -> Result<(u16, HeaderMap), Miss> {
        self.exchange(target, more).await.map(|answer| (answer.status, answer.headers))
    }

    async fn exchange(&self, target: &Target, more: &[(HeaderName, HeaderValue)]) -> Result<Answer, Miss> {
        let joined;
        let place = match (&self.place, &target.base) {
            (Whereabouts::Fixed(place), _) => place,
            (Whereabouts::Below(path), Some(base)) => {
                joined = Place::parse(base)?.below(path)?;
                &joined
            }
            (Whereabouts::Below(path), None) => {
                let port = target.port(self.port)?;
                joined = Place { secure: false, host: target.host.to_string(), port, path: path.clone() };
                &joined
            }
        };
        let mut headers = self.headers_for(place).await?;
        for (name, value) in more {
            headers.insert(name.clone(), value.clone());
        }
        if place.secure {
            self.ask_securely(place, headers).await
        } else {
            self.ask_plainly(place, headers, target).await
        }
    }
}

impl Answer {
    /// A status says whose fault it is; and a server that is overrun, when to come again.
    fn blames(&self, told: String) -> Miss {
        let failing = match self.status {
            408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Failing::Transient { after: self.retry_after() },
            501 | 505 => Failing::Lasting,
            400..=499 => Failing::CallersMistake,
            _ => Failing::Transient { after: None },
        };
        Miss::Answered { told, failing }
    }

    /// `120`, or a date.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(Clock::system().now())).unwrap_or_default())
    }
}

impl Http {
    async fn headers_for(&self, place: &Place) -> Result<HeaderMap, Miss> {
        let mut headers = self.headers.clone();
        if !headers.contains_key(HOST) {
            let host =
                HeaderValue::try_from(place.authority()).map_err(|_| Miss::blind("the host is malformed"))?;
            headers.insert(HOST, host);
        }
        for (name, reference) in &self.secret_headers {
            let secret = reference.get().await?;
            let mut value = HeaderValue::from_str(secret.expose_secret())
                .map_err(|_| Miss::Blind(format!("what {name} refers to is not the value of a header")))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }

    async fn ask_plainly(&self, place: &Place, headers: HeaderMap, target: &Target) -> Result<Answer, Miss> {
        let stream = net::connect(&place.host, place.port).await?;
        // Refused here, an answer by somebody else's process is never taken for the agent's.
        let elsewhere = matches!(self.place, Whereabouts::Fixed(_)) || target.base.is_some();
        identity::check(target, place.port, self.identity, elsewhere).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| words::chain(&error))?;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = place.path.clone();
        *request.headers_mut() = headers;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| words::chain(&error))?;
            Ok(read(response, self.max_body).await?)
        };
        // One task drives both ends of the exchange: nothing is spawned that could outlive the look.
        // The exchange is asked first: then the request is on its way at the first turn.
        pin_mut!(connection, exchange);
        match select(exchange, connection).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    async fn ask_securely(&self, place: &Place, mut headers: HeaderMap) -> Result<Answer, Miss> {
        // HTTP/2 has no such headers; the client writes what it needs.
        headers.remove(CONNECTION);
        headers.remove(HOST);
        let url = format!("https://{}{}", place.authority(), place.path);
        let client = tls::client().map_err(Miss::Blind)?;
        let sent = client.request(self.method.clone(), url).headers(headers).send().await;
        let response = sent.map_err(|error| {
            let error = error.without_url();
            let told = words::chain(&error);
            // A name that nobody knows is told in words alone.
            let blind = net::is_ours(&error) || told.contains("dns error");
            if blind { Miss::Blind(told) } else { Miss::Wrong(told) }
        })?;
        Ok(read(Response::from(response), self.max_body).await?)
    }
}

/// Reads no more than `most` bytes of the body, whatever its length is said to be.
async fn read<B>(response: Response<B>, most: usize) -> Result<Answer, String>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let (head, mut body) = response.into_parts();
    let mut answer =
        Answer { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), whole: true };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the body broke off: {}", words::chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = most - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.whole = false;
            break;
        }
    }
    Ok(answer)
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        // The text is not repeated: it may hold a password.
        let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err("carries credentials: put them into a header, by reference".into());
        }
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => {
                return Err(format!(
                    "cannot be asked by `{}`: write http:// or https://",
                    other.escape_debug()
                ));
            }
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err("names no host".into());
        };
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let path = format!("{}{query}", url.path()).parse().map_err(|_| "has a malformed path".to_owned())?;
        Ok(Self { secure, host: host.to_owned(), port, path })
    }

    /// `/health` below `http://host/agents/x/` is `http://host/agents/x/health`.
    fn below(mut self, path: &Uri) -> Result<Self, String> {
        let base = self.path.path().trim_end_matches('/');
        self.path = format!("{base}{path}").parse().map_err(|_| "the path is malformed".to_owned())?;
        Ok(self)
    }

    fn authority(&self) -> String {
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

fn check_path(path: &str) -> Result<Whereabouts, String> {
    let fits = path.starts_with('/') && !path.contains('#');
    match path.parse() {
        Ok(path) if fits => Ok(Whereabouts::Below(path)),
        _ => Err(format!("`{}` is not a path: it starts with / and holds no spaces", path.escape_debug())),
    }
}

fn is_credential(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie" | "x-api-key" | "api-key")
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
