//! Who is calling, from facts of the kernel.
mod approvals;
mod identify;
mod keyring;
mod meter;
mod policy;
mod roles;
mod trail;

pub use approvals::Approvals;
pub use identify::{Directory, identify};
pub use keyring::Keyring;
pub use meter::{HourUsed, Meter, Penalty, QuotaStanding, Refusal};
pub use policy::{Names, Policy};
pub use roles::Roles;
pub use trail::Trail;
