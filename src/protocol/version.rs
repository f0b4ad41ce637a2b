//! The version both ends send. Endpoints are only ever added under `/v1/`, so a mismatch shows as a 404 with a
//! hint and everything both know keeps working.

/// Raised when an endpoint is added.
pub const PROTOCOL: u32 = 1;
pub const PROTOCOL_HEADER: &str = "agentd-protocol";
