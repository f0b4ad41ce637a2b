//! Error handling: what happens when things fail, exercised against a local server that fails as it is told to.
#[cfg(test)]
use super::Saboteur;
use crate::readiness::Check;

pub const CHECKS: &[Check] = &[];

#[cfg(test)]
pub const SABOTEURS: &[&[Saboteur]] = &[];
