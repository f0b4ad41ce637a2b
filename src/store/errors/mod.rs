//! Failures by group: added in batches, read with their history, changed by whoever sees to them.
mod change;
mod keep;
mod look;
#[cfg(test)]
mod tests;

pub use keep::ErrorBounds;
