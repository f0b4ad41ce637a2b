//! A writer that is to be killed: a process of its own that writes as the daemon does and says on its standard output
//! what has been acknowledged. Whoever started it kills it and looks what is kept.
use crate::{
    config::StoreSettings,
    domain::{Event, EventKind},
    resilience::Clock,
    store::{Store, StoreError, error::Result, open::Regime},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How many write at the same time, so that commits are shared.
const WRITERS: u32 = 8;
/// A writer that nobody kills stops by itself.
const MOST: u32 = 2_000;
/// And is gone after so long.
const LIFE: Duration = Duration::from_secs(30);
/// What was acknowledged before its COMMIT has so long to be said.
const SPILL: Duration = Duration::from_millis(50);

/// What the writer is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Doomed {
    /// Where the scratch file is, or shall be.
    pub file: PathBuf,
    pub settings: StoreSettings,
    /// In front of what it writes, so that no two writers write the same.
    pub name: String,
    /// After so many acknowledgements it halts inside of COMMIT, says so, and waits for its end. Without, it goes on.
    pub halt_after: Option<u32>,
}

impl Doomed {
    /// Said of a write that is on its way.
    pub const ASKED: &str = "asked ";
    /// Said once the store has acknowledged it.
    pub const DONE: &str = "done ";
    /// Said in the middle of COMMIT.
    pub const COMMITTING: &str = "committing";
}

/// Writes until it is killed.
pub async fn write_until_killed(doomed: Doomed) -> Result<()> {
    write_under(doomed, Regime::DURABLE).await
}

async fn write_under(doomed: Doomed, regime: Regime) -> Result<()> {
    let backups = doomed.file.with_extension("backups");
    let store = Store::open_under(&doomed.file, &backups, &doomed.settings, Clock::system(), regime)?;
    let (done, halted) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    if let Some(after) = doomed.halt_after {
        let (done, halted) = (done.clone(), halted.clone());
        let hook = move || {
            if done.load(Ordering::SeqCst) >= after {
                halted.notify_one();
                thread::sleep(LIFE);
            }
            false // it does commit
        };
        // SQLite calls it in the middle of COMMIT, before a byte of it is on the disk.
        store.write("halt at a commit", |connection| Ok(connection.commit_hook(Some(hook))?)).await?;
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, done, name) = (store.clone(), done.clone(), doomed.name.clone());
        writers.spawn(async move {
            for number in 0..MOST / WRITERS {
                let text = format!("{name}.{writer}.{number}");
                say(Doomed::ASKED, &text);
                let event = Event {
                    seq: 0,
                    at: Clock::system().now(),
                    kind: EventKind::ProbeChanged,
                    instance: None,
                    text: text.clone(),
                };
                store.record_event(event).await?;
                say(Doomed::DONE, &text);
                done.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
    }
    let wrote = async {
        while let Some(end) = writers.join_next().await {
            end.unwrap_or_else(|_| Err(StoreError::panicked("write until killed")))?;
        }
        Ok(())
    };
    let halt = async {
        halted.notified().await;
        tokio::time::sleep(SPILL).await;
        say(Doomed::COMMITTING, "");
        std::future::pending::<()>().await;
    };
    let end = async {
        tokio::select! { end = wrote => end, () = halt => Ok(()) }
    };
    timeout(LIFE, end).await.unwrap_or(Ok(()))
}

/// A line at once, whole. A reader that is gone has killed us, or will.
fn say(what: &str, text: &str) {
    let _ = writeln!(io::stdout(), "{what}{text}");
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::scratch::Flaw;
    use std::env;

    /// In the environment of a writer with a flaw.
    pub const HASTY: &str = "AGENTD_TEST_HASTY_WRITER";
    /// This test, which is the writer's program where the tests are the only binary there is.
    pub const PROGRAM: &str = "store::proof::crash::tests::the_writer_that_other_tests_kill";

    #[tokio::test]
    async fn the_writer_that_other_tests_kill() {
        let mut line = String::new();
        if env::var_os(HASTY).is_none() || io::stdin().read_line(&mut line).is_err() {
            return;
        }
        let doomed = serde_json::from_str(&line).expect("what it is told");
        let hasty = env::var(HASTY).is_ok_and(|hasty| hasty == "yes");
        let regime = if hasty { Flaw::HastyAcknowledgement.regime() } else { Regime::DURABLE };
        // Somebody who ends without a word takes it along.
        thread::spawn(|| {
            let _ = io::stdin().read_line(&mut String::new());
            std::process::exit(1);
        });
        write_under(doomed, regime).await.expect("it writes");
    }
}
