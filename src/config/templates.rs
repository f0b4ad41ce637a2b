//! Manifests to start from: the fleets of the documents, and the smallest one. Each passes `config check` as it is.

#[derive(Debug)]
pub struct Template {
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    pub text: &'static str,
}

pub const TEMPLATES: &[Template] = &[
    Template {
        name: "minimal",
        about: "one agent that serves HTTP, to start from",
        text: include_str!("templates/minimal.toml"),
    },
    Template {
        name: "bookedbarber",
        about: "a booking platform: 8 agents",
        text: include_str!("templates/bookedbarber.toml"),
    },
    Template {
        name: "support",
        about: "a support platform: 224 agents in four tiers",
        text: include_str!("templates/support.toml"),
    },
    Template {
        name: "ecommerce",
        about: "an online shop: 16 services in four tiers",
        text: include_str!("templates/ecommerce.toml"),
    },
    Template {
        name: "holistic",
        about: "a wellness coach: 6 agents, an orchestrator before the rest",
        text: include_str!("templates/holistic.toml"),
    },
];
