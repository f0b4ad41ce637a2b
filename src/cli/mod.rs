//! The terminal's side: asks the daemon, shows the answer, decides the exit code.
mod client;
mod completion;
mod confirm;
mod ctl;
mod exit;
mod follow;
mod output;
pub mod render;
mod table;
mod ui;

pub use client::Client;
pub use completion::names;
pub use confirm::confirm;
pub use ctl::{Ctl, Global};
pub use exit::{CliError, Exit};
pub use follow::follow;
pub use output::Output;
pub use table::{Table, cut, one_line};
pub use ui::{ColorChoice, Ui, escape};
