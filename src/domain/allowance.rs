//! What is left of a quota or a rate, as every answer says it.
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Requests in the whole of it.
    pub limit: u64,
    /// Requests left of it now.
    pub remaining: u64,
    /// Seconds until it is whole again, rounded up.
    pub reset_s: u64,
    /// Where one was refused: seconds after which another may be served, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}
