//! Who may do what at agentd itself: users and groups of this machine, and the role that each list gives.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may do what, by Unix user and group. Root and the daemon's own user are always admin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AccessSettings {
    /// User names or numbers.
    pub admin_users: Vec<String>,
    pub operator_users: Vec<String>,
    pub viewer_users: Vec<String>,
    /// Group names or numbers; the primary group of the caller counts, as the kernel reports it.
    pub admin_groups: Vec<String>,
    pub operator_groups: Vec<String>,
    pub viewer_groups: Vec<String>,
    /// The group that the socket belongs to, so that its members may connect.
    pub socket_group: Option<String>,
}
