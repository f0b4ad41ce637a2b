//! The daemon: introduces the rooms, serves the endpoints, starts in order and stops in reverse.
mod app;
mod boot;
mod breakers;
mod core_dumps;
mod door;
mod gate;
mod lifecycle;
mod listen;
mod lock;
mod logging;
mod manifest;
mod notify;
mod rehearsal;
mod reload;
mod roster;
mod route;
mod safekeeping;
mod scratch_writer;
mod server;

pub use app::{App, Control};
pub use boot::{Plan, Running, boot, kinds};
pub use lifecycle::run;
pub use logging::Voice;
pub use reload::{Fresh, ReloadReport, Reread};
pub use route::{Body, Route};
pub use scratch_writer::write_until_killed;
