//! Who is calling, from facts of the kernel.
mod approvals;
mod flood;
mod identify;
mod keyring;
mod meter;
mod policy;
mod roles;
mod token;
mod trail;

pub use approvals::Approvals;
pub use identify::{Directory, identify, still};
pub use keyring::{KeyRequest, Keyring, Refusal, Rotation, Why};
pub use meter::{HourUsed, Meter, Penalty, QuotaStanding, TurnedAway};
pub use policy::{Names, Policy};
pub use roles::{ApplicationRole, Decision, Grant, Granted, Reason, Roles};
pub use token::{TokenKind, checksum, mint};
pub use trail::{Trail, outcome_of};
