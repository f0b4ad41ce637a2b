//! Releases and the ways between them: what one is made of, what must hold before it, and the way back.
pub mod checklist;
mod rehearsal;
mod releases;
mod rollout;
mod steps;
pub mod triggers;
mod ways;

pub use rehearsal::{RehearsalParts, RehearsalWish, Rehearsals, Stand, rehearsal_steps};
pub use releases::{
    AgentChange, AgentDiff, Before, Copied, Creation, Fresh, Preview, ReleaseDiff, ReleaseEntry, Releases,
    ReleasesParts, Reread, Verification,
};
pub use rollout::{
    Beginning, FleetIsBusy, Hold, Paused, Promotion, Rollouts, RolloutsParts, Sharing, Shown as ShownRollout,
};
pub use steps::{
    Hands, Making, RESTORE, Reload, backup_to_make, release_to_make, steps, title as step_title,
};
pub use ways::{Ways, WaysParts, Wish, every_step};
