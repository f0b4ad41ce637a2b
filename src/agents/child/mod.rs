//! One child process from spawn to a verified end.
mod process;

pub use process::{Cgroup, Child, Ended, SpawnSpec, Stdin, StopReport};
