//! One daemon per state directory: a lock that the kernel lets go of when the daemon dies, however it dies.
use crate::domain::{Fault, FaultKind};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

/// A killed daemon's child that was just being started holds the lock until its exec.
const PATIENCE: Duration = Duration::from_millis(500);

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub async fn take(path: &Path) -> Result<Self, Fault> {
        let failed = |error: io::Error| {
            Fault::new(FaultKind::Config, format!("cannot lock {}: {error}", path.display()))
                .hint("is the state directory yours to write? --state-dir names another")
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let wait = async {
            loop {
                match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Err(Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(10)).await,
                    other => return other.map_err(io::Error::from),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(taken) => taken.map_err(failed)?,
            Err(_held) => return Err(held(path, &mut file)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn held(path: &Path, file: &mut File) -> Fault {
    let mut text = String::new();
    let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    let directory = path.parent().unwrap_or(path).display();
    let who = holder.map_or_else(|| "another process".to_owned(), |pid| format!("pid {pid}"));
    Fault::new(FaultKind::Conflict, format!("cannot use {directory}: agentd runs there already as {who}"))
        .hint("`agentctl daemon status` shows it; --state-dir and --socket start a second one elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_daemon_is_refused_by_the_pid_of_the_first_until_that_is_gone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agentd.lock");
        let first = Lock::take(&path).await.expect("free");
        let fault = Lock::take(&path).await.expect_err("held");
        assert_eq!(fault.kind, FaultKind::Conflict);
        assert!(fault.message.contains(&format!("pid {}", std::process::id())), "{fault}");
        drop(first);
        Lock::take(&path).await.expect("free again, although the file is still there");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_a_fault_with_its_path() {
        let fault = Lock::take(Path::new("/nonexistent/agentd.lock")).await.expect_err("no directory");
        assert!(fault.message.contains("/nonexistent/agentd.lock"), "{fault}");
    }
}
