//! One child process from spawn to a verified end.
mod descriptors;
mod exec;
mod fifo;
#[cfg(test)]
mod fixture;
mod orphans;
mod process;
#[cfg(test)]
mod process_tests;
mod program;
mod stop;

pub use super::cgroup::Cgroup;
pub use descriptors::raise_open_files;
pub use fifo::{ensure_fifo, open_reader, open_writer};
pub use orphans::{become_subreaper, reap_orphans, report_strays};
pub use process::{Child, Ended, SpawnSpec, Stdin};
pub use stop::{Group, StopReport, sweep};
