//! Serves one listener: identity once a connection, then requests, each bounded in size and time.
use super::{
    admission::{Admission, AtWork, Place},
    patience::Patient,
    unix::Bound,
};
use crate::domain::{Caller, Fault, FaultKind, Identity};
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use http_body_util::{Either, Full, StreamBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};
use tokio::net::UnixStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// From one request to the end of the next head: an idle connection is closed after this, a half-sent head too.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// No byte of an answer taken for so long.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Answers under way when the listener closes.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A head may be this long; one more byte is a 431.
const HEAD_BYTES: usize = 16 << 10;

/// A whole reply, or one that comes line by line.
pub type Payload = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;
pub type Reply = Response<Payload>;

/// What answers a request. It never fails: a failure is an answer too.
pub trait Answer: Send + Sync + 'static {
    fn identify(&self, identity: Identity) -> Result<Caller, Fault>;
    /// Nobody could be answered: it ended before there was a request.
    fn failed(&self, _fault: Fault) {}
    fn answer(&self, caller: Result<Caller, Fault>, request: Request<Incoming>) -> BoxFuture<'static, Reply>;
}

/// One listener being served.
pub struct Server {
    pub bound: Bound,
    pub admission: Arc<Admission>,
    pub answer: Arc<dyn Answer>,
}

impl Server {
    /// Until `closing`; then what is under way gets a moment to end, and the socket is removed.
    pub async fn serve(self, closing: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                accepted = self.bound.listener.accept() => match accepted {
                    Ok((stream, _)) => self.greet(stream, &connections, &closing),
                    Err(error) => {
                        let fault = Fault::internal(format!("cannot accept a connection: {error}"));
                        self.answer.failed(fault);
                        pause_after(&error).await;
                    }
                }
            }
        }
        connections.close();
        if tokio::time::timeout(LAST_WORDS, connections.wait()).await.is_err() {
            tracing::debug!(open = connections.len(), "left connections behind");
        }
    }

    fn greet(&self, stream: UnixStream, connections: &TaskTracker, closing: &CancellationToken) {
        let identity = match stream.peer_cred() {
            Ok(peer) => Identity { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() },
            Err(error) => {
                tracing::warn!(%error, "refused a caller without credentials");
                let fault = Fault::new(FaultKind::Unauthenticated, "cannot tell who calls: no credentials");
                self.answer.failed(fault.caused_by(error));
                return;
            }
        };
        let Some(place) = self.admission.enter(identity.uid) else {
            tracing::warn!(uid = identity.uid, "refused one connection too many");
            let fault = Fault::new(
                FaultKind::Busy,
                format!("cannot take another connection of uid {}", identity.uid),
            );
            self.answer.failed(fault);
            return;
        };
        connections.spawn(converse(stream, identity, place, Arc::clone(&self.answer), closing.clone()));
    }
}

async fn converse(
    stream: UnixStream,
    identity: Identity,
    place: Place,
    answer: Arc<dyn Answer>,
    closing: CancellationToken,
) {
    let caller = answer.identify(identity);
    // Each of its requests records it; without one, nothing was refused.
    if let Err(fault) = &caller {
        tracing::warn!(uid = identity.uid, pid = identity.pid, "{fault}");
    }
    let place = Arc::new(place);
    let seat = Arc::clone(&place);
    let service = service_fn(move |request| {
        let at_work = seat.work();
        let reply = answer.answer(caller.clone(), request);
        async move { Ok::<_, Infallible>(held(reply.await, at_work)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES)
        .max_headers(64)
        .serve_connection(TokioIo::new(Patient::new(stream, WRITE_DEADLINE)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = place.asked_to_leave() => {
            tracing::debug!(uid = identity.uid, "an idle connection made room for another");
            return;
        }
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(uid = identity.uid, %error, "a connection ended badly");
    }
}

/// A reply that comes line by line keeps its connection at work until its last line.
fn held(reply: Reply, at_work: AtWork) -> Reply {
    reply.map(|body| match body {
        Either::Left(whole) => Either::Left(whole),
        Either::Right(lines) => {
            let lines = lines.inspect(move |_| {
                let _ = &at_work;
            });
            Either::Right(StreamBody::new(lines.boxed()))
        }
    })
}

/// Out of descriptors or memory: asking again at once would only spin.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Bounds};
    use super::*;
    use crate::domain::{FaultKind, Role};
    use std::path::PathBuf;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    /// Lets everybody in but those whom it is told to refuse, and says which role asked.
    struct Echo {
        refuses: bool,
    }

    impl Answer for Echo {
        fn identify(&self, identity: Identity) -> Result<Caller, Fault> {
            if self.refuses {
                return Err(Fault::new(FaultKind::Forbidden, "cannot let you in"));
            }
            Ok(Caller::by_socket(identity, Role::Admin, None))
        }

        fn answer(
            &self,
            caller: Result<Caller, Fault>,
            _request: Request<Incoming>,
        ) -> BoxFuture<'static, Reply> {
            let text = caller.map_or_else(|fault| fault.message, |caller| format!("{:?}", caller.role));
            Box::pin(async move { Response::new(Either::Left(Full::new(Bytes::from(text)))) })
        }
    }

    struct Served {
        _home: tempfile::TempDir,
        path: PathBuf,
        closing: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    fn serve(refuses: bool) -> Served {
        serve_at_most(refuses, 600)
    }

    fn serve_at_most(refuses: bool, total: usize) -> Served {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agentd.sock");
        let server = Server {
            bound: Bound::bind(&path, Access::Operators { group: None }).expect("bound"),
            admission: Admission::new(
                Bounds { total, reserved: 0, each: total },
                vec![rustix::process::geteuid().as_raw()],
            ),
            answer: Arc::new(Echo { refuses }),
        };
        let closing = CancellationToken::new();
        let task = tokio::spawn(server.serve(closing.clone()));
        Served { _home: home, path, closing, task }
    }

    async fn ask(path: &PathBuf) -> String {
        let mut stream = UnixStream::connect(path).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("an answer");
        reply
    }

    #[tokio::test]
    async fn clients_that_stall_or_send_half_a_head_do_not_keep_others_out() {
        let served = serve(false);
        let mut stalled = Vec::new();
        for number in 0..400 {
            let mut stream = UnixStream::connect(&served.path).await.expect("connected");
            if number % 2 == 0 {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.expect("half a head");
            }
            stalled.push(stream);
        }
        let reply = timeout(Duration::from_secs(5), ask(&served.path)).await.expect("in time");
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("Admin"), "{reply}");
    }

    #[tokio::test]
    async fn at_the_bound_who_stalls_longest_makes_room() {
        let served = serve_at_most(false, 4);
        let mut stalled = Vec::new();
        for _ in 0..4 {
            let mut stream = UnixStream::connect(&served.path).await.expect("connected");
            stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.expect("half a head");
            stalled.push(stream);
        }
        let reply = timeout(Duration::from_secs(5), ask(&served.path)).await.expect("in time");
        assert!(reply.ends_with("Admin"), "{reply}");
        let first = timeout(Duration::from_secs(5), stalled[0].read(&mut [0; 8])).await.expect("in time");
        assert!(matches!(first, Ok(0) | Err(_)), "the first of the stalled was not cut off");
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_cut_off_and_never_kept() {
        let served = serve(false);
        let mut stream = UnixStream::connect(&served.path).await.expect("connected");
        let flood = vec![b'x'; 1 << 20];
        stream.write_all(b"GET / HTTP/1.1\r\nx-flood: ").await.expect("sent");
        // The daemon hangs up long before a gigabyte; either end may notice first.
        let mut sent = 0;
        while sent < 64 && stream.write_all(&flood).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 64, "64 MiB of one header were taken");
        assert!(ask(&served.path).await.ends_with("Admin"));
    }

    #[tokio::test]
    async fn a_caller_who_is_refused_is_told_so() {
        let served = serve(true);
        assert!(ask(&served.path).await.ends_with("cannot let you in"));
    }

    #[tokio::test]
    async fn closing_ends_idle_connections_and_removes_the_socket() {
        let served = serve(false);
        let mut idle = UnixStream::connect(&served.path).await.expect("connected");
        assert!(ask(&served.path).await.ends_with("Admin"));
        served.closing.cancel();
        timeout(Duration::from_secs(5), served.task).await.expect("in time").expect("no panic");
        assert!(!served.path.exists());
        assert_eq!(idle.read(&mut [0; 8]).await.expect("the end"), 0);
    }
}
