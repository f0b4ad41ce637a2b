//! A small real agent, shipped in the binary: what the templates, quickstart, the tests and the readiness proofs run.
//! It is a program of its own, so it writes to its own stdout and stderr and decides its own exit status.
mod http;
mod lurker;
mod program;
mod rpc;
mod stdio;
mod trouble;

pub use lurker::{LURKER_LIFETIME, lurk};
pub use program::{Face, Program};
pub use trouble::{Crash, Trouble};
