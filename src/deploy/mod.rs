//! Checks releases before and after they are switched on, and can take them back.
pub mod checklist;
