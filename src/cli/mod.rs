//! The terminal's side: asks the daemon, shows the answer, decides the exit code.
mod client;
mod completion;
mod ctl;
mod exit;
mod follow;
mod output;
pub mod render;
mod ui;

pub use client::Client;
pub use completion::names;
pub use ctl::{Ctl, Global};
pub use exit::{CliError, Exit};
pub use follow::follow;
pub use output::Output;
pub use ui::{ColorChoice, Ui, escape};
