//! A scratch manifest with two environments is read in each: what the overlay says must be in force, and only there.
use super::loader::kinds;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{Kinds, Loaded, Problems, Settings, Sources, load},
    domain::{Fault, Period},
    readiness::{Found, Ground, Proof, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{fs, sync::Arc};

type Load = fn(&Sources, &Kinds) -> Result<Loaded, Problems>;

pub async fn apply(ground: &Ground) -> Found {
    exercise(ground, load).await
}

/// Tables merge deep, agents merge by name, other values replace.
const LAYERED: &str = r#"schema = 1
[readiness]
bar = 71.0
check_deadline = "7s"
[[agent]]
name = "first"
kind = "process"
capabilities = ["a", "b"]
options = { command = ["/bin/true"], environment = { KEPT = "kept", CHANGED = "base" } }
[[agent]]
name = "second"
kind = "process"
options = { command = ["/bin/true"] }
[environment.staging]
readiness = { bar = 72.0 }
[[environment.staging.agent]]
name = "first"
capabilities = ["c"]
options = { environment = { CHANGED = "staging" } }
[environment.production]
readiness = { bar = 73.0 }
"#;

async fn exercise(ground: &Ground, load: Load) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        blocking(move || {
            let path = plot.path().join("layered.toml");
            fs::write(&path, LAYERED)
                .map_err(|error| Fault::internal(format!("cannot write a scratch manifest: {error}")))?;
            let read = |name: &str| {
                let sources = Sources { environment: Some(name.into()), ..Sources::file(&path) };
                load(&sources, &kinds())
                    .map(|loaded| loaded.settings)
                    .map_err(|problems| Fault::internal(problems.headline()))
            };
            Ok(judge(&read("dev")?, &read("staging")?, &read("production")?))
        })
        .await
    };
    settle(exercise.await)
}

fn judge(dev: &Arc<Settings>, staging: &Arc<Settings>, production: &Arc<Settings>) -> Found {
    let mut proof = Proof::default();
    for (name, settings, bar) in
        [("dev", dev, 71.0), ("staging", staging, 72.0), ("production", production, 73.0)]
    {
        let (named, seen) = (&settings.environment, settings.readiness.bar);
        proof.holds(
            named == name && (seen - bar).abs() < f64::EPSILON,
            format!("read as {name}: environment `{named}`, readiness.bar {seen}, where {bar} was written"),
        );
        let deep = settings.readiness.check_deadline == Period::secs(7);
        proof.holds(deep, format!("read as {name}: a key beside the overlaid one {}", kept(deep)));
        let names: Vec<_> = settings.agents.iter().map(|agent| agent.name.as_str()).collect();
        proof.holds(names == ["first", "second"], format!("read as {name}: agents {}", names.join(", ")));
    }
    let first = |settings: &Settings, key: &str| {
        let environment = settings.agents.first().map(|agent| &agent.options["environment"][key]);
        environment.and_then(|value| value.as_str()).unwrap_or("nothing").to_owned()
    };
    let (changed, stays) = (first(staging, "CHANGED"), first(staging, "KEPT"));
    proof.holds(
        changed == "staging" && stays == "kept",
        format!("an agent's overlay merges by its name: CHANGED is `{changed}`, KEPT is `{stays}`"),
    );
    let replaced = staging.agents.first().is_some_and(|agent| agent.capabilities == ["c"]);
    proof.holds(
        replaced,
        format!("a list in an overlay {}", if replaced { "replaces" } else { "does not replace" }),
    );
    let leaked = first(production, "CHANGED");
    proof.holds(leaked == "base", format!("read as production, staging's value is not in force: `{leaked}`"));
    proof.judge("each environment has its own overlay in force, and no other's")
}

fn kept(yes: bool) -> &'static str {
    if yes { "keeps its value" } else { "lost its value" }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-016",
    at_work: || {
        let broken: [(_, Load); 3] = [
            ("a loader that takes no notice of the environment", |sources, kinds| {
                load(&Sources { environment: None, ..sources.clone() }, kinds)
            }),
            ("a loader that lays on the same overlay always", |sources, kinds| {
                load(&Sources { environment: Some("staging".into()), ..sources.clone() }, kinds)
            }),
            ("a loader that lays on nothing but the name", |sources, kinds| {
                let file = sources.file.clone().expect("a file");
                let bare = file.with_extension("bare.toml");
                let text = fs::read_to_string(&file).expect("text");
                let base = text.split("[environment.").next().expect("a part");
                fs::write(&bare, base).expect("written");
                load(&Sources { file: Some(bare), ..sources.clone() }, kinds)
            }),
        ];
        tried(exercise, load as Load, broken).boxed()
    },
};
