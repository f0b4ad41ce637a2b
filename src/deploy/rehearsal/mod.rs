//! Rehearsals: a release is started beside the fleet, on a copy of the day's database and under ports of its own, looked
//! at, and taken away again. What could touch what is live is refused or left out, and said.
mod cast;
mod listens;
mod ports;
mod reach;
mod service;
mod stage;
mod stand;
mod steps;
mod tree;

pub use service::{RehearsalWish, Rehearsals};
pub use stand::{RehearsalParts, Stand};
pub use steps::rehearsal_steps;
