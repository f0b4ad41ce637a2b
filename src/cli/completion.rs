//! Names for the shell's completion, asked of the daemon in plain blocking calls: no runtime, no TLS, at most
//! 100 ms, and nothing at all when it is down. A completion that complains or waits is worse than none.
use crate::{config::Paths, protocol::path};
use serde_json::Value;
use std::{
    env,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// All of it: connecting, asking, reading.
const PATIENCE: Duration = Duration::from_millis(100);
/// A reply longer than this is not a list of names.
const LARGEST: u64 = 4 << 20;

/// The field `field` of every item of the list `list` in the reply of the endpoint `asked` (a read, with its query).
pub fn names(asked: &str, list: &'static str, field: &'static str) -> Vec<String> {
    let socket = socket(env::args_os().map(|arg| arg.to_string_lossy().into_owned()));
    let request = path(asked);
    let (send, answer) = mpsc::channel();
    // A thread, because connecting to a socket with a full backlog has no deadline of its own.
    thread::spawn(move || send.send(ask(&socket, &request)));
    let reply = answer.recv_timeout(PATIENCE).ok().flatten();
    reply.map(|reply| pick(&reply, list, field)).unwrap_or_default()
}

/// `--socket` of the line being completed, or where a client looks anyway.
fn socket(mut line: impl Iterator<Item = String>) -> PathBuf {
    while let Some(word) = line.next() {
        let given = match word.strip_prefix("--socket") {
            Some("") => line.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        if let Some(given) = given {
            return given.into();
        }
    }
    env::var_os("AGENTD_SOCKET").filter(|s| !s.is_empty()).map_or_else(Paths::default_socket, PathBuf::from)
}

/// HTTP/1.0, so that the body ends where the connection does.
fn ask(socket: &Path, path: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: agentd\r\n\r\n").ok()?;
    let mut reply = Vec::new();
    stream.take(LARGEST).read_to_end(&mut reply).ok()?;
    let head_ends = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = reply.split_at(head_ends + 4);
    let ok = head.split(|byte| *byte == b' ').nth(1) == Some(b"200");
    if ok { serde_json::from_slice(body).ok() } else { None }
}

fn pick(reply: &Value, list: &str, field: &str) -> Vec<String> {
    let items = reply.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |item: &Value| match item.get(field)? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    items.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::{io::BufRead, io::BufReader, os::unix::net::UnixListener, time::Instant};

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split(' ').map(str::to_owned)
    }

    #[test]
    fn the_socket_of_the_line_wins() {
        for line in ["agentctl --socket /a/s agent stop", "agentctl agent --socket=/a/s stop"] {
            assert_eq!(socket(words(line)), PathBuf::from("/a/s"), "{line}");
        }
        assert_ne!(socket(words("agentctl agent stop /a/s")), PathBuf::from("/a/s"));
    }

    #[test]
    fn a_daemon_that_is_down_or_does_not_answer_gives_no_names_and_no_wait() {
        let home = tempfile::tempdir().expect("a directory");
        assert_eq!(ask(&home.path().join("none.sock"), "/v1/agents/list"), None);
        let mute = home.path().join("mute.sock");
        let _listener = UnixListener::bind(&mute).expect("bound");
        let asked = Instant::now();
        assert_eq!(ask(&mute, "/v1/agents/list"), None);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }

    #[test]
    fn names_are_read_from_an_answer_and_not_from_a_refusal() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agentd.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        thread::spawn(move || {
            for status in ["200 OK", "403 Forbidden"] {
                let (stream, _) = listener.accept().expect("a caller");
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).expect("a request");
                assert_eq!(line, "GET /v1/agents/list? HTTP/1.0\r\n");
                let body = r#"{"agents":[{"name":"orders"},{"name":"billing"},{"id":3}]}"#;
                write!(&stream, "HTTP/1.1 {status}\r\ncontent-type: x\r\n\r\n{body}").expect("sent");
            }
        });
        let reply = ask(&path, "/v1/agents/list?").expect("an answer");
        assert_eq!(pick(&reply, "agents", "name"), ["orders", "billing"]);
        assert_eq!(ask(&path, "/v1/agents/list?"), None);
        assert_eq!(pick(&json!({"runs": [{"run": 7}]}), "runs", "run"), ["7"]);
    }
}
