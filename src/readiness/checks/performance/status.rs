//! `status` as an operator asks for it: through the daemon's own socket, a connection each time.
use super::figure::{Figure, Limit};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    domain::{Fault, Outcome},
    readiness::Found,
};
#[cfg(test)]
use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{fmt, path::Path, time::Duration};
use tokio::{
    net::UnixStream,
    time::{Instant, timeout},
};

/// So many that the few which a busy machine delays do not decide.
const ASKED: usize = 200;
/// After so many it is looked whether more are needed: a daemon that is late each time need not be asked on.
const ENOUGH: usize = 20;
/// In milliseconds. A terminal that waits for longer feels slow.
const BELOW: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(2);
/// No status is longer.
const LONGEST: usize = 8 << 20;

pub async fn asked(socket: &Path) -> Found {
    let mut samples = Vec::new();
    let limit = Limit { what: "status over the socket", unit: "ms", below: BELOW, figure: Figure::P95 };
    for _ in 0..ASKED {
        if samples.len() == ENOUGH && limit.judge(&samples).outcome == Outcome::Fail {
            break;
        }
        let started = Instant::now();
        match timeout(PATIENCE, ask(socket)).await {
            Ok(Ok(())) => samples.push(started.elapsed().as_secs_f64() * 1e3),
            Ok(Err(fault)) => return Found::fail(fault.message),
            Err(_) => return Found::fail(format!("status gave no answer within {PATIENCE:?}")),
        }
    }
    limit.judge_and_doubt(&samples).seen(format!(
        "{} requests, each over a connection of its own to {}",
        samples.len(),
        socket.display()
    ))
}

/// The answer must be a status, not only a 200.
async fn ask(socket: &Path) -> Result<(), Fault> {
    let stream = UnixStream::connect(socket).await.map_err(|error| cannot(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| cannot(&e))?;
    let request = Request::get("/v1/status").header(HOST, "agentd").body(Empty::<Bytes>::new());
    let answer = async move {
        let response = sender.send_request(request.map_err(|e| cannot(&e))?).await.map_err(|e| cannot(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|e| cannot(&e))?;
        let body: Value = serde_json::from_slice(&body.to_bytes()).map_err(|error| cannot(&error))?;
        match body["verdict"].as_str() {
            Some(_) if status.is_success() => Ok(()),
            _ => Err(cannot(&format!("the answer is HTTP {} and no status", status.as_u16()))),
        }
    };
    // The connection is turned here and not by a task of its own; it ends when `answer` lets go of it.
    let (answer, _closed) = tokio::join!(answer, connection);
    answer
}

fn cannot(error: &dyn fmt::Display) -> Fault {
    Fault::internal(format!("cannot have a status from the daemon: {error}"))
}

/// A real socket that answers with this, after a while.
#[cfg(test)]
async fn answering(status: &'static str, body: &'static str, after: Duration) -> Found {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let place = tempfile::tempdir().expect("a directory");
    let socket = place.path().join("s");
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let read = stream.read(&mut [0; 1024]).await.expect("a request");
            assert!(read > 0, "an empty request");
            tokio::time::sleep(after).await;
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(reply.as_bytes()).await.expect("taken");
        }
    };
    tokio::select! {
        found = asked(&socket) => found,
        () = serve => unreachable!("it serves for ever"),
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "PF-007",
    at_work: || {
        async {
            let well = r#"{"verdict":"healthy"}"#;
            let late = Duration::from_millis(150);
            Tried {
                sound: vec![answering("200 OK", well, Duration::ZERO).await],
                broken: vec![
                    ("a daemon that answers late", answering("200 OK", well, late).await),
                    ("one that answers something else", answering("200 OK", "{}", Duration::ZERO).await),
                    ("one that fails", answering("500 Oh", well, Duration::ZERO).await),
                    ("a socket that is not there", asked(Path::new("/nonexistent/socket")).await),
                ],
            }
        }
        .boxed()
    },
};
