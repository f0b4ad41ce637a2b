//! The HTTP face: /health, /ready, /data and /echo.
use super::{Crash, Program, Trouble};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    io,
    io::Write,
    net::{IpAddr, SocketAddr},
    process,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

/// The largest body `/echo` takes.
const LARGEST: usize = 1 << 20;
/// How long a hung endpoint holds its caller; longer than any probe's patience.
const HANG: Duration = Duration::from_secs(3600);

pub(super) async fn serve(program: &Program, host: IpAddr, port: u16) -> io::Result<()> {
    let listener = match TcpListener::bind(SocketAddr::new(host, port)).await {
        Ok(listener) => listener,
        Err(error) => {
            // The words of uvicorn, whose users this agent stands in for.
            let number = error.raw_os_error().unwrap_or_default();
            let _ = writeln!(
                io::stderr().lock(),
                "ERROR:    [Errno {number}] error while attempting to bind on address ('{host}', {port}): {error}"
            );
            process::exit(Crash::Port.status())
        }
    };
    let _ = writeln!(io::stderr().lock(), "{} listens on {}", program.name, listener.local_addr()?);
    let program = Arc::new(program.clone());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: let some close
            continue;
        };
        tokio::spawn(converse(stream, Arc::clone(&program)));
    }
}

async fn converse(mut stream: TcpStream, program: Arc<Program>) {
    if program.has(Trouble::Garbage) {
        let _ = stream.write_all(b"%% this is not HTTP\n").await;
        return;
    }
    let service = service_fn(move |request| {
        let program = Arc::clone(&program);
        async move { Ok::<_, Infallible>(answer(&program, request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(program: &Program, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let named = |status: &str| json!({ "status": status, "agent": program.claimed() });
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => {
            if program.has(Trouble::HangHealth) {
                tokio::time::sleep(HANG).await;
            }
            if program.has(Trouble::LyingHealth) {
                return reply(StatusCode::OK, &named("critical"));
            }
            well(program, &named)
        }
        (&Method::GET, "/ready") => well(program, &named),
        (&Method::GET, "/data") if program.has(Trouble::DataFails) => reply(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "error": "connection to server failed: Connection refused" }),
        ),
        (&Method::GET, "/data") => {
            reply(StatusCode::OK, &json!({ "agent": program.claimed(), "items": [1, 2, 3] }))
        }
        (&Method::POST, "/echo") => match Limited::new(request.into_body(), LARGEST).collect().await {
            Ok(body) => Response::new(Full::new(body.to_bytes())),
            Err(error) => reply(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": error.to_string() })),
        },
        _ => reply(StatusCode::NOT_FOUND, &json!({ "error": "no such path" })),
    }
}

fn well(program: &Program, named: &impl Fn(&str) -> Value) -> Response<Full<Bytes>> {
    if program.healthy() {
        reply(StatusCode::OK, &named("healthy"))
    } else {
        reply(StatusCode::SERVICE_UNAVAILABLE, &named("unhealthy"))
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
