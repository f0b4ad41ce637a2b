//! Who is calling, from facts of the kernel.
mod identify;

pub use identify::{Directory, identify};
