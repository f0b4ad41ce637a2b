//! Authentication: who may do what, exercised on scratch principals through the gate and the rooms that serve.
mod approvals;
mod audit;
mod keys;
mod quotas;
mod roles;

use crate::readiness::Check;

pub const CHECKS: &[&[Check]] =
    &[keys::CHECKS, roles::CHECKS, audit::CHECKS, quotas::CHECKS, approvals::CHECKS];

#[cfg(test)]
pub const SABOTEURS: &[&[super::Saboteur]] = &[
    keys::SABOTEURS,
    roles::SABOTEURS,
    audit::SABOTEURS[0],
    audit::SABOTEURS[1],
    quotas::SABOTEURS,
    approvals::SABOTEURS,
];
