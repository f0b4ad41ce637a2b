//! Is this fleet ready to ship? Runs the checks, follows them, shows the report; the verdict decides the exit code.
mod args;
mod baseline;
mod brief;
mod cancel;
mod conduct;
mod deliver;
mod diff;
mod ephemeral;
mod serve;
mod which;

pub use args::Args;
pub(super) use conduct::follow_run;
pub use conduct::run;
pub use deliver::Files;
pub use serve::routes;
pub use serve::{Runs, Started, last_finished};
pub use which::Which;
