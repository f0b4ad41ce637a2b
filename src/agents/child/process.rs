//! A child in a process group of its own, watched through its pidfd, stopped until nothing of it is left.
use crate::{
    config::Limits,
    domain::{Fault, InstanceId},
};
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// The cgroup of one instance, where the machine allows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(pub PathBuf);

#[derive(Clone, Debug)]
pub enum Stdin {
    Null,
    /// The request channel of a `process` agent, opened read-write.
    Fifo(PathBuf),
}

/// Everything a child is started with; nothing else reaches it.
#[derive(Clone, Debug)]
pub struct SpawnSpec {
    pub instance: InstanceId,
    /// Program and arguments; found in the PATH of `environment`.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited. The marker (`AGENTD_FLEET`, `AGENTD_INSTANCE`) is added by spawn.
    pub environment: Vec<(OsString, OsString)>,
    pub workdir: Option<PathBuf>,
    pub limits: Limits,
    /// uid and gid to run as.
    pub user: Option<(u32, u32)>,
    pub cgroup: Option<Cgroup>,
    pub stdin: Stdin,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    pub fleet_id: String,
}

/// How it ended; both none when it was adopted and nobody could see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

/// What a stop took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    pub terms: u32,
    pub killed: u32,
    /// Processes still alive afterwards: 0, or the stop failed.
    pub survivors: u32,
}

/// A living child, ours or adopted.
pub struct Child {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat.
    pub pid_start: u64,
    pub adopted: bool,
}

#[allow(unused_variables, clippy::unused_async)]
impl Child {
    pub fn spawn(spec: &SpawnSpec) -> Result<Self, Fault> {
        todo!()
    }
    /// The same process as recorded, if it still lives.
    pub fn adopt(pid: i32, pid_start: u64, boot_id: &str, cgroup: Option<Cgroup>) -> Option<Self> {
        todo!()
    }
    /// Until the main process ends. Cancel safe.
    pub async fn wait(&mut self) -> Ended {
        todo!()
    }
    /// TERM to the group and every descendant → verify → TERM at half time → KILL at the end; returns when nothing
    /// of the instance is alive, double forks included.
    pub async fn stop(&mut self, timeout: Duration) -> StopReport {
        todo!()
    }
}
