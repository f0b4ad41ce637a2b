//! The daemon: introduces the rooms, serves the endpoints, starts in order and stops in reverse.
mod app;
mod route;

pub use app::App;
pub use route::{Body, Route};
