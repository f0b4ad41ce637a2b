//! What the tests of this room share: a specification that runs a shell, and looks at what came of it.
use super::{SpawnSpec, Stdin};
use crate::{agents::procfs, config::Limits};
use rustix::fd::OwnedFd;
use std::time::Duration;
use tempfile::TempDir;

/// A fleet of one instance in a directory of its own.
pub(super) struct Scene {
    pub dir: TempDir,
    pub spec: SpawnSpec,
    output: OwnedFd,
}

impl Scene {
    /// `/bin/sh -c script`.
    pub fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (stdout, stderr) = (dir.path().join("out"), dir.path().join("err"));
        super::ensure_fifo(&stdout).expect("a FIFO");
        let output = super::open_reader(&stdout).expect("its reader");
        let spec = SpawnSpec {
            instance: "orders/0".parse().expect("an instance"),
            argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())],
            workdir: Some(dir.path().to_owned()),
            limits: Limits::default(),
            user: None,
            cgroup: None,
            own_uid: None,
            stdin: Stdin::Null,
            stdout,
            stderr,
            fleet_id: dir.path().file_name().expect("a name").to_string_lossy().into_owned(),
        };
        Self { dir, spec, output }
    }

    /// Everything it has printed so far and nobody has read.
    pub fn printed(&self) -> String {
        let mut buffer = vec![0; 65536];
        let length = rustix::io::read(&self.output, &mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Waits for a file that the script writes when it is so far.
    pub async fn until(&self, file: &str) -> String {
        let path = self.dir.path().join(file);
        until(|| std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))).await;
        std::fs::read_to_string(path).expect("it is there")
    }

    pub fn marked(&self) -> usize {
        procfs::marked(&self.spec.fleet_id).len()
    }
}

/// Polls until it holds; ten seconds are a failure.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < end, "it never came to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
