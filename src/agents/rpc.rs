//! JSON-RPC 2.0 over lines: requests go into the agent's stdin FIFO, answers come back as lines of its stdout.
//! Bounded in every direction: outstanding requests, frame sizes, and time, whatever the agent does or does not.
use crate::domain::{Fault, FaultKind};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe,
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Requests that may be waiting for an answer at one instance.
const OUTSTANDING: usize = 64;
/// Longest request and longest answer, in bytes.
pub const FRAME: usize = 1 << 20;

/// The daemon's end of one instance's request channel. Dropping the last handle ends its writer.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    pending: Arc<Mutex<Pending>>,
    queue: mpsc::Sender<(u64, Vec<u8>)>,
    next: AtomicU64,
}

#[derive(Default)]
struct Pending {
    closed: bool,
    waiting: HashMap<u64, oneshot::Sender<Result<Value, RpcError>>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
}

/// A line that is an answer; anything else the agent prints is merely logged.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub id: u64,
    pub result: Result<Value, RpcError>,
}

impl Channel {
    /// Opens the FIFO read-write, so that neither end's absence fails the other.
    pub fn open(fifo: &Path) -> io::Result<Self> {
        let pipe = pipe::OpenOptions::new().read_write(true).open_sender(fifo)?;
        let pending = Arc::new(Mutex::new(Pending::default()));
        let (queue, frames) = mpsc::channel(OUTSTANDING);
        tokio::spawn(write(pipe, frames, pending.clone()));
        // Not from 0: an adopted agent may still answer what an earlier daemon asked.
        let next = AtomicU64::new(fastrand::u64(1..1 << 48));
        Ok(Self(Arc::new(Inner { pending, queue, next })))
    }

    /// Any answer, an error too, proves that somebody reads and answers.
    pub async fn ping(&self, deadline: Duration) -> Result<(), Fault> {
        self.ask("ping", json!({}), deadline).await.map(|_| ())
    }

    pub async fn request(&self, method: &str, params: Value, deadline: Duration) -> Result<Value, Fault> {
        self.ask(method, params, deadline).await?.map_err(|error| {
            Fault::new(
                FaultKind::Refused,
                format!(
                    "cannot {}: the agent answered error {}: {}",
                    plain(method),
                    error.code,
                    plain(&error.message)
                ),
            )
        })
    }

    /// Everyone who waits learns now that nobody will answer; later requests are refused.
    pub fn close(&self) {
        let mut pending = lock(&self.0.pending);
        pending.closed = true;
        pending.waiting.clear();
    }

    /// One line of the agent's stdout.
    pub fn take_line(&self, line: &[u8]) {
        let Some(answer) = parse(line) else { return };
        let waiter = lock(&self.0.pending).waiting.remove(&answer.id);
        // Nobody waits for it: it came too late, or was never asked for.
        if let Some(waiter) = waiter {
            let _ = waiter.send(answer.result);
        }
    }

    async fn ask(
        &self,
        method: &str,
        params: Value,
        deadline: Duration,
    ) -> Result<Result<Value, RpcError>, Fault> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut frame = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        frame.push('\n');
        if frame.len() > FRAME {
            return Err(Fault::usage(format!(
                "cannot send {} bytes to an agent: {FRAME} is the most",
                frame.len()
            )));
        }
        let (sender, receiver) = oneshot::channel();
        {
            let mut pending = lock(&self.0.pending);
            if pending.closed {
                return Err(gone());
            }
            if pending.waiting.len() >= OUTSTANDING {
                return Err(full());
            }
            pending.waiting.insert(id, sender);
        }
        let _forget = Forget { pending: &self.0.pending, id };
        self.0.queue.try_send((id, frame.into_bytes())).map_err(|_| full())?;
        match timeout(deadline, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Fault::new(
                FaultKind::Timeout,
                format!("cannot wait longer: no answer to `{}` within {deadline:?}", plain(method)),
            )
            .hint("`agentctl agent show NAME` and its log say what it is doing")),
        }
    }
}

/// Takes a request off the list however its caller ends.
struct Forget<'a> {
    pending: &'a Mutex<Pending>,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.pending).waiting.remove(&self.id);
    }
}

/// Alone with the pipe: whole frames, in order. A frame nobody waits for any more is not begun; one that an agent
/// does not read holds up only its own successors, whose callers have deadlines.
async fn write(
    mut pipe: pipe::Sender,
    mut frames: mpsc::Receiver<(u64, Vec<u8>)>,
    pending: Arc<Mutex<Pending>>,
) {
    while let Some((id, frame)) = frames.recv().await {
        let wanted = lock(&pending).waiting.contains_key(&id);
        if !wanted {
            continue;
        }
        if let Err(error) = pipe.write_all(&frame).await {
            tracing::debug!(%error, "a request channel cannot be written");
            return;
        }
    }
}

/// An answer has our version, a number we could have given, and a result or an error.
pub fn parse(line: &[u8]) -> Option<Answer> {
    #[derive(Deserialize)]
    struct Wire {
        jsonrpc: String,
        id: u64,
        #[serde(default)]
        method: Option<Value>,
        #[serde(default, deserialize_with = "present")]
        result: Option<Value>,
        #[serde(default)]
        error: Option<RpcError>,
    }
    fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(deserializer).map(Some) // `null` is a result too
    }
    if line.len() > FRAME || !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let wire: Wire = serde_json::from_slice(line).ok()?;
    if wire.jsonrpc != "2.0" || wire.method.is_some() {
        return None; // `method`: a request of its own, or our own line that came back
    }
    let result = match (wire.result, wire.error) {
        (_, Some(error)) => Err(error),
        (Some(result), None) => Ok(result),
        (None, None) => return None,
    };
    Some(Answer { id: wire.id, result })
}

fn plain(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

fn gone() -> Fault {
    Fault::new(FaultKind::Unavailable, "cannot ask the agent: it went down")
        .hint("`agentctl status` shows why")
}

fn full() -> Fault {
    Fault::new(FaultKind::Busy, format!("cannot ask the agent: {OUTSTANDING} requests already wait for it"))
        .hint("try again when some of them are answered")
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncBufReadExt, BufReader};

    #[test]
    fn only_an_answer_is_an_answer() {
        let table = [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"ok":true}}"#, Some(Ok(json!({"ok": true})))),
            (r#"  {"jsonrpc":"2.0","id":7,"result":null}"#, Some(Ok(Value::Null))),
            (
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no such method"}}"#,
                Some(Err(RpcError { code: -32601, message: "no such method".into() })),
            ),
            (r#"{"jsonrpc":"1.0","id":7,"result":1}"#, None),
            (r#"{"jsonrpc":"2.0","id":"7","result":1}"#, None),
            (r#"{"jsonrpc":"2.0","id":7}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{}}"#, None),
            (r#"{"id":7,"result":1}"#, None),
            ("INFO started", None),
            ("{", None),
            ("", None),
            ("null", None),
        ];
        for (line, want) in table {
            assert_eq!(parse(line.as_bytes()), want.map(|result| Answer { id: 7, result }), "{line}");
        }
        let huge = format!(r#"{{"jsonrpc":"2.0","id":7,"result":"{}"}}"#, "x".repeat(FRAME));
        assert_eq!(parse(huge.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(line in prop::collection::vec(any::<u8>(), 0..200), json in r#"\{"jsonrpc":"2.0",.{0,60}\}"#) {
            parse(&line);
            parse(json.as_bytes());
        }
    }

    struct Rig {
        channel: Channel,
        agent: BufReader<pipe::Receiver>,
        _dir: tempfile::TempDir,
    }

    fn rig() -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let fifo = dir.path().join("stdin");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .expect("a FIFO");
        let agent = pipe::OpenOptions::new().read_write(true).open_receiver(&fifo).expect("the agent's end");
        Rig { channel: Channel::open(&fifo).expect("our end"), agent: BufReader::new(agent), _dir: dir }
    }

    async fn next_id(agent: &mut BufReader<pipe::Receiver>) -> u64 {
        let mut line = String::new();
        agent.read_line(&mut line).await.expect("a line");
        serde_json::from_str::<Value>(&line).expect("JSON")["id"].as_u64().expect("an id")
    }

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn answers_find_their_callers_in_any_order_and_garbage_finds_nobody() {
        let mut rig = rig();
        let (one, two) = (rig.channel.clone(), rig.channel.clone());
        let first = tokio::spawn(async move { one.request("a", json!([1]), SOON).await });
        let a = next_id(&mut rig.agent).await;
        let second = tokio::spawn(async move { two.request("b", Value::Null, SOON).await });
        let b = next_id(&mut rig.agent).await;
        rig.channel.take_line(b"Traceback (most recent call last):");
        rig.channel.take_line(format!(r#"{{"jsonrpc":"2.0","id":{b},"result":2}}"#).as_bytes());
        rig.channel.take_line(format!(r#"{{"jsonrpc":"2.0","id":{b},"result":3}}"#).as_bytes());
        rig.channel.take_line(
            format!(r#"{{"jsonrpc":"2.0","id":{a},"error":{{"code":1,"message":"no\u001b[2J"}}}}"#)
                .as_bytes(),
        );
        assert_eq!(second.await.expect("joined").expect("an answer"), json!(2));
        let fault = first.await.expect("joined").unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(!fault.message.contains('\u{1b}'), "an agent's words are escaped");
    }

    #[tokio::test]
    async fn a_death_fails_everyone_at_once_and_refuses_the_next() {
        let mut rig = rig();
        let channel = rig.channel.clone();
        let waiting = tokio::spawn(async move { channel.request("a", Value::Null, SOON).await });
        next_id(&mut rig.agent).await;
        rig.channel.close();
        let before = std::time::Instant::now();
        assert_eq!(waiting.await.expect("joined").unwrap_err().kind, FaultKind::Unavailable);
        assert!(before.elapsed() < Duration::from_secs(5));
        assert_eq!(rig.channel.ping(SOON).await.unwrap_err().kind, FaultKind::Unavailable);
    }

    /// An agent that never reads: the pipe fills, callers get their deadline, the queue refuses, nothing grows.
    #[tokio::test]
    async fn an_agent_that_does_not_read_costs_a_bounded_queue() {
        let rig = rig();
        let big = Value::String("x".repeat(FRAME - 200));
        let calls =
            (0..OUTSTANDING).map(|_| rig.channel.request("a", big.clone(), Duration::from_millis(300)));
        let all = futures_util::future::join_all(calls);
        let refused = async {
            tokio::task::yield_now().await;
            rig.channel.request("a", Value::Null, SOON).await
        };
        let (all, refused) = tokio::join!(all, refused);
        assert!(
            all.iter().all(|answer| answer.as_ref().is_err_and(|fault| fault.kind == FaultKind::Timeout))
        );
        assert_eq!(refused.unwrap_err().kind, FaultKind::Busy);
        assert!(lock(&rig.channel.0.pending).waiting.is_empty(), "given up means forgotten");
        let too_big = Value::String("x".repeat(FRAME));
        assert_eq!(rig.channel.request("a", too_big, SOON).await.unwrap_err().kind, FaultKind::Usage);
    }
}
