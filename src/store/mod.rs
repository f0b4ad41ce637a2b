//! The only room with SQL: one SQLite file, one writer, many readers. Domain types in and out.
mod error;
mod handle;

pub use error::{StoreError, StoreErrorKind};
pub use handle::Store;
