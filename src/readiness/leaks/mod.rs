//! Secrets and private keys in directory trees: by the form that an issuer gives them, by checksum where the form has
//! one, by entropy where only a name speaks for it. Says where and what, never the value.
mod entropy;
mod forms;
mod ignore;
mod walk;

pub use walk::{Bounds, Leak, SEARCHED, Searched, search};
