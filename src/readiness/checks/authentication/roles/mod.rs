//! Roles: what each may do in the applications and here, whose data it may see, and whom the file lets in.
mod application;
mod asking;
mod broad_roles;
mod clients;
mod default_principals;
#[cfg(test)]
mod fake_router;
mod fleet_roles;

#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "AU-010",
        title: "what the applications are told is what the roles say",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "the applications do what agentd allows: one wrong yes is a refund or a client's data given away",
        how: "all 18 permissions are asked for all 5 roles at POST /v1/auth/can of the daemon's own router over a scratch fleet, and held against a table written out apart; so are custom roles, clients of others, principals that nobody knows, requests that cannot be read and callers who may not ask; each answer must have left its row in the audit trail",
        fix: "this build decides wrongly: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| application::decided(evidence).boxed(),
    },
    Check {
        id: "AU-011",
        title: "every role reaches its routes, and nobody else reaches any",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "who can stop an agent or reload the policy is the operator, whatever the file calls them",
        how: "every route of the daemon's own router is asked over a scratch fleet by an admin, an operator and a viewer, by user and by group as a scratch [access] maps them, by a user whom it does not name, and as root by an agent's own uid; what may not must be refused and have left its row in the audit trail, what may must be let through",
        fix: "this build admits wrongly: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| fleet_roles::enforced(evidence).boxed(),
    },
    Check {
        id: "AU-012",
        title: "a client's data is there for its own and absent for all others",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "a row shown to the wrong caller cannot be taken back",
        how: "scratch rows of seven clients, with quotes, patterns and SQL for names, are listed, counted, found, changed, deleted and added by callers with every client, some, one, thousands, none; what really changed is asked of the table itself",
        fix: "this build mixes up clients: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| clients::kept_apart(evidence).boxed(),
    },
    Check {
        id: "AU-013",
        title: "no role in the applications may more than its work needs",
        category: Category::Authentication,
        severity: Severity::Major,
        weight: 1,
        why: "an agent that is talked into something does what its role lets it do",
        how: "the roles of the file are held against the seven permissions that only system has among those that ship, and the agents' roles against system itself",
        fix: "take what the evidence names out of the [[role]], or give the agent a narrower `role`; `agentctl auth role explain NAME` shows what each has",
        exercised: false,
        quiet: false,
        run: |evidence| broad_roles::narrow(evidence).boxed(),
    },
    Check {
        id: "AU-014",
        title: "[access] lets in somebody in particular",
        category: Category::Authentication,
        severity: Severity::Major,
        weight: 1,
        why: "an account that services share, or a group that everybody is in, makes an operator of whatever runs as that",
        how: "each user and group of [access] is held against this machine's: nobody, accounts of services, groups that are everybody's, group root, words meant for everybody, names that nobody bears",
        fix: "name people, or a group made for it, under [access]; then `agentctl config reload`",
        exercised: false,
        quiet: false,
        run: |evidence| default_principals::nobody_in_particular(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    application::SABOTEUR,
    broad_roles::SABOTEUR,
    clients::SABOTEUR,
    default_principals::SABOTEUR,
    fleet_roles::SABOTEUR,
];
