//! Scratch manifests with one thing wrong are put before the daemon's own loader.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{Kinds, Sources, load},
    domain::Fault,
    readiness::{Found, Ground, Proof, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{fs, path::Path};

/// What a loader says against a manifest; None if it takes it.
pub type Loader = fn(&Path) -> Option<String>;

/// A manifest that must be refused, beside one that must be taken.
pub struct Planted {
    pub sound: String,
    pub wrong: String,
    /// What the refusal must name.
    pub naming: &'static [&'static str],
    /// What it must not repeat.
    pub hidden: Option<String>,
}

pub fn unknown_key() -> Planted {
    with_key("restrat = { policy = \"never\" }", &["restrat", "restart"])
}

pub fn duplicate_key() -> Planted {
    with_key("tier = \"a\"\ntier = \"b\"", &["tier"])
}

pub fn inline_secret() -> Planted {
    // Made up here and now, in the form of a real one, so that no scanner finds one in our source.
    let secret = format!("sk-ant-api03-{}", (0..40).map(|_| fastrand::alphanumeric()).collect::<String>());
    let wrong = SOUND.replace("env:API_KEY", &secret);
    Planted { sound: SOUND.into(), wrong, naming: &["API_KEY"], hidden: Some(secret) }
}

/// The daemon's own loader must take the sound one and refuse the wrong one.
pub async fn tells(ground: &Ground, planted: Planted) -> Found {
    settle(exercise(ground, planted, refusal).await.map(judge))
}

/// What the daemon's own loader says.
pub fn refusal(path: &Path) -> Option<String> {
    load(&Sources::file(path), &kinds()).err().map(|problems| problems.render(false))
}

pub fn kinds() -> Kinds {
    crate::readiness::kinds()
}

/// Puts both before the loader and says what it did.
pub async fn exercise(ground: &Ground, planted: Planted, loader: Loader) -> Result<Proof, Fault> {
    let plot = ground.plot()?;
    blocking(move || {
        let read = |name: &str, text: &str| -> Result<Option<String>, Fault> {
            let path = plot.path().join(name);
            fs::write(&path, text)
                .map_err(|error| Fault::internal(format!("cannot write a scratch manifest: {error}")))?;
            Ok(loader(&path))
        };
        let (sound, wrong) = (read("sound.toml", &planted.sound)?, read("wrong.toml", &planted.wrong)?);
        Ok(weigh(sound, wrong, planted.naming, planted.hidden.as_deref()))
    })
    .await
}

const SOUND: &str = "schema = 1\n[[agent]]\nname = \"planted\"\nkind = \"process\"\n\
    options = { command = [\"/bin/true\"], environment = { API_KEY = \"env:API_KEY\" } }\n";

fn with_key(line: &str, naming: &'static [&'static str]) -> Planted {
    let wrong = SOUND.replace("kind =", &format!("{line}\nkind ="));
    Planted { sound: SOUND.into(), wrong, naming, hidden: None }
}

fn weigh(sound: Option<String>, wrong: Option<String>, naming: &[&str], hidden: Option<&str>) -> Proof {
    let mut proof = Proof::default();
    let leaks = |said: &String| hidden.is_some_and(|secret| said.contains(secret));
    let shown = |said: &String| if leaks(said) { "(withheld)".into() } else { said.clone() };
    match &sound {
        None => proof.holds(true, "the sound manifest was taken"),
        Some(said) => proof.holds(false, format!("the sound manifest was refused: {}", shown(said))),
    };
    let Some(said) = wrong else {
        proof.holds(false, "the wrong manifest was taken");
        return proof;
    };
    let leaked = leaks(&said);
    proof.holds(true, format!("the wrong manifest was refused: {}", shown(&said)));
    let named = naming.iter().all(|name| said.contains(name));
    let names = if named { "names" } else { "does not name" };
    proof.holds(named, format!("the refusal {names} {}", naming.join(" and ")));
    if hidden.is_some() {
        let prints = if leaked { "the refusal prints the secret" } else { "the refusal prints no secret" };
        proof.holds(!leaked, prints);
    }
    proof
}

fn judge(proof: Proof) -> Found {
    proof.judge("the loader refused the wrong manifest and took the sound one")
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur { of: "CF-002", at_work: || tampered(unknown_key).boxed() },
    Saboteur { of: "CF-003", at_work: || tampered(duplicate_key).boxed() },
    Saboteur { of: "CF-004", at_work: || tampered(inline_secret).boxed() },
];

#[cfg(test)]
async fn tampered(plant: fn() -> Planted) -> crate::readiness::checks::Tried {
    let mut broken: Vec<(_, Case)> = vec![
        ("a loader that takes everything", (|_| None, plant)),
        ("a loader that refuses everything", (|_| Some("restrat restart tier API_KEY".into()), plant)),
        ("a loader that does not say what is wrong", (|path| refusal(path).map(|_| "no".into()), plant)),
        ("a loader that never opens the file", {
            (|path| path.ends_with("wrong.toml").then(|| "cannot read it".into()), plant)
        }),
    ];
    if plant().hidden.is_some() {
        let repeats: Loader = |path| refusal(path).map(|_| fs::read_to_string(path).unwrap_or_default());
        broken.push(("a loader that repeats the secret", (repeats, plant)));
    }
    tried(put_before, (refusal, plant), broken).await
}

#[cfg(test)]
type Case = (Loader, fn() -> Planted);

#[cfg(test)]
async fn put_before(ground: &Ground, (loader, plant): Case) -> Found {
    let found = settle(exercise(ground, plant(), loader).await.map(judge));
    assert!(!format!("{found:?}").contains("sk-ant-api03-"), "the evidence repeats the secret");
    found
}
