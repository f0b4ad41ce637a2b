//! The audit trail: that what is changed and refused is in it, and that tampering with it is found.
mod chain;
#[cfg(test)]
mod clerk;
mod trail;

#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "AU-020",
        title: "what is changed, and what is refused, is in the audit trail",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "what nobody can be shown to have done, nobody answers for",
        how: "through the daemon's own gate, over a scratch fleet, a waiver is added, a viewer and a stranger are refused, a malformed key is shown, something missing is revoked: each must leave its row, with who, what and outcome, and a look must leave none",
        fix: "do not run this build: it changes things that its trail does not tell of; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| trail::effects(evidence).boxed(),
    },
    Check {
        id: "AU-021",
        title: "what happens outside the store has its intent before it and its outcome after",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 2,
        why: "a daemon that dies between an act and its record must leave a question, not a gap",
        how: "through the daemon's own gate a scratch agent is stopped, and one that is not there: both must leave an intent and, of the same request, what came of it",
        fix: "do not run this build: it acts before it writes; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| trail::outside_effects(evidence).boxed(),
    },
    Check {
        id: "AU-022",
        title: "tampering with an audit trail is found, and where",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "who may write the database may otherwise unsay what was done",
        how: "copies of a scratch trail are edited, robbed of a row, reordered, cut off, made anew without the key and with it, and robbed of an anchor; each must be found at its first row, and the copy that nobody touched must verify",
        fix: "do not run this build: its trail proves nothing; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| chain::tampering_is_found(&evidence.ground).boxed(),
    },
    Check {
        id: "AU-023",
        title: "the daemon's own audit trail is as it was written",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "a trail that was tampered with is worse than none: somebody had a reason",
        how: "every row is held against the key, the row before it and the anchors outside the database; this run's own row must be in it",
        fix: "`agentctl audit verify` says where; keep copies of agentd.db, audit.key and audit.anchors before anything else is done, and find out who could write there",
        exercised: false,
        quiet: false,
        run: |evidence| chain::live_is_whole(&evidence.store).boxed(),
    },
    Check {
        id: "AU-024",
        title: "the key of the audit trail is private, and its anchors are fresh",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 1,
        why: "who reads the key can write the trail anew; what is not anchored can be cut off unseen",
        how: "owner and mode of audit.key and audit.anchors; at most a hundred rows may be unanchored, and none for longer than a minute",
        fix: "`chmod 600` the key and let the daemon's user own both; look in `agentctl daemon logs` for why the trail was not anchored",
        exercised: false,
        quiet: false,
        run: |evidence| chain::key_and_anchors(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[&[Saboteur]] = &[chain::SABOTEURS, trail::SABOTEURS];
