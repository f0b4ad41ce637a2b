//! Local servers that behave as badly as they are told: what probes are exercised against.
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};

/// No client of ours says more than this.
const LONGEST_REQUEST: usize = 16 << 10;
/// How long after a request the open ones are counted.
const SETTLING: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// 200, and its body says healthy.
    Healthy,
    /// 500.
    Failing,
    /// 200, and its body says critical.
    Lying,
    /// Takes the request and never answers.
    Silent,
    /// 500 and 200 in turn.
    Flapping,
    /// `/health` is well, every other route answers 500.
    Hollow,
    /// 200 and healthy, and the body names somebody else.
    Misnamed,
    /// This status, whatever is asked.
    Answering(u16),
    /// 500 so many times, and then healthy.
    Mending(u32),
    /// 503 once, and asks to be left alone for so many seconds; then healthy.
    Overrun(u32),
}

/// A listening server, gone when dropped.
pub struct FaultServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    manner: Mutex<Manner>,
    /// Raised by each answer that flaps.
    turn: AtomicU32,
    /// When each request came.
    hits: Mutex<Vec<Instant>>,
    /// How many were answered with 500.
    failed: AtomicU32,
    open: AtomicU32,
    most_open: AtomicU32,
}

impl FaultServer {
    pub async fn start(manner: Manner) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            manner: Mutex::new(manner),
            turn: AtomicU32::new(0),
            hits: Mutex::default(),
            failed: AtomicU32::new(0),
            open: AtomicU32::new(0),
            most_open: AtomicU32::new(0),
        });
        let task = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self { address, shared, task })
    }

    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    pub fn url(&self) -> String {
        self.url_of("/health")
    }

    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// When requests came, oldest first.
    pub fn hits(&self) -> Vec<Instant> {
        self.shared.hits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests were answered with 500.
    pub fn failed(&self) -> u32 {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// The most silent requests that were open at the same time.
    pub fn most_open(&self) -> u32 {
        self.shared.most_open.load(Ordering::SeqCst)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(timeout(PATIENCE, answer(stream, shared.clone())));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(1..) if request.len() > LONGEST_REQUEST => return,
            Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
            Ok(0) | Err(_) => return,
        }
    }
    shared.hits.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    let manner = *shared.manner.lock().unwrap_or_else(PoisonError::into_inner);
    let fails = match manner {
        Manner::Failing => true,
        Manner::Flapping => shared.turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2),
        Manner::Hollow => !request.starts_with(b"GET /health "),
        Manner::Mending(times) => shared.turn.fetch_add(1, Ordering::SeqCst) < times,
        Manner::Overrun(_) => shared.turn.fetch_add(1, Ordering::SeqCst) == 0,
        _ => false,
    };
    let more;
    let (status, body) = match manner {
        Manner::Answering(status) => {
            more = format!("{status} As Told");
            (more.as_str(), r#"{"status":"as told"}"#)
        }
        Manner::Overrun(seconds) if fails => {
            more = format!("503 Service Unavailable\r\nretry-after: {seconds}");
            (more.as_str(), r#"{"status":"overrun"}"#)
        }
        _ if fails => {
            shared.failed.fetch_add(1, Ordering::SeqCst);
            ("500 Internal Server Error", r#"{"status":"critical"}"#)
        }
        Manner::Lying => ("200 OK", r#"{"agent":"planted","status":"critical","database":"down"}"#),
        Manner::Misnamed => ("200 OK", r#"{"agent":"somebody-else","status":"healthy","database":"up"}"#),
        Manner::Silent => {
            shared.open.fetch_add(1, Ordering::SeqCst);
            let hung_up = async { while matches!(stream.read(&mut piece).await, Ok(1..)) {} };
            // Counted a moment late: on a busy machine the end of the look before may be read after this request,
            // though it came first.
            let counted = async {
                tokio::time::sleep(SETTLING).await;
                shared.most_open.fetch_max(shared.open.load(Ordering::SeqCst), Ordering::SeqCst);
            };
            tokio::join!(hung_up, counted);
            shared.open.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        _ => ("200 OK", r#"{"agent":"planted","status":"healthy","database":"up"}"#),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}
