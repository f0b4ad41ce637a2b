//! Quotas, rates and penalties, asked for through the daemon's own router by scratch principals.
mod bounds;
mod exact;
#[cfg(test)]
mod metered;
mod outlives;
mod paced;
mod patient;
mod scene;

#[cfg(test)]
use crate::readiness::checks::Saboteur;

pub use bounds::bounded;
pub use exact::exact;
pub use outlives::outlives;
pub use paced::paced;
pub use patient::patient;

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] =
    &[bounds::SABOTEUR, exact::SABOTEUR, outlives::SABOTEUR, paced::SABOTEUR, patient::SABOTEUR];
