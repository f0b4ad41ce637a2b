//! The stdio face. Its stdin is a FIFO that the daemon holds open for both ways, so an end of file means nothing.
use super::{Crash, Program, Trouble, program::die, rpc};
use serde_json::{Value, json};
use std::{
    io,
    io::{BufRead, BufReader, Read, Write},
};
use tokio::sync::mpsc;

/// A request may be this long; what is longer is refused and skipped to its end.
const LONGEST: u64 = 1 << 20;

pub(super) async fn serve(program: &Program) -> io::Result<()> {
    let (send, mut lines) = mpsc::channel(16);
    if !program.has(Trouble::NoRead) {
        // A thread, because a read of stdin cannot be cancelled; process exit ends it.
        std::thread::Builder::new().name("stdin".into()).spawn(move || read(io::stdin().lock(), &send))?;
    }
    let _ = writeln!(io::stderr().lock(), "{} listens on stdin", program.name);
    while let Some(line) = lines.recv().await {
        if program.has(Trouble::Garbage) {
            say("%% this is not JSON {");
            continue;
        }
        let me = program.healthy().then(|| me(program));
        match rpc::answer(&line, me.as_ref()) {
            rpc::Asked::Reply(reply) => say(&reply.to_string()),
            rpc::Asked::Later(delay, reply) => {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    say(&reply.to_string());
                });
            }
            rpc::Asked::Nothing => {}
            rpc::Asked::Crash => die(Crash::Unknown),
        }
    }
    std::future::pending().await
}

fn me(program: &Program) -> Value {
    json!({
        "pong": true,
        "agent": program.claimed(),
        "instance": std::env::var("AGENTD_INSTANCE").ok(),
        "pid": std::process::id(),
        "uid": rustix::process::getuid().as_raw(),
        "status": "healthy",
    })
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn read(input: impl Read, lines: &mpsc::Sender<Vec<u8>>) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LONGEST {
            line.clear(); // an empty line is no JSON, and is told so
            if input.skip_until(b'\n').is_err() {
                return;
            }
        } else if line.trim_ascii().is_empty() {
            continue;
        }
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_end_is_refused_and_the_next_one_is_read() {
        let mut input = vec![b'x'; usize::try_from(LONGEST).expect("small") * 3];
        input.extend_from_slice(b"\n\n{\"a\":1}\n");
        let (send, mut lines) = mpsc::channel(16);
        std::thread::spawn(move || read(io::Cursor::new(input), &send));
        assert_eq!(lines.recv().await, Some(Vec::new()));
        assert_eq!(lines.recv().await, Some(b"{\"a\":1}\n".to_vec()));
        assert_eq!(lines.recv().await, None);
    }
}
