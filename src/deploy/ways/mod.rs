//! Deployment and rollback: planned before anything is done, then carried out as an operation.
mod database;
mod plan;
mod service;

pub use plan::every_step;
pub use service::{FLEET, Ways, WaysParts, Wish};
