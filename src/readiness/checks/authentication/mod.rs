//! Authentication: who may do what, exercised on scratch principals through the gate and the rooms that serve.
#[cfg(test)]
use super::Saboteur;
use crate::readiness::Check;

pub const CHECKS: &[Check] = &[];

#[cfg(test)]
pub const SABOTEURS: &[&[Saboteur]] = &[];
