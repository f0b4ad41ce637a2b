//! What is measured over time: a look every ten seconds at the daemon, its store, the agents and their probes, kept in
//! the store and asked for by name, time and step. What was not seen is a gap: never 0, never drawn across.
mod answer;
mod book;
mod catalogue;
mod fit;
mod recorder;
mod requests;
mod service;
mod sights;
mod slope;
#[cfg(test)]
mod tests;

pub use answer::{Asked, Overview, Told, Trace, Used};
pub use catalogue::{Catalogued, METRICS, kinds};
pub use requests::Requests;
pub use service::{Metrics, MetricsParts};
pub use slope::{Slope, least_squares, slope};
