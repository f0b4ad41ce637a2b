//! Configuration: what runs is what the file says; the loader refuses what it must; nothing in it is a placeholder.
mod loader;
mod manifest;
mod references;
mod thorough;
mod waivers;

pub use manifest::is_development;

use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "CF-001",
        title: "what runs is what the manifest says",
        category: Category::Configuration,
        severity: Severity::Blocker,
        weight: 3,
        why: "a fleet that runs yesterday's file is not the one that was reviewed",
        how: "the manifest is read again from the same sources; its digest must equal that of the settings in force",
        fix: "`agentctl config check`, then `agentctl config reload`",
        exercised: false,
        quiet: false,
        run: |evidence| manifest::in_force(evidence).boxed(),
    },
    Check {
        id: "CF-002",
        title: "an unknown key is refused by name",
        category: Category::Configuration,
        severity: Severity::Blocker,
        weight: 2,
        why: "a key that is parsed and ignored is a limit that is not there",
        how: "the daemon's own loader reads a scratch manifest with a misspelt key, which it must refuse with the nearest name, and the same manifest without it, which it must take",
        fix: "this build does not check its manifest: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| {
            loader::refuses(evidence, "restrat = { policy = \"never\" }", &["restrat", "restart"]).boxed()
        },
    },
    Check {
        id: "CF-003",
        title: "a duplicate key is refused",
        category: Category::Configuration,
        severity: Severity::Blocker,
        weight: 2,
        why: "of two values one is silently not in force",
        how: "the daemon's own loader reads a scratch manifest with a key given twice, which it must refuse, and the same manifest without it, which it must take",
        fix: "this build does not check its manifest: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| loader::refuses(evidence, "tier = \"a\"\ntier = \"b\"", &["tier"]).boxed(),
    },
    Check {
        id: "CF-004",
        title: "a secret written into the manifest is refused and not repeated",
        category: Category::Configuration,
        severity: Severity::Blocker,
        weight: 3,
        why: "manifests are committed, copied and shown; a secret in one is published",
        how: "the daemon's own loader reads a scratch manifest with an inline API key, which it must refuse without printing it, and the same with a reference, which it must take",
        fix: "this build does not check its manifest: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| loader::hides(evidence).boxed(),
    },
    Check {
        id: "CF-005",
        title: "every secret reference resolves",
        category: Category::Configuration,
        severity: Severity::Blocker,
        weight: 3,
        why: "a reference that leads nowhere is found when the agent is restarted at night",
        how: "each env:, file: and exec: reference of enabled agents and dependencies is resolved in the daemon and its value thrown away; a reference that leads nowhere must be refused",
        fix: "set the variable, file or program named in the evidence where the daemon runs",
        exercised: true,
        quiet: false,
        run: |evidence| references::resolve_all(evidence).boxed(),
    },
    Check {
        id: "CF-006",
        title: "contacts are people and not placeholders",
        category: Category::Configuration,
        severity: Severity::Major,
        weight: 2,
        why: "whoever is called at night must exist",
        how: "names and addresses under [contacts] are compared with what people write when they mean to fill it in later",
        fix: "write real names and addresses under [contacts] in agentd.toml",
        exercised: false,
        quiet: false,
        run: |evidence| async { thorough::contacts(&evidence.settings) }.boxed(),
    },
    Check {
        id: "CF-007",
        title: "agents have an owner, limits and a readiness probe",
        category: Category::Configuration,
        severity: Severity::Minor,
        weight: 1,
        why: "an agent that nobody owns, or that may take all memory, is an incident in waiting",
        how: "each enabled agent's entry in the manifest is read",
        fix: "add owner, limits = { memory = … } and a [[agent.probe]] to the agents named in the evidence",
        exercised: false,
        quiet: false,
        run: |evidence| async { thorough::agents(&evidence.settings) }.boxed(),
    },
    Check {
        id: "CF-008",
        title: "the environment has an overlay of its own",
        category: Category::Configuration,
        severity: Severity::Minor,
        weight: 1,
        why: "staging that is configured as development rehearses nothing",
        how: "the manifest is read with and without its environment; outside dev the two must differ in more than the name",
        fix: "add [environment.NAME] to agentd.toml with what differs there",
        exercised: false,
        quiet: false,
        run: |evidence| manifest::overlay(evidence).boxed(),
    },
    Check {
        id: "CF-020",
        title: "waivers are few and owned",
        category: Category::Configuration,
        severity: Severity::Major,
        weight: 2,
        why: "a fleet that is ready because everything is waived is not; and a waiver of nobody is never taken back",
        how: "the waivers in force are counted against `max_waivers` under [readiness], and each owner must be a key, a name or an address under [contacts]",
        fix: "mend what is waived and `agentctl waiver revoke` it; enter the owners under [contacts] in agentd.toml",
        exercised: false,
        quiet: false,
        run: |evidence| {
            waivers::few_and_owned(&evidence.store, &evidence.settings, evidence.judged_at).boxed()
        },
    },
];
