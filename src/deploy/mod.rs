//! Releases and the ways between them: what one is made of, what must hold before it, and the way back.
pub mod checklist;
mod rehearsal;
mod releases;
mod steps;
mod ways;

pub use rehearsal::{RehearsalParts, RehearsalWish, Rehearsals, Stand, rehearsal_steps};
pub use releases::{
    AgentChange, AgentDiff, Before, Copied, Creation, Fresh, Preview, ReleaseDiff, ReleaseEntry, Releases,
    ReleasesParts, Reread, Verification,
};
pub use steps::{Hands, Reload, steps};
pub use ways::{Ways, WaysParts, Wish};
