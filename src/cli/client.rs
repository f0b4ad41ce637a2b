//! call::<Endpoint> over the Unix socket. One connection a process is enough for a command line.
use super::{CliError, Credentials};
use crate::{
    domain::{Fault, FaultKind},
    protocol::{Endpoint, PROTOCOL, PROTOCOL_HEADER, Streamed, Verb, path},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, HeaderValue},
};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::UnixStream;

pub struct Client {
    socket: PathBuf,
    timeout: Duration,
    credentials: Credentials,
}

impl Client {
    /// Known by the kernel's word alone.
    pub fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self { socket, timeout, credentials: Credentials::Nothing }
    }

    /// The same daemon, shown something else.
    #[must_use]
    pub fn showing(&self, credentials: Credentials) -> Self {
        Self { socket: self.socket.clone(), timeout: self.timeout, credentials }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks one endpoint; the reply type follows from the endpoint.
    pub async fn call<E: Endpoint>(&self, request: &E::Request) -> Result<E::Reply, CliError> {
        let ask = async {
            let response = self.send(E::NAME, E::VERB, request).await?;
            let body = response.into_body().collect().await.map_err(protocol)?.to_bytes();
            serde_json::from_slice(&body).map_err(protocol)
        };
        tokio::time::timeout(self.timeout, ask).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// Hands each item to `show` until the daemon hangs up or `show` returns false.
    pub async fn stream<E: Streamed>(
        &self,
        request: &E::Request,
        mut show: impl FnMut(E::Item) -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        let mut body = self.send(E::NAME, Verb::Read, request).await?.into_body();
        let mut held = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(protocol)?.into_data() else { continue };
            held.extend_from_slice(&data);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                if !show(serde_json::from_slice(&line).map_err(protocol)?)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn send<R: Serialize>(
        &self,
        name: &str,
        verb: Verb,
        request: &R,
    ) -> Result<Response<Incoming>, CliError> {
        let unreachable = |why: String| CliError::Unreachable { path: self.socket.clone(), why };
        let mut request = encode(name, verb, request)?;
        let shown = self.credentials.shown()?;
        if let Some(shown) = &shown {
            request.headers_mut().insert(AUTHORIZATION, bearer(&shown.token)?);
        }
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| unreachable(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|e| unreachable(e.to_string()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(protocol)?.to_bytes();
        match serde_json::from_slice::<Fault>(&body) {
            Ok(fault) if fault.kind == FaultKind::Unauthenticated => {
                let file = shown.and_then(|shown| shown.session_file);
                Err(match file {
                    Some(file) => fault.hint(format!(
                        "the session in {} is over: `agentctl auth login` opens another, `agentctl auth logout` \
                         forgets it",
                        file.display()
                    )),
                    None => fault,
                }
                .into())
            }
            Ok(fault) => Err(fault.into()),
            Err(_) => Err(CliError::Protocol(format!("HTTP {status}"))),
        }
    }

    fn late(&self) -> CliError {
        Fault::new(
            crate::domain::FaultKind::Timeout,
            format!("cannot wait any longer: no answer within {}s", self.timeout.as_secs()),
        )
        .hint("give it longer with --timeout")
        .into()
    }
}

fn encode<R: Serialize>(name: &str, verb: Verb, request: &R) -> Result<Request<Full<Bytes>>, CliError> {
    let (method, uri, body) = match verb {
        Verb::Read => {
            let query = serde_urlencoded::to_string(request).map_err(protocol)?;
            (Method::GET, format!("{}?{query}", path(name)), Vec::new())
        }
        Verb::Write => (Method::POST, path(name), serde_json::to_vec(request).map_err(protocol)?),
    };
    Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "agentd")
        .header("content-type", "application/json")
        .header(PROTOCOL_HEADER, PROTOCOL)
        .body(Full::new(Bytes::from(body)))
        .map_err(protocol)
}

/// Marked so that nothing prints it.
fn bearer(token: &SecretString) -> Result<HeaderValue, CliError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|_| Fault::usage("cannot show that key: it holds what no key does"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn protocol(error: impl std::fmt::Display) -> CliError {
    CliError::Protocol(error.to_string())
}
