//! Metrics: looks as they come, folded by the hour into chunks of a series, and those into coarser ones.
mod bytes;
mod chunk;
mod fold;
mod keep;
mod look;
mod prune;
#[cfg(test)]
mod tests;
mod tick;
mod tier;

pub use fold::FoldedMetrics;
pub use keep::{Encoded, KeptSeries, LatencySince};
pub use tier::MetricTier;
