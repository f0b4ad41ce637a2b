//! How the store fares, as status and readiness show it.
use serde::{Deserialize, Serialize};

/// Percentiles in milliseconds over what was recorded; all zero when `count` is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStats {
    pub sqlite_version: String,
    /// The file and its write-ahead log.
    pub file_bytes: u64,
    /// Open now.
    pub readers: u32,
    /// Of those, not reading.
    pub readers_idle: u32,
    pub readers_max: u32,
    /// Waiting for a reader, those who got none in time included.
    pub wait: Percentiles,
    /// Reading.
    pub query: Percentiles,
    /// From handing a write in to its commit.
    pub commit: Percentiles,
    /// Transactions.
    pub commits: u64,
    /// Operations in them that were kept: many share a transaction.
    pub writes: u64,
    /// Writes that wait now.
    pub write_queue: u32,
}
