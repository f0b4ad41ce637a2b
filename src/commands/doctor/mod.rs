//! Is this installation sound? Looks at the machine, at the files and at the daemon, and changes nothing.
mod installation;
mod item;
mod machine;
mod separation;
mod show;

pub use show::{Args, routes, run};
