//! Scratch ground: private copies in which controls are exercised. Nothing of it outlives the run: not a file, not a
//! process, whether a check ends well, panics, is cut off, or the daemon dies under it.
use super::survivors;
use crate::{
    agents::cgroup::CgroupTree, config::StoreSettings, domain::Fault, resilience::Clock, store::Store,
};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// In each plot that may have processes: what marks them.
pub(super) const MARK: &str = "fleet-id";
/// How often a plot that does not go is removed again, and how far apart.
const REMOVALS: u32 = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(10);
/// Where scratch copies are made, and who waits until the last is gone.
#[derive(Clone)]
pub struct Ground {
    base: PathBuf,
    clock: Clock,
    pub(super) open: TaskTracker,
}

/// One private directory, removed when dropped.
pub struct Plot {
    dir: TempDir,
}

impl Ground {
    pub fn new(base: impl Into<PathBuf>, clock: Clock) -> Self {
        Self { base: base.into(), clock, open: TaskTracker::new() }
    }

    /// Removes what a daemon that was killed in mid-run left behind, its processes first. Returns how many plots.
    pub fn sweep(&self) -> io::Result<usize> {
        let plots = match fs::read_dir(&self.base) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            plots => plots?,
        };
        let mut swept = 0;
        for plot in plots {
            let plot = plot?.path();
            if let Ok(mark) = fs::read_to_string(plot.join(MARK)) {
                survivors::kill_all(mark.trim())?;
                if let Some(cgroups) = CgroupTree::open(mark.trim()) {
                    cgroups.remove_empty();
                }
            }
            fs::remove_dir_all(&plot)?;
            swept += 1;
        }
        Ok(swept)
    }

    pub fn plot(&self) -> Result<Plot, Fault> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.base).and_then(|()| {
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir_in(&self.base)
        });
        made.map(|dir| Plot { dir }).map_err(|error| {
            Fault::internal(format!("cannot make scratch ground in {}: {error}", self.base.display()))
        })
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// A store of its own in a plot, opened as the daemon opens its own.
    pub async fn store(&self, plot: &Plot, settings: &StoreSettings) -> Result<Store, Fault> {
        let (path, backups) = (plot.path().join("scratch.db"), plot.path().join("backups"));
        let (settings, clock) = (settings.clone(), self.clock());
        blocking(move || Store::open(&path, &backups, &settings, clock).map_err(Fault::from)).await
    }

    /// Until it is dropped, the ground is not clear: for whoever may still start something on it.
    pub fn presence(&self) -> TaskTrackerToken {
        self.open.token()
    }

    /// Waits until everything scratch is gone; false if something still is not at the deadline.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.open.close();
        let gone = timeout(deadline, self.open.wait()).await.is_ok();
        // Only when it is empty: another ground may still stand on it.
        let _ = fs::remove_dir(&self.base);
        gone
    }
}

impl Drop for Plot {
    /// What still closes a file in it may leave one more behind just then, so it is tried again for a moment.
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(self.dir.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(BETWEEN_REMOVALS),
                _ => return,
            }
        }
    }
}

impl Plot {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Asks again until there is an answer; None at the deadline.
pub async fn poll<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Work that blocks, off the runtime's threads. A panic in it is a fault.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::internal(format!("cannot finish a look: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_private_and_goes_with_its_holder_even_in_a_panic() {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        let plot = ground.plot().expect("a plot");
        let path = plot.path().to_owned();
        assert_eq!(fs::metadata(&path).expect("the plot").permissions().mode() & 0o777, 0o700);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = plot;
            panic!("a check with a bug");
        }));
        assert!(panicked.is_err() && !path.exists(), "{} is left", path.display());
    }

    #[test]
    fn a_sweep_kills_what_a_dead_daemon_left_and_removes_its_files() {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path(), Clock::system());
        let mark = format!("sweep-test-{}", std::process::id());
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .env(survivors::VARIABLE, &mark)
            .spawn()
            .expect("a child");
        let plot = base.path().join("left");
        fs::create_dir(&plot).expect("a plot");
        fs::write(plot.join(MARK), &mark).expect("a mark");
        let seen = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            survivors::marked(&mark).expect("a look").len() == 1
        });
        assert!(seen, "the child is not seen by its mark");
        assert_eq!(ground.sweep().expect("a sweep"), 1);
        let status = child.wait().expect("its end");
        assert!(!status.success() && !plot.exists());
    }
}
