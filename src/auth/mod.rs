//! Who is calling, from facts of the kernel.
mod identify;
mod policy;

pub use identify::{Directory, identify};
pub use policy::{Names, Policy};
