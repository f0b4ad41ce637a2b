//! Deployment and rollback: planned before anything is done, then carried out as an operation.
mod plan;
mod service;

pub use plan::every_step;
pub use service::{Ways, WaysParts, Wish};
