//! Reads what an instance prints: lines to its log, the last ones kept for its obituary, requests and replies of a
//! `process` agent to whoever speaks with it. Memory is bounded whatever comes, and a flood waits its turn.
use super::{
    child::{ensure_fifo, open_reader},
    log_file::LogFile,
};
use crate::{domain::Fault, resilience::Clock};
use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::unix::pipe::Receiver,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::Instant,
};

/// Where an instance's output comes from and goes.
pub struct OutputSpec {
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    pub log: PathBuf,
    /// Bytes after which the log is rotated, and how many rotations are kept.
    pub max_size: u64,
    pub keep: u32,
    pub clock: Clock,
    /// Lines of stdout that are JSON-RPC messages go here instead of the log.
    pub messages: Option<mpsc::Sender<String>>,
}

/// A reader at work; it ends when dropped. What is in the FIFOs then waits for the next reader.
pub struct Output {
    recent: Arc<Mutex<Recent>>,
    streams: Arc<Streams>,
    task: JoinHandle<()>,
}

impl Output {
    /// Within a tokio runtime. Makes the FIFOs if need be.
    pub fn start(spec: OutputSpec) -> Result<Self, Fault> {
        let streams = Arc::new(Streams {
            stdout: receiver(&spec.stdout)?,
            stderr: receiver(&spec.stderr)?,
            busy: AtomicBool::new(false),
            flush: Notify::new(),
            flushing: AtomicBool::new(false),
        });
        let recent = Arc::new(Mutex::new(Recent::default()));
        let task = tokio::spawn(follow(spec, streams.clone(), recent.clone()));
        Ok(Self { recent, streams, task })
    }

    /// The last lines of both streams, oldest first: at most 64 and 16 KiB. Untrusted text.
    pub fn recent(&self) -> Vec<String> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// Forgets the last lines: at the start of a new generation.
    pub fn forget(&self) {
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Recent::default();
    }

    /// Until everything printed so far has been read, or the time is over: call it between an end and `recent`. A last
    /// line without its newline counts as a line then.
    pub async fn settle(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        let mut asked = false;
        while Instant::now() < end {
            if self.streams.is_drained() {
                if asked && !self.streams.flushing.load(Ordering::SeqCst) {
                    return;
                }
                if !asked {
                    asked = true;
                    self.streams.flushing.store(true, Ordering::SeqCst);
                    self.streams.flush.notify_one();
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Longest line that is logged; the rest of it is dropped and the line is marked.
const LONGEST_LINE: usize = 16 << 10;
/// Longest message of a `process` agent.
const LONGEST_MESSAGE: usize = 1 << 20;
/// What is read at once, and how much of it before others get their turn.
const CHUNK: usize = 16 << 10;
const TURN: usize = 128 << 10;
const RECENT_LINES: usize = 64;
const RECENT_BYTES: usize = 16 << 10;
/// Longest line that is remembered.
const RECENT_LINE: usize = 1 << 10;
/// How long a message waits for a listener that does not take it.
const HAND_OVER: Duration = Duration::from_secs(5);

struct Streams {
    stdout: Receiver,
    stderr: Receiver,
    /// Something has been read that is not in the log or among the recent lines yet.
    busy: AtomicBool,
    /// Asks the reader to take unfinished lines for finished; `flushing` until it has.
    flush: Notify,
    flushing: AtomicBool,
}

impl Streams {
    fn is_drained(&self) -> bool {
        let waiting = |stream: &Receiver| rustix::io::ioctl_fionread(stream).unwrap_or(0);
        // In this order: a reader says that it is busy before it empties the FIFO.
        waiting(&self.stdout) == 0 && waiting(&self.stderr) == 0 && !self.busy.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Recent {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(&line[..line.len().min(RECENT_LINE)]).into_owned();
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > RECENT_LINES || self.bytes > RECENT_BYTES {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }
}

/// Splits what arrives into lines no longer than `longest`.
struct Splitter {
    longest: usize,
    partial: Vec<u8>,
    /// In the rest of a line that was cut.
    skipping: bool,
}

impl Splitter {
    fn new(longest: usize) -> Self {
        Self { longest, partial: Vec::new(), skipping: false }
    }

    /// Calls `each` with every line that is complete or was cut, and whether it was.
    fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
            bytes = rest;
            if !self.skipping {
                let room = self.longest - self.partial.len();
                self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
                let cut = piece.len() > room;
                if end.is_some() || cut {
                    let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
                    each(line, cut);
                    self.partial.clear();
                    self.skipping = cut;
                }
            }
            if end.is_some() {
                self.skipping = false;
            }
        }
        if self.partial.is_empty() {
            // An idle agent keeps no buffer.
            self.partial = Vec::new();
        }
    }

    /// What has no newline yet, as a line.
    fn finish(&mut self) -> Option<Vec<u8>> {
        self.skipping = false;
        Some(std::mem::take(&mut self.partial)).filter(|line| !line.is_empty())
    }
}

fn receiver(path: &Path) -> Result<Receiver, Fault> {
    let failed = |error: io::Error| Fault::internal(format!("cannot read {}: {error}", path.display()));
    ensure_fifo(path).map_err(failed)?;
    Receiver::from_owned_fd_unchecked(open_reader(path).map_err(failed)?).map_err(failed)
}

async fn follow(spec: OutputSpec, streams: Arc<Streams>, recent: Arc<Mutex<Recent>>) {
    let mut log = LogFile::new(spec.log, spec.max_size, spec.keep);
    let longest = if spec.messages.is_some() { LONGEST_MESSAGE } else { LONGEST_LINE };
    let (mut out, mut err) = (Splitter::new(longest), Splitter::new(LONGEST_LINE));
    loop {
        let (stream, splitter, name, messages) = tokio::select! {
            ready = streams.stdout.readable() => match ready {
                Ok(()) => (&streams.stdout, &mut out, "stdout", spec.messages.as_ref()),
                Err(_) => return,
            },
            ready = streams.stderr.readable() => match ready {
                Ok(()) => (&streams.stderr, &mut err, "stderr", None),
                Err(_) => return,
            },
            () = streams.flush.notified() => {
                let mut turn = Turn::default();
                for (splitter, name) in [(&mut out, "stdout"), (&mut err, "stderr")] {
                    if let Some(line) = splitter.finish() {
                        recent.lock().unwrap_or_else(PoisonError::into_inner).push(&line);
                        turn.add(&spec.clock.now(), name, &line, false);
                    }
                }
                if turn.lines > 0 {
                    log.append(&turn.text, turn.lines);
                }
                streams.flushing.store(false, Ordering::SeqCst);
                continue;
            }
        };
        streams.busy.store(true, Ordering::SeqCst);
        let now = spec.clock.now();
        let mut turn = Turn::default();
        let mut taken = 0;
        let mut chunk = vec![0; CHUNK];
        while taken < TURN {
            let Ok(length) = stream.try_read(&mut chunk) else { break };
            taken += length;
            let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
            splitter.feed(&chunk[..length], |line, cut| {
                if messages.is_some() && !cut && is_message(line) {
                    turn.messages.push(String::from_utf8_lossy(line).into_owned());
                } else {
                    recent.push(line);
                    turn.add(&now, name, line, cut);
                }
            });
        }
        drop(chunk);
        if turn.lines > 0 {
            log.append(&turn.text, turn.lines);
        }
        for message in turn.messages {
            // A listener that is gone or stuck costs this agent its message, and nobody else anything.
            if let Some(messages) = messages
                && messages.send_timeout(message, HAND_OVER).await.is_err()
            {
                tracing::debug!(log = "agent", "a message was dropped: nobody takes it");
            }
        }
        streams.busy.store(false, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// A JSON object that names its protocol. Any other is a log line of a program that logs in JSON.
fn is_message(line: &[u8]) -> bool {
    const NAME: &[u8] = b"\"jsonrpc\"";
    line.first() == Some(&b'{') && line.windows(NAME.len()).any(|window| window == NAME)
}

/// What one turn read, on its way to the log.
#[derive(Default)]
struct Turn {
    text: Vec<u8>,
    lines: u64,
    messages: Vec<String>,
}

impl Turn {
    fn add(&mut self, now: &jiff::Timestamp, name: &str, line: &[u8], cut: bool) {
        let mark = if cut || line.len() > LONGEST_LINE { " …[cut]" } else { "" };
        let line = String::from_utf8_lossy(&line[..line.len().min(LONGEST_LINE)]);
        self.text.extend_from_slice(format!("{now:.3} {name} {line}{mark}\n").as_bytes());
        self.lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::{child::open_writer, log_file::tail};
    use proptest::prelude::*;

    fn lines_of(longest: usize, pieces: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut splitter = Splitter::new(longest);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.feed(piece, |line, cut| lines.push((line.to_vec(), cut)));
            assert!(splitter.partial.len() <= longest);
        }
        lines
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_once_and_the_next_is_whole() {
        let lines = lines_of(4, &[b"ab", b"cdefgh", b"ij\nkl\r\n", b"mnop\n"]);
        let expected = [(&b"abcd"[..], true), (b"kl", false), (b"mnop", false)];
        assert_eq!(lines, expected.map(|(line, cut)| (line.to_vec(), cut)));
    }

    proptest! {
        #[test]
        fn however_it_arrives_the_lines_are_the_same(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400), at in 0usize..400,
        ) {
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(lines_of(16, &[one, two]), lines_of(16, &[&bytes]));
        }

        #[test]
        fn what_is_remembered_is_bounded(lines in proptest::collection::vec(0usize..5000, 0..200)) {
            let mut recent = Recent::default();
            for length in lines {
                recent.push(&vec![b'x'; length]);
                prop_assert!(recent.lines.len() <= RECENT_LINES && recent.bytes <= RECENT_BYTES);
            }
        }
    }

    #[tokio::test]
    async fn lines_reach_the_log_and_messages_their_listener() {
        let dir = tempfile::tempdir().expect("a directory");
        let (sender, mut messages) = mpsc::channel(4);
        let spec = OutputSpec {
            stdout: dir.path().join("out"),
            stderr: dir.path().join("err"),
            log: dir.path().join("log/0.log"),
            max_size: 1 << 20,
            keep: 1,
            clock: Clock::system(),
            messages: Some(sender),
        };
        let (out, err, log) = (spec.stdout.clone(), spec.stderr.clone(), spec.log.clone());
        let output = Output::start(spec).expect("a reader");
        let (out, err) = (open_writer(&out).expect("out"), open_writer(&err).expect("err"));
        rustix::io::write(&out, b"hello\n{\"level\":\"info\"}\n{\"jsonrpc\":\"2.0\",\"id\":1}\n")
            .expect("written");
        output.settle(Duration::from_secs(5)).await;
        rustix::io::write(&err, b"bad \0 thing\n").expect("written");
        output.settle(Duration::from_secs(5)).await;
        assert_eq!(messages.recv().await.as_deref(), Some("{\"jsonrpc\":\"2.0\",\"id\":1}"));
        assert_eq!(output.recent(), ["hello", "{\"level\":\"info\"}", "bad \0 thing"]);
        let lines = tail(&log, 9).expect("a log");
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].ends_with(" stdout hello")
                && lines[1].ends_with(" stdout {\"level\":\"info\"}")
                && lines[2].ends_with(" stderr bad \0 thing"),
            "{lines:?}"
        );
        // A dying program may not get as far as its newline.
        rustix::io::write(&err, b"Segmentation fau").expect("written");
        output.settle(Duration::from_secs(5)).await;
        assert_eq!(output.recent().last().map(String::as_str), Some("Segmentation fau"));
        assert!(tail(&log, 1).expect("a log")[0].ends_with(" stderr Segmentation fau"));
        output.settle(Duration::from_secs(5)).await;
        assert_eq!(tail(&log, 9).expect("a log").len(), 4, "it was told twice");
        output.forget();
        assert!(output.recent().is_empty());
    }
}
