//! Security: files, secrets, separation, the door, and what a child may do, each shown the opposite first.
mod confinement;
mod door;
mod files;
mod ownership;
mod secrets;
mod separation;

use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

#[cfg(test)]
pub const SABOTEURS: &[&[super::Saboteur]] = &[&[confinement::SABOTEUR, files::SABOTEUR]];

pub const CHECKS: &[Check] = &[
    Check {
        id: "SE-001",
        title: "the daemon's files are its own and closed to others",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "who can write the database or the manifest is the operator; who can read them knows the fleet",
        how: "owner and mode of state directory, database, runtime directory, socket, manifest, logs and every directory above them; a file with mode 0666 and an open directory are planted and must be objected to",
        fix: "chmod and chown what the evidence names; `agentctl doctor` checks it too",
        exercised: true,
        quiet: false,
        run: |evidence| files::closed(evidence).boxed(),
    },
    Check {
        id: "SE-002",
        title: "a secret reaches the agent it is for, and nothing else",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "what is in an argument list or a log is read by everybody on the machine",
        how: "a random secret is given by reference to one scratch agent of two: it must be in its environment, and not in the other's, in any argument list, log or database; nor may the daemon's own environment reach either",
        fix: "this build leaks secrets: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| secrets::kept(evidence).boxed(),
    },
    Check {
        id: "SE-003",
        title: "agents are separated from the operator",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "an agent with the operator's uid can approve what it proposes",
        how: "the kernel is asked for the uids and the cgroup of each instance; one that shares the daemon's uid, or is root, is a warning in development and fails elsewhere",
        fix: "run agentd as root so that agents get a uid each (user = \"auto\"): the systemd unit does",
        exercised: false,
        quiet: false,
        run: |evidence| separation::looked_at(evidence).boxed(),
    },
    Check {
        id: "SE-004",
        title: "a caller without permission is refused",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "a permission check that is always true passes every test but this one",
        how: "every served route's own gate is asked as viewer, operator, admin and agent: what a role may not do must be refused, what it may must not be",
        fix: "this build does not guard its routes: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| door::asked(evidence).boxed(),
    },
    Check {
        id: "SE-005",
        title: "a child cannot gain privileges, dump core or hold the daemon's descriptors",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 2,
        why: "a core file holds secrets, a setuid program lifts limits, an inherited descriptor opens the database",
        how: "the kernel is asked about a scratch agent (no_new_privs, core limit, open files), and about a plain child, for which the answer must differ",
        fix: "this build starts agents unconfined: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| confinement::proved(&evidence.ground, confinement::QUIET).boxed(),
    },
];
