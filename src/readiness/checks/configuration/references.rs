//! Every secret reference of the manifest leads somewhere, and what stands there is a secret fit for its environment.
//! What is planted goes first, through the same resolver and the same judgement.
use super::manifest::is_development;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{Appraisal, appraise, resolve},
    domain::Fault,
    readiness::{
        Evidence, Found, Ground, Proof,
        check::settle,
        references::{self, Appraise, Followed, References, Use},
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

pub async fn resolve_all(evidence: &Evidence) -> Found {
    let planted = match nowhere(&evidence.ground).await {
        Ok(planted) => planted,
        Err(fault) => return fault.into(),
    };
    judge_references(&planted, evidence.references().await)
}

/// References that lead to no secret, each a way of its own, and whether the resolver refused it.
async fn nowhere(ground: &Ground) -> Result<Vec<(&'static str, bool)>, Fault> {
    let plot = ground.plot()?;
    let empty = plot.path().join("empty");
    fs::write(&empty, "\n").map_err(|error| Fault::internal(format!("cannot plant a file: {error}")))?;
    let ways = [
        ("a variable that is not set", format!("env:AGENTD_NOWHERE_{}", fastrand::u64(..))),
        ("a file that is not there", format!("file:{}", plot.path().join("none").display())),
        ("a file with nothing in it", format!("file:{}", empty.display())),
        ("a program that fails", "exec:/bin/false".into()),
        ("a program that says nothing", "exec:/bin/true".into()),
    ];
    let mut planted = Vec::new();
    for (what, reference) in ways {
        planted.push((what, resolve(&reference).await.is_err()));
    }
    Ok(planted)
}

/// What is asked of each secret.
#[derive(Clone, Copy)]
pub struct Question {
    /// What is planted, its name and whether it must be objected to.
    planted: fn() -> Vec<(&'static str, String, bool)>,
    objection: fn(&Appraisal, &str) -> Option<String>,
    good: &'static str,
    bad: &'static str,
    /// A warning in development, since nothing is at stake there.
    lenient: bool,
}

pub const PLACEHOLDER: Question = Question {
    planted: || {
        vec![
            ("`changeme`", "changeme".into(), true),
            ("`<your-key>`", "<your-key>".into(), true),
            ("a random secret", random("", 40), false),
        ]
    },
    objection: |found, _| found.placeholder.map(ToOwned::to_owned),
    good: "no secret is a placeholder",
    bad: "secrets are placeholders",
    lenient: true,
};

pub const STRENGTH: Question = Question {
    planted: || {
        vec![
            ("an eight-letter password", random("Aa1", 5), true),
            ("a common word with digits", "Password2026".into(), true),
            ("a random secret of 24 characters", random("", 24), false),
        ]
    },
    objection: |found, _| found.weak.clone(),
    good: "no secret can be guessed",
    bad: "secrets can be guessed",
    lenient: true,
};

pub const KIND: Question = Question {
    // The environment asked about is the one it runs in, so one of the two is always the wrong one.
    planted: Vec::new,
    objection: |found, environment| {
        let issued = found.issued?;
        let wanted = stage(environment)?;
        let kind = |live| if live { "live" } else { "test" };
        (issued.live != wanted).then(|| {
            format!(
                "it is a {} key ({}), and {environment} takes {} keys",
                kind(issued.live),
                issued.by,
                kind(wanted)
            )
        })
    },
    good: "every key is of the environment's kind",
    bad: "keys are of another environment's kind",
    lenient: false,
};

/// Planted secrets first, then those of the manifest.
pub async fn fit(evidence: &Evidence, question: Question) -> Found {
    let environment = &evidence.settings.environment;
    // The look at the real ones is shared by all who ask.
    let (planted, real) =
        tokio::join!(ask(&evidence.ground, question, environment, appraise), evidence.references());
    settle(planted.map(|proof| judge(proof, question, environment, real)))
}

/// As `fit`, where the environment's name says which kind of keys it takes.
pub async fn of_its_kind(evidence: &Evidence) -> Found {
    let environment = &evidence.settings.environment;
    if stage(environment).is_none() {
        return Found::not_applicable(format!(
            "the name {environment} does not say whether it takes live keys or test keys"
        ));
    }
    fit(evidence, KIND).await
}

/// Is it an environment of live keys (true) or of test keys? None where its name does not say.
fn stage(environment: &str) -> Option<bool> {
    const LIVE: &[&str] = &["production", "prod", "live"];
    const TEST: &[&str] = &[
        "dev",
        "development",
        "local",
        "staging",
        "stage",
        "test",
        "testing",
        "qa",
        "ci",
        "sandbox",
        "preview",
        "demo",
        "uat",
    ];
    let word = |words: &[&str]| environment.split(['-', '_', '.']).any(|part| words.contains(&part));
    // `pre-production`, `prod-test`: rather test than live.
    if word(TEST) || environment.starts_with("pre") { Some(false) } else { word(LIVE).then_some(true) }
}

fn random(prefix: &str, length: usize) -> String {
    prefix.to_owned() + &(0..length).map(|_| fastrand::alphanumeric()).collect::<String>()
}

/// Each planted secret is put in a file of its own and referred to as a manifest does.
async fn ask(
    ground: &Ground,
    question: Question,
    environment: &str,
    appraise: Appraise,
) -> Result<Proof, Fault> {
    let mut planted = (question.planted)();
    if planted.is_empty() {
        let live = stage(environment);
        planted.push(("a live key", random("sk_live_", 24), live == Some(false)));
        planted.push(("a test key", random("sk_test_", 24), live == Some(true)));
    }
    let plot = ground.plot()?;
    let mut references = References::new();
    for (at, (_, value, _)) in planted.iter().enumerate() {
        let file = plot.path().join(format!("secret-{at}"));
        fs::write(&file, value)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
            .map_err(|error| Fault::internal(format!("cannot plant a secret: {error}")))?;
        let uses = BTreeSet::from([Use { by: "planted".into(), key: "API_KEY".into() }]);
        references.insert(format!("file:{}", file.display()), uses);
    }
    let followed = references::follow(references, appraise).await;
    let mut proof = Proof::default();
    for ((what, _, objectionable), followed) in planted.iter().zip(&followed) {
        let found = followed.end.as_ref().map_err(|why| Fault::internal(why.clone()))?;
        let objected = (question.objection)(found, environment).is_some();
        let did = if objected { "objected to" } else { "not objected to" };
        proof.holds(objected == *objectionable, format!("planted: {what} was {did}"));
    }
    Ok(proof)
}

fn judge(mut proof: Proof, question: Question, environment: &str, real: &[Followed]) -> Found {
    let blind = proof.broken();
    let (mut bad, mut judged, mut unread) = (Vec::new(), 0, 0);
    for followed in real {
        // One that leads nowhere is another check's finding; here it is merely not judged.
        let Ok(found) = &followed.end else {
            unread += 1;
            continue;
        };
        judged += 1;
        if let Some(why) = (question.objection)(found, environment) {
            bad.push((followed, why));
        }
    }
    let count = bad.len();
    for (followed, why) in &bad {
        proof.holds(false, format!("{}: {why}", followed.named()));
    }
    let seen = format!("{judged} references of the manifest were judged, {unread} could not be read");
    let mut found = proof.judge(question.good).seen(seen);
    if count > 0 && !blind {
        found.summary = format!("{count} of {judged} {}", question.bad);
        if question.lenient && is_development(environment) {
            found.outcome = crate::domain::Outcome::Warn;
        }
    } else if unread > 0 && !blind {
        let summary =
            format!("{unread} references could not be read, so what stands behind them is not judged");
        found = Found { outcome: crate::domain::Outcome::Error, summary, ..found };
    }
    for (followed, why) in bad {
        // Never a value: the reference, and in which way it is wrong.
        found = found.about(format!("secret/{}", followed.reference), why);
    }
    found
}

fn judge_references(planted: &[(&str, bool)], tried: &[Followed]) -> Found {
    let mut proof = Proof::default();
    for (what, refused) in planted {
        let did = if *refused { "refused" } else { "taken" };
        proof.holds(*refused, format!("planted: a reference to {what} was {did}"));
    }
    let mut lost = Vec::new();
    for followed in tried {
        match &followed.end {
            Ok(_) => proof.holds(true, format!("{}: has a value", followed.named())),
            Err(why) => {
                lost.push((&followed.reference, why));
                proof.holds(false, format!("{}: {why}", followed.named()))
            }
        };
    }
    let found = proof.judge(format!("{} references resolve", tried.len()));
    lost.into_iter()
        .fold(found, |found, (reference, why)| found.about(format!("secret/{reference}"), why.as_str()))
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "CF-005",
        at_work: || {
            let broken = [
                ("a file that is gone", (true, vec!["there", "gone"])),
                ("a resolver that takes anything", (false, vec!["there"])),
            ];
            tried(resolved, (true, vec!["there"]), broken).boxed()
        },
    },
    Saboteur {
        of: "CF-009",
        at_work: || tampered(PLACEHOLDER, "production", || "<fill me in>".into()).boxed(),
    },
    Saboteur { of: "CF-010", at_work: || tampered(STRENGTH, "production", || "hunter22".into()).boxed() },
    Saboteur { of: "CF-011", at_work: || tampered(KIND, "staging", || random("rk_live_", 24)).boxed() },
];

#[cfg(test)]
async fn resolved(ground: &Ground, (refuses, names): (bool, Vec<&'static str>)) -> Found {
    let plot = ground.plot().expect("a plot");
    fs::write(plot.path().join("there"), "value").expect("written");
    let at = |name: &&str| (format!("file:{}", plot.path().join(name).display()), BTreeSet::new());
    let references = names.iter().map(at).collect();
    let planted = if refuses { nowhere(ground).await.expect("planted") } else { vec![("nothing", refuses)] };
    judge_references(&planted, &references::follow(references, appraise).await)
}

/// A judgement that is blind, one that objects to all, and a manifest with a bad secret in it.
#[cfg(test)]
async fn tampered(
    question: Question,
    environment: &'static str,
    bad: fn() -> String,
) -> crate::readiness::checks::Tried {
    let paranoid: Appraise = |_, _| Appraisal {
        placeholder: Some("so it is"),
        weak: Some("so it is".into()),
        issued: Some(crate::config::Issued { by: "anybody", live: true }),
    };
    let case = |appraise: Appraise, value| Case { question, environment, appraise, value };
    let broken = [
        ("a judgement that objects to nothing", case(|_, _| Appraisal::default(), random("", 30))),
        ("a judgement that objects to everything", case(paranoid, random("", 30))),
        ("a bad secret behind a reference of the manifest", case(appraise, bad())),
    ];
    tried(judged, case(appraise, random("", 30)), broken).await
}

#[cfg(test)]
struct Case {
    question: Question,
    environment: &'static str,
    appraise: Appraise,
    value: String,
}

#[cfg(test)]
async fn judged(ground: &Ground, case: Case) -> Found {
    let asked = async {
        let proof = ask(ground, case.question, case.environment, case.appraise).await?;
        let plot = ground.plot()?;
        let file = plot.path().join("real");
        fs::write(&file, &case.value).expect("written");
        let uses = BTreeSet::from([Use { by: "orders".into(), key: "API_KEY".into() }]);
        let references = References::from([(format!("file:{}", file.display()), uses)]);
        let real = references::follow(references, case.appraise).await;
        Ok(judge(proof, case.question, case.environment, &real))
    };
    let found = settle(asked.await);
    assert!(!format!("{found:?}").contains(&case.value), "the evidence repeats a secret: {found:?}");
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn environments_are_told_by_their_names() {
        for (name, live) in [
            ("production", Some(true)),
            ("eu-prod", Some(true)),
            ("staging", Some(false)),
            ("prod-test", Some(false)),
            ("preprod", Some(false)),
            ("eu-west", None),
        ] {
            assert_eq!(stage(name), live, "{name}");
        }
    }

    #[tokio::test]
    async fn a_placeholder_is_a_warning_in_development_and_what_cannot_be_read_is_no_pass() {
        let (_base, ground) = crate::readiness::checks::scratch_ground();
        let real = |end| {
            let uses = BTreeSet::from([Use { by: "orders".into(), key: "API_KEY".into() }]);
            vec![Followed { reference: "env:API_KEY".into(), uses, end }]
        };
        let bad = real(Ok(Appraisal { placeholder: Some("a word"), ..Appraisal::default() }));
        for (environment, real, outcome) in [
            ("dev", &bad, Outcome::Warn),
            ("staging", &bad, Outcome::Fail),
            ("staging", &real(Err("not set".into())), Outcome::Error),
            ("staging", &Vec::new(), Outcome::Pass),
        ] {
            let proof = ask(&ground, PLACEHOLDER, environment, appraise).await.expect("asked");
            let found = judge(proof, PLACEHOLDER, environment, real);
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert_eq!(
                found.affected.len(),
                usize::from(outcome == Outcome::Warn || outcome == Outcome::Fail)
            );
        }
    }
}
