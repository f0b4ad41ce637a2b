//! One instance's three FIFOs and its log. They stay open from run to run: what a dying process printed is read by
//! the same reader that reads its successor.
use super::{
    child::ensure_fifo,
    log_file,
    output::{Output, OutputSpec},
    rpc,
    shared::Shared,
};
use crate::{
    config::Paths,
    domain::{Fault, InstanceId},
};
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Messages of a `process` agent that may wait to be taken.
const MESSAGES: usize = 64;
/// How long what a dead process printed may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(200);

pub struct Streams {
    output: Output,
    fifos: [PathBuf; 3],
    /// Who gets the messages on stdout while the instance is up; none for kinds that send none.
    listener: Option<Listener>,
}

type Listener = Arc<Mutex<Option<rpc::Channel>>>;

impl Streams {
    /// Starts reading, until dropped. `speaks`: lines of stdout may be JSON-RPC.
    pub fn open(shared: &Shared, id: &InstanceId, speaks: bool) -> Result<Self, Fault> {
        let (stdin, stdout, stderr) = fifos(&shared.paths, id);
        let (listener, messages) = if speaks {
            let listener = Listener::default();
            (Some(listener.clone()), Some(listen(listener)))
        } else {
            (None, None)
        };
        let output = Output::start(OutputSpec {
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            log: log(&shared.paths, id),
            max_size: shared.log_size.0,
            keep: shared.log_size.1,
            clock: shared.clock.clone(),
            messages,
        })?;
        Ok(Self { output, fifos: [stdin, stdout, stderr], listener })
    }

    pub fn speaks(&self) -> bool {
        self.listener.is_some()
    }

    /// Opens the request channel of a new run.
    pub fn connect(&self) -> Result<rpc::Channel, Fault> {
        let [stdin, ..] = &self.fifos;
        let channel = ensure_fifo(stdin)
            .and_then(|()| rpc::Channel::open(stdin))
            .map_err(|error| Fault::internal(format!("cannot open {}: {error}", stdin.display())))?;
        self.hear(Some(channel.clone()));
        Ok(channel)
    }

    pub fn disconnect(&self) {
        self.hear(None);
    }

    /// What it printed last, once what it had printed is read.
    pub async fn last_words(&self) -> Vec<String> {
        self.output.settle(LAST_WORDS).await;
        let words = self.output.recent();
        self.output.forget(); // they are this run's, not the next one's
        words
    }

    /// Closes them and removes the FIFOs; the log stays.
    pub fn discard(self) {
        drop(self.output);
        for fifo in &self.fifos {
            let _ = fs::remove_file(fifo); // may never have been made
        }
    }

    fn hear(&self, channel: Option<rpc::Channel>) {
        if let Some(listener) = &self.listener {
            *listener.lock().unwrap_or_else(PoisonError::into_inner) = channel;
        }
    }
}

/// Passes messages on to whoever listens at the time. Ends with the reader.
fn listen(listener: Listener) -> mpsc::Sender<String> {
    let (sender, mut messages) = mpsc::channel::<String>(MESSAGES);
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            let channel = listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(channel) = channel {
                channel.take_line(message.as_bytes());
            }
        }
    });
    sender
}

/// stdin, stdout and stderr of an instance. `@` is in no agent's name.
pub fn fifos(paths: &Paths, id: &InstanceId) -> (PathBuf, PathBuf, PathBuf) {
    let fifo = |end: &str| paths.fifos.join(format!("{}.{end}", stem(id)));
    (fifo("in"), fifo("out"), fifo("err"))
}

/// Where FIFOs and logs live. Private: what agents say may be anything.
pub fn make_directories(paths: &Paths) -> Result<(), Fault> {
    for dir in [&paths.fifos, &paths.agent_logs] {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| Fault::internal(format!("cannot make {}: {error}", dir.display())))?;
    }
    Ok(())
}

/// The last lines of an instance's log, oldest first, and the live file. No log yet is no lines.
pub fn tail(paths: &Paths, id: &InstanceId, lines: usize) -> Result<(Vec<String>, PathBuf), Fault> {
    let file = log(paths, id);
    match log_file::tail(&file, lines) {
        Ok(lines) => Ok((lines, file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), file)),
        Err(error) => Err(Fault::internal(format!("cannot read {}: {error}", file.display()))),
    }
}

/// The live log of an instance.
fn log(paths: &Paths, id: &InstanceId) -> PathBuf {
    paths.agent_logs.join(format!("{}.log", stem(id)))
}

/// `orders@0`
fn stem(id: &InstanceId) -> String {
    id.to_string().replace('/', "@")
}
