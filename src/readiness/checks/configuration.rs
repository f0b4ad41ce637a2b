//! Configuration: what runs is what the file says; the loader refuses what it must; nothing in it is a placeholder.
use crate::{
    agents::Supervisor,
    config::{AgentSettings, Contact, Kinds, Settings, Sources, is_reference, load, resolve},
    domain::{Category, Fault, ProbeRole, Severity},
    health::Monitor,
    readiness::{Check, Evidence, Found, Proof, proof::blocking},
};
use futures_util::{FutureExt, future::join_all};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

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
        deadline: None,
        quiet: false,
        run: |evidence| in_force(evidence).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| {
            planted(evidence, "restrat = { policy = \"never\" }", &["restrat", "restart"]).boxed()
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
        deadline: None,
        quiet: false,
        run: |evidence| planted(evidence, "tier = \"a\"\ntier = \"b\"", &["tier"]).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| inline_secret(evidence).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| references(evidence).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| async { contacts(&evidence.settings) }.boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| async { thoroughness(&evidence.settings) }.boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| overlay(evidence).boxed(),
    },
];

async fn in_force(evidence: &Evidence) -> Found {
    let reread = evidence.reread.clone();
    let source = match &evidence.config_file {
        Some(path) => path.display().to_string(),
        None => "defaults and variables alone: there is no file".into(),
    };
    let on_disk = blocking(move || reread()).await;
    judge_in_force(on_disk, &evidence.config_digest).seen(format!("source: {source}"))
}

fn judge_in_force(on_disk: Result<String, Fault>, running: &str) -> Found {
    match on_disk {
        Ok(digest) if digest == running && !running.is_empty() => {
            Found::pass("the manifest on disk is what runs").seen(format!("digest {running}"))
        }
        Ok(digest) => Found::fail("the manifest on disk is not what runs")
            .seen(format!("on disk {digest}"))
            .seen(format!("running {running}")),
        Err(fault) => Found::fail(format!("the manifest on disk does not hold: {fault}")),
    }
}

const SOUND: &str = "schema = 1\n[[agent]]\nname = \"planted\"\nkind = \"process\"\n\
    options = { command = [\"/bin/true\"], environment = { API_KEY = \"env:API_KEY\" } }\n";

/// The sound manifest must be taken; with `wrong` in its agent it must be refused, in words that hold all of `naming`.
async fn planted(evidence: &Evidence, wrong: &'static str, naming: &'static [&'static str]) -> Found {
    let plot = match evidence.ground.plot() {
        Ok(plot) => plot,
        Err(fault) => return fault.into(),
    };
    let bad = SOUND.replace("kind =", &format!("{wrong}\nkind ="));
    exercise_loader(plot.path().to_owned(), bad, naming, None).await
}

async fn inline_secret(evidence: &Evidence) -> Found {
    let plot = match evidence.ground.plot() {
        Ok(plot) => plot,
        Err(fault) => return fault.into(),
    };
    // Made up here and now, in the form of a real one, so that no scanner finds one in our source.
    let secret = format!("sk-ant-api03-{}", (0..40).map(|_| fastrand::alphanumeric()).collect::<String>());
    let bad = SOUND.replace("env:API_KEY", &secret);
    exercise_loader(plot.path().to_owned(), bad, &["API_KEY"], Some(secret)).await
}

async fn exercise_loader(
    dir: std::path::PathBuf,
    bad: String,
    naming: &'static [&'static str],
    hidden: Option<String>,
) -> Found {
    let told = blocking(move || {
        let read = |name: &str, text: &str| -> Result<Option<String>, Fault> {
            let path = dir.join(name);
            fs::write(&path, text)
                .map_err(|error| Fault::internal(format!("cannot write a scratch manifest: {error}")))?;
            Ok(refusal(&path))
        };
        Ok((read("sound.toml", SOUND)?, read("wrong.toml", &bad)?))
    })
    .await;
    match told {
        Ok((sound, wrong)) => judge_loader(sound, wrong, naming, hidden.as_deref()),
        Err(fault) => fault.into(),
    }
}

/// What the loader says against a manifest; None if it takes it.
fn refusal(path: &Path) -> Option<String> {
    let kinds = Kinds { agents: Supervisor::kinds(), probes: Monitor::kinds() };
    load(&Sources::file(path), &kinds).err().map(|problems| problems.render(false))
}

fn judge_loader(
    sound: Option<String>,
    wrong: Option<String>,
    naming: &[&str],
    hidden: Option<&str>,
) -> Found {
    let mut proof = Proof::default();
    match sound {
        None => proof.holds(true, "the sound manifest was taken"),
        Some(said) => proof.holds(false, format!("the sound manifest was refused: {said}")),
    };
    match wrong {
        None => proof.holds(false, "the wrong manifest was taken"),
        Some(said) => {
            let leaked = hidden.is_some_and(|secret| said.contains(secret));
            let shown = if leaked { "(withheld)".into() } else { said.clone() };
            proof.holds(true, format!("the wrong manifest was refused: {shown}"));
            let named = naming.iter().all(|name| said.contains(name));
            proof.holds(
                named,
                format!(
                    "the refusal {} {}",
                    if named { "names" } else { "does not name" },
                    naming.join(" and ")
                ),
            );
            proof.holds(
                !leaked,
                if leaked { "the refusal prints the secret" } else { "the refusal prints no secret" },
            )
        }
    };
    proof.judge("the loader refused the wrong manifest and took the sound one")
}

async fn references(evidence: &Evidence) -> Found {
    let mut references = BTreeSet::new();
    for agent in evidence.settings.agents.iter().filter(|agent| agent.enabled) {
        collect(&agent.options, &mut references);
        for probe in &agent.probes {
            collect(&probe.options, &mut references);
        }
    }
    for dependency in &evidence.settings.dependencies {
        collect(&dependency.options, &mut references);
    }
    let nowhere = format!("env:AGENTD_NOWHERE_{}", fastrand::u64(..));
    let refused = resolve(&nowhere).await.is_err();
    let tried = join_all(references.into_iter().map(|reference| async move {
        let why = resolve(&reference).await.err().map(|fault| fault.to_string());
        (reference, why)
    }))
    .await;
    judge_references(refused, &tried)
}

fn judge_references(nowhere_refused: bool, tried: &[(String, Option<String>)]) -> Found {
    let mut proof = Proof::default();
    proof.holds(
        nowhere_refused,
        format!("a reference to nothing was {}", if nowhere_refused { "refused" } else { "taken" }),
    );
    for (reference, why) in tried {
        match why {
            None => proof.holds(true, format!("{reference}: has a value")),
            Some(why) => proof.holds(false, format!("{reference}: {why}")),
        };
    }
    proof.judge(format!("{} references resolve", tried.len()))
}

/// Every text in `options` that is a reference.
fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_reference(text) => {
            into.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
}

fn contacts(settings: &Settings) -> Found {
    if settings.contacts.is_empty() {
        return Found::warn("there is nobody under [contacts]");
    }
    let doubtful: Vec<String> = settings
        .contacts
        .iter()
        .filter_map(|(key, contact)| placeholder(contact).map(|why| format!("{key}: {why}")))
        .collect();
    match doubtful.first() {
        None => Found::pass(format!("{} contacts have a name and an address", settings.contacts.len())),
        Some(first) => Found::fail(format!(
            "{} of {} contacts are placeholders: {first}",
            doubtful.len(),
            settings.contacts.len()
        ))
        .all_seen(doubtful),
    }
}

fn placeholder(contact: &Contact) -> Option<String> {
    const WORDS: &[&str] = &["todo", "tbd", "fixme", "changeme", "placeholder", "xxx", "lorem"];
    const PHRASES: &[&str] = &["contact info", "change-me", "change_me", "your name", "your-name", "n/a"];
    let unfinished = |text: &str| {
        let lower = text.trim().to_lowercase();
        lower.is_empty()
            || lower.starts_with(['[', '<', '{'])
            || lower.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
            || PHRASES.iter().any(|phrase| lower.contains(phrase))
    };
    if unfinished(&contact.name) {
        return Some(format!("the name is `{}`", contact.name));
    }
    let address = contact.email.trim();
    let well_formed = address.split_once('@').is_some_and(|(who, host)| {
        !who.is_empty()
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
            && !address.contains(char::is_whitespace)
    });
    (unfinished(address) || !well_formed).then(|| format!("the address is `{address}`"))
}

fn thoroughness(settings: &Settings) -> Found {
    let agents: Vec<&AgentSettings> = settings.agents.iter().filter(|agent| agent.enabled).collect();
    if agents.is_empty() {
        return Found::not_applicable("the manifest enables no agent");
    }
    let lacking: Vec<String> = agents
        .iter()
        .filter_map(|agent| {
            let remote = agent.kind == "http";
            let lacks = [
                (agent.owner.is_none(), "an owner"),
                (!remote && agent.limits.memory.is_none(), "a memory limit"),
                (
                    !agent.probes.iter().any(|p| p.role == ProbeRole::Readiness) && agent.kind != "process",
                    "a readiness probe of its own",
                ),
            ];
            let lacks: Vec<&str> =
                lacks.into_iter().filter_map(|(lacks, what)| lacks.then_some(what)).collect();
            (!lacks.is_empty())
                .then(|| format!("{} has no {}", agent.name, lacks.join(", no ").replace("no an ", "no ")))
        })
        .collect();
    if lacking.is_empty() {
        return Found::pass(format!("all {} agents have them", agents.len()));
    }
    Found::warn(format!("{} of {} agents lack some of it", lacking.len(), agents.len()))
        .all_seen(lacking.into_iter().take(30))
}

async fn overlay(evidence: &Evidence) -> Found {
    let name = evidence.settings.environment.clone();
    if is_development(&name) {
        return Found::not_applicable(format!("{name} is a development environment"));
    }
    let Some(path) = evidence.config_file.clone() else {
        return Found::warn(format!("{name} has no manifest, so it runs on defaults"));
    };
    let loaded = blocking(move || {
        let kinds = Kinds { agents: Supervisor::kinds(), probes: Monitor::kinds() };
        load(&Sources::file(&path), &kinds)
            .map(|loaded| loaded.environments().to_vec())
            .map_err(|problems| Fault::internal(problems.headline()))
    })
    .await;
    match loaded {
        Ok(known) if known.contains(&name) => Found::pass(format!("[environment.{name}] is in the manifest"))
            .seen(format!("overlays: {}", known.join(", "))),
        Ok(known) => Found::warn(format!("there is no [environment.{name}] in the manifest"))
            .seen(format!("overlays: {}", known.join(", "))),
        Err(fault) => fault.into(),
    }
}

/// Environments in which what is a gate elsewhere is a warning.
pub fn is_development(environment: &str) -> bool {
    matches!(environment, "dev" | "development" | "local")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn drift_and_a_broken_file_are_found() {
        assert_eq!(judge_in_force(Ok("a".into()), "a").outcome, Outcome::Pass);
        assert_eq!(judge_in_force(Ok("b".into()), "a").outcome, Outcome::Fail);
        assert_eq!(judge_in_force(Ok(String::new()), "").outcome, Outcome::Fail, "no digest is no evidence");
        assert_eq!(judge_in_force(Err(Fault::internal("cannot read it")), "a").outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn the_real_loader_refuses_what_is_planted_and_a_lax_one_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let try_out = |wrong: &str, naming, hidden: Option<String>| {
            exercise_loader(
                dir.path().to_owned(),
                SOUND.replace("kind =", &format!("{wrong}\nkind =")),
                naming,
                hidden,
            )
        };
        for (wrong, naming, outcome) in [
            ("restrat = { policy = \"never\" }", &["restrat", "restart"][..], Outcome::Pass),
            ("tier = \"a\"\ntier = \"b\"", &["tier"], Outcome::Pass),
            ("tier = \"a\"", &["tier"], Outcome::Fail),
            ("restrat = 1", &["a word that it does not say"], Outcome::Fail),
        ] {
            let found = try_out(wrong, naming, None).await;
            assert_eq!(found.outcome, outcome, "{wrong}: {found:?}");
        }
        let secret = "sk-ant-api03-AbCdEfGh1234567890AbCdEfGh1234567890".to_owned();
        let bad = SOUND.replace("env:API_KEY", &secret);
        let found = exercise_loader(dir.path().to_owned(), bad, &["API_KEY"], Some(secret.clone())).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        assert!(!format!("{found:?}").contains(&secret));
        let leaky = judge_loader(None, Some(format!("API_KEY = {secret}")), &["API_KEY"], Some(&secret));
        assert_eq!(leaky.outcome, Outcome::Fail);
        assert!(!format!("{leaky:?}").contains(&secret), "the evidence repeats the secret");
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_found() {
        let tried = |why: Option<&str>| vec![("env:KEY".to_owned(), why.map(ToOwned::to_owned))];
        assert_eq!(judge_references(true, &[]).outcome, Outcome::Pass);
        assert_eq!(judge_references(true, &tried(None)).outcome, Outcome::Pass);
        assert_eq!(judge_references(true, &tried(Some("not set"))).outcome, Outcome::Fail);
        assert_eq!(
            judge_references(false, &tried(None)).outcome,
            Outcome::Fail,
            "a resolver that takes anything"
        );
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        let mut found = BTreeSet::new();
        let options = serde_json::json!({ "a": ["env:A", "b"], "c": { "d": "file:/e", "f": 1 } });
        collect(&options, &mut found);
        assert!(found.iter().map(String::as_str).eq(["env:A", "file:/e"]));
    }

    #[test]
    fn placeholders_are_told_from_people() {
        let contact = |name: &str, email: &str| Contact { name: name.into(), email: email.into() };
        for (name, email) in [
            ("[Contact Info]", "a@b.example"),
            ("", "a@b.example"),
            ("TODO", "a@b.example"),
            ("Platform", "changeme"),
            ("Platform", "changeme@shop.example"),
            ("Platform", "a@b"),
            ("Platform", "<your email>"),
            ("Platform", ""),
        ] {
            assert!(
                placeholder(&contact(name, email)).is_some(),
                "{name:?} {email:?} was taken for a person"
            );
        }
        for (name, email) in
            [("Platform on-call", "oncall@shop.example"), ("Xi Todorov", "x.todorov@shop.example")]
        {
            assert_eq!(placeholder(&contact(name, email)), None, "{name:?}");
        }
    }
}
