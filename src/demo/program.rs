//! The agent's life: the faults of its start, its face, and how it ends.
use super::{Crash, Trouble, http, lurker, stdio};
use std::{
    future::Future,
    io,
    io::Write,
    net::IpAddr,
    process,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Where it is spoken to.
#[derive(Clone, Copy, Debug)]
pub enum Face {
    /// JSON-RPC 2.0, a value a line, on stdin and stdout.
    Stdio,
    Http {
        host: IpAddr,
        port: u16,
    },
}

/// One demo agent.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub troubles: Vec<Trouble>,
    pub(super) born: Instant,
}

impl Program {
    pub fn new(name: String, troubles: Vec<Trouble>) -> Self {
        Self { name, troubles, born: Instant::now() }
    }

    /// Runs until TERM or INT (exit status 0), unless a fault ends it first.
    pub async fn run(self, face: Face) -> io::Result<()> {
        // The handler stands before anything slow, so that a TERM during a slow start is seen too.
        let term = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let end = self.until_told(term, interrupt);
        let serve = self.serve(face);
        tokio::select! {
            () = end => Ok(()),
            served = serve => served,
        }
    }

    async fn serve(&self, face: Face) -> io::Result<()> {
        if let Some(crash) =
            self.find(|t| if let Trouble::CrashAtStart(crash) = t { Some(crash) } else { None })
        {
            die(crash);
        }
        if let Some(delay) = self.find(|t| if let Trouble::SlowStart(delay) = t { Some(delay) } else { None })
        {
            tokio::time::sleep(delay).await;
        }
        self.start_troubles()?;
        match face {
            Face::Stdio => stdio::serve(self).await,
            Face::Http { host, port } => http::serve(self, host, port).await,
        }
    }

    fn until_told(
        &self,
        mut term: tokio::signal::unix::Signal,
        mut interrupt: tokio::signal::unix::Signal,
    ) -> impl Future<Output = ()> + use<> {
        let deaf = self.has(Trouble::IgnoreTerm);
        async move {
            loop {
                tokio::select! {
                    _ = term.recv() => if !deaf { return },
                    _ = interrupt.recv() => return,
                }
            }
        }
    }

    /// Those that go on beside the service.
    fn start_troubles(&self) -> io::Result<()> {
        for trouble in &self.troubles {
            match *trouble {
                Trouble::CrashAfter(delay) => {
                    tokio::spawn(after(delay, || die(Crash::Unknown)));
                }
                Trouble::ExitAfter(delay) => {
                    tokio::spawn(after(delay, || process::exit(0)));
                }
                Trouble::DoubleFork { bare } => lurker::leave(bare)?,
                Trouble::Flood(size) => {
                    std::thread::Builder::new().name("flood".into()).spawn(move || flood(size))?;
                }
                Trouble::Leak(size) => {
                    tokio::spawn(leak(size));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    fn find<T>(&self, pick: impl Fn(Trouble) -> Option<T>) -> Option<T> {
        self.troubles.iter().copied().find_map(pick)
    }

    /// What it says of itself: healthy, unless a fault says otherwise.
    pub(super) fn healthy(&self) -> bool {
        self.find(|t| if let Trouble::UnhealthyAfter(delay) = t { Some(delay) } else { None })
            .is_none_or(|delay| self.born.elapsed() < delay)
    }

    /// The name it gives when asked.
    pub(super) fn claimed(&self) -> &str {
        if self.has(Trouble::WrongName) { "somebody-else" } else { &self.name }
    }
}

/// Ends the process as a real one would.
pub(super) fn die(crash: Crash) -> ! {
    let _ = writeln!(io::stderr().lock(), "{}", crash.last_words());
    process::exit(crash.status())
}

async fn after(delay: Duration, act: impl FnOnce()) {
    tokio::time::sleep(delay).await;
    act();
}

/// Until whoever reads hangs up.
fn flood(size: usize) {
    let mut line = vec![b'x'; size];
    line.push(b'\n');
    loop {
        if io::stdout().lock().write_all(&line).is_err() || io::stderr().lock().write_all(&line).is_err() {
            return;
        }
    }
}

async fn leak(size: usize) {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1u8; size]); // not zero: a page of zeroes would not be resident
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
