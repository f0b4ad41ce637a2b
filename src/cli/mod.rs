//! The terminal's side: asks the daemon, shows the answer, decides the exit code.
mod client;
mod completion;
mod confirm;
mod credentials;
mod ctl;
mod exit;
mod follow;
mod output;
pub mod render;
mod stops;
mod table;
mod ui;
mod when;

pub use client::Client;
pub use completion::names;
pub use confirm::confirm;
pub use credentials::{
    Credentials, KEY_VARIABLE, forget_session, keep_session, may_write_key, read_token, write_key,
};
pub use ctl::{Ctl, Global};
pub use exit::{CliError, Exit};
pub use follow::follow;
pub use output::Output;
pub use stops::Stops;
pub use table::{Table, cut, one_line};
pub use ui::{ColorChoice, Ui, escape};
pub use when::{When, day, when};
