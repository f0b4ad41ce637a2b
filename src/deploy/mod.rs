//! Releases and the ways between them: what one is made of, what must hold before it, and the way back.
mod releases;

pub use releases::{
    AgentChange, AgentDiff, Before, Copied, Creation, Fresh, Preview, ReleaseDiff, ReleaseEntry, Releases,
    ReleasesParts, Reread, Verification,
};
