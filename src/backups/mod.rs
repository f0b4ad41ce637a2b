//! The way back of the state: copies that are whole, encrypted where asked, verified, tried out, and kept as long as they
//! are wanted. It copies while everything runs; putting a copy in the place of the live state is for a room above.
mod drill;
mod dump;
mod inspect;
mod keep;
#[cfg(test)]
mod keep_tests;
mod lock;
mod make;
mod manifest;
mod outside;
mod put_back;
mod room;
mod schedule;
mod seal;
mod service;
mod shelf;
#[cfg(test)]
mod tests;
mod unpack;

pub use inspect::{Parse, inspect};
pub use lock::Lock;
pub use make::{Going, Wanted, make};
pub use outside::Program;
pub use put_back::{DatabaseFate, fates};
pub use service::{Backups, BackupsParts, Order, Progress, References, Tell};
pub use shelf::Shelf;
pub use unpack::unpack;
