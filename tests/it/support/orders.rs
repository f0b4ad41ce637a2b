//! The smallest fleet that has nothing to be found fault with: one agent, `orders`, in staging.
use super::{Daemon, becomes};

pub const ORDERS: &str = r#"
schema = 1
environment = "staging"
contacts.shop = { name = "Shop on-call", email = "oncall@shop.example" }

[[agent]]
name = "orders"
kind = "process"
tier = "core"
owner = "shop"
limits = { memory = "512MiB" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }
"#;

/// Its daemon, once it is ready.
pub fn orders() -> Daemon {
    let daemon = Daemon::start(ORDERS);
    becomes(&daemon, "orders", "ready");
    daemon
}
