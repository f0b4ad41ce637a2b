//! Rollouts: a candidate of one agent runs another release beside what is stable, is asked the same, and is promoted,
//! ended, or ends itself.
mod compare;
mod ending;
mod fit;
mod hold;
mod look;
mod promote;
mod service;
mod sides;
mod trial;

pub use hold::{FleetIsBusy, Hold, Paused, Sharing};
pub use promote::Promotion;
pub use service::{Beginning, Rollouts, RolloutsParts, Shown};
