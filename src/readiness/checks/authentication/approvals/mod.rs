//! Approvals: asked for, given and used through the daemon's own gate, over scratch fleets; and whether the fleet that
//! runs can get one at all.
mod agent;
mod apart;
mod exact;
mod person;
mod reach;
#[cfg(test)]
mod sabotage;
mod stage;

pub use agent::never;
pub use apart::refused;
pub use exact::once;
pub use person::another;
pub use reach::within_reach;

#[cfg(test)]
pub const SABOTEURS: &[crate::readiness::checks::Saboteur] =
    &[agent::SABOTEUR, exact::SABOTEUR, person::SABOTEUR, apart::SABOTEUR, reach::SABOTEUR];
