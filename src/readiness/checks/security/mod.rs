//! Security: files and programs, secrets, separation, the door, listeners, certificates, and what a child may do, each
//! shown the opposite first.
mod belongings;
mod confinement;
mod core_dumps;
mod door;
mod endpoints;
mod files;
mod leaks;
mod listeners;
mod ownership;
mod plaintext;
mod programs;
mod secrets;
mod separation;
mod tls;
mod trees;

pub use ownership::way_to;

use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

#[cfg(test)]
pub const SABOTEURS: &[&[super::Saboteur]] = &[&[
    belongings::SABOTEUR,
    confinement::SABOTEUR,
    core_dumps::SABOTEUR,
    door::SABOTEUR,
    files::SABOTEUR,
    leaks::SABOTEUR,
    listeners::SABOTEUR,
    plaintext::SABOTEUR,
    programs::SABOTEUR,
    secrets::SABOTEUR,
    separation::SABOTEUR,
    tls::SABOTEUR,
]];

pub const CHECKS: &[Check] = &[
    Check {
        id: "SE-001",
        title: "the daemon's files are its own and closed to others",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "who can write the database or the manifest is the operator; who can read them knows the fleet",
        how: "owner and mode of state directory, database, runtime directory, socket, manifest, each log, and every directory and link that leads there; sticky directories and a group of ours alone are fine; an open file, an open directory and a link in one are planted and must be objected to",
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
        how: "a random secret is given by reference to one scratch agent of two: it must be in its environment, and not in the other's, in any argument list, in the database, in an agent's log or the daemon's; two more agents that have it fail on purpose; nor may the daemon's own environment reach either",
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
        how: "every served route's own gate is asked as viewer, operator, admin and agent: what a role may not do must be refused, what it may must not be, and an agent may report and do nothing else",
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
    Check {
        id: "SE-006",
        title: "agents' directories are closed to others",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 2,
        why: "who can write what an agent runs from runs as that agent, with its secrets",
        how: "owner and mode of each agent's working directory, of its scripts, and of every directory and link that leads there: root, the daemon and, in its own directory, the agent itself; an open directory is planted and must be objected to",
        fix: "chmod and chown what the evidence names",
        exercised: true,
        quiet: false,
        run: |evidence| belongings::closed(evidence).boxed(),
    },
    Check {
        id: "SE-007",
        title: "no secret stands in agents' directories",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "a key in a source file is in every copy and every backup of it",
        how: "working directories and those of scripts are searched for issued keys by form, checksum and entropy, private keys, tokens, and passwords in URLs: the first MiB of every text file, links not followed; what is skipped is counted; planted ones must be found first, and look-alikes not. readiness.honor_ignore_files leaves out what ignore files name",
        fix: "move it to where a reference (env:, file:, exec:) leads, replace it, for it was seen; a sample in a library takes a waiver",
        exercised: true,
        quiet: false,
        run: |evidence| leaks::searched(evidence).boxed(),
    },
    Check {
        id: "SE-008",
        title: "nothing of the fleet listens beyond this machine unless it is declared",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "an agent on 0.0.0.0 is served to whoever finds it, past every gate",
        how: "TCP listeners from /proc/net are matched with the sockets of the daemon and of every process of the fleet; a listener of ours on every address is planted and must be seen, one on loopback must not",
        fix: "bind it to 127.0.0.1, or name the port in `exposes` of the agent",
        exercised: true,
        quiet: false,
        run: |evidence| listeners::declared(evidence).boxed(),
    },
    Check {
        id: "SE-009",
        title: "certificates of declared endpoints are believed, fit and hold",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 2,
        why: "a certificate lapses on a day that is known, and takes the fleet with it",
        how: "each https, wss and rediss URL of agents, probes and dependencies is asked for its certificate; chain, name and expiry are judged for the day of the run or of --as-of; within 14 days of its end it is a warning; a planted certificate must be taken, and refused for another name, a later day and an unknown issuer",
        fix: "renew the certificate, or correct the host, that the evidence names",
        exercised: true,
        quiet: false,
        run: |evidence| tls::holds(evidence).boxed(),
    },
    Check {
        id: "SE-010",
        title: "files of what runs are closed to others",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 2,
        why: "who can replace agentd or a program that it starts is root, or every agent, at the next start",
        how: "owner and mode of the running binary, of every library mapped into it, of agents' programs outside of their own directories, and of every directory and link that leads there; an open program is planted and must be objected to",
        fix: "chmod go-w and chown root what the evidence names",
        exercised: true,
        quiet: false,
        run: |evidence| programs::closed(evidence).boxed(),
    },
    Check {
        id: "SE-011",
        title: "a crash of the daemon writes no memory to a file",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 1,
        why: "secrets on their way to agents pass through the daemon's memory, and a core file would keep them",
        how: "the kernel is asked for the daemon's own core limit (0/0) and whether it may be dumped or read (it may not)",
        fix: "the daemon sets both at its start: `agentctl daemon logs` says why it could not",
        exercised: false,
        quiet: false,
        run: |evidence| core_dumps::off(evidence).boxed(),
    },
    Check {
        id: "SE-012",
        title: "nothing is sent to another machine in the clear",
        category: Category::Security,
        severity: Severity::Major,
        weight: 1,
        why: "whoever is on the way reads and changes what is not encrypted, credentials included",
        how: "scheme, host and sslmode of each URL of agents, probes and dependencies are read, references included; http, postgres and redis without TLS to anything but this machine is a warning in development and fails elsewhere",
        fix: "use https, rediss or sslmode=verify-full, or a tunnel that ends on this machine",
        exercised: false,
        quiet: false,
        run: |evidence| plaintext::none(evidence).boxed(),
    },
];
