//! Who is calling, from facts of the kernel.
mod approvals;
mod flood;
mod identify;
mod keyring;
mod meter;
mod policy;
mod roles;
mod trail;

pub use approvals::Approvals;
pub use identify::{Directory, identify};
pub use keyring::Keyring;
pub use meter::Meter;
pub use policy::{Names, Policy};
pub use roles::Roles;
pub use trail::{Trail, outcome_of};
