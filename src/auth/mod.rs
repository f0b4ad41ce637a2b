//! Who is calling, from facts of the kernel.
mod approvals;
mod identify;
mod keyring;
mod meter;
mod policy;
mod roles;
mod token;
mod trail;

pub use approvals::Approvals;
pub use identify::{Directory, identify};
pub use keyring::{KeyRequest, Keyring, Refusal, Rotation, Why};
pub use meter::Meter;
pub use policy::{Names, Policy};
pub use roles::Roles;
pub use token::{TokenKind, checksum, mint};
pub use trail::Trail;
