//! The manifest on disk against the settings in force, and whether its environment has an overlay.
#[cfg(test)]
use super::loader::kinds;
#[cfg(test)]
use crate::readiness::Ground;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{Kinds, Sources, load},
    domain::Fault,
    readiness::{Evidence, Found, Reread, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::path::PathBuf;
#[cfg(test)]
use std::sync::Arc;

pub async fn in_force(evidence: &Evidence) -> Found {
    let source = match &evidence.config_file {
        Some(path) => path.display().to_string(),
        None => "defaults and variables alone: there is no file".into(),
    };
    compare(evidence.reread.clone(), &evidence.config_digest).await.seen(format!("source: {source}"))
}

async fn compare(reread: Reread, running: &str) -> Found {
    match blocking(move || reread()).await {
        Ok(digest) if digest == running && !running.is_empty() => {
            Found::pass("the manifest on disk is what runs").seen(format!("digest {running}"))
        }
        Ok(digest) => Found::fail("the manifest on disk is not what runs")
            .seen(format!("on disk {digest}"))
            .seen(format!("running {running}"))
            .about("manifest", digest),
        Err(fault) => Found::fail(format!("the manifest on disk does not hold: {fault}")),
    }
}

pub async fn overlay(evidence: &Evidence) -> Found {
    has_overlay(evidence.settings.environment.clone(), evidence.config_file.clone(), evidence.kinds).await
}

async fn has_overlay(name: String, file: Option<PathBuf>, kinds: fn() -> Kinds) -> Found {
    if is_development(&name) {
        return Found::not_applicable(format!("{name} is a development environment"));
    }
    let Some(path) = file else {
        return Found::warn(format!("{name} has no manifest, so it runs on defaults"));
    };
    let loaded = blocking(move || {
        load(&Sources::file(&path), &kinds())
            .map(|loaded| loaded.environments().to_vec())
            .map_err(|problems| Fault::internal(problems.headline()))
    });
    match loaded.await {
        Ok(known) => {
            let seen = if known.is_empty() {
                "it has no overlay".into()
            } else {
                format!("overlays: {}", known.join(", "))
            };
            let found = if known.contains(&name) {
                Found::pass(format!("[environment.{name}] is in the manifest"))
            } else {
                Found::warn(format!("there is no [environment.{name}] in the manifest"))
            };
            found.seen(seen)
        }
        Err(fault) => fault.into(),
    }
}

/// Environments in which what is a gate elsewhere is a warning.
pub fn is_development(environment: &str) -> bool {
    matches!(environment, "dev" | "development" | "local")
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "CF-001",
        at_work: || {
            let says = |digest: &'static str| -> Reread { Arc::new(move || Ok(digest.into())) };
            let unreadable: Reread = Arc::new(|| Err(Fault::internal("cannot read it")));
            let broken = [
                ("a file that was changed since", (says("b"), "a")),
                ("a file that does not hold any more", (unreadable, "a")),
                ("a digest of nothing", (says(""), "")),
            ];
            tried(compared, (says("a"), "a"), broken).boxed()
        },
    },
    Saboteur {
        of: "CF-008",
        at_work: || {
            let sound = ("staging", "schema = 1\n[environment.staging.readiness]\nbar = 90.0\n");
            let broken = [
                ("a manifest without overlays", ("staging", "schema = 1\n")),
                ("another environment's overlay", ("production", sound.1)),
            ];
            tried(overlaid, sound, broken).boxed()
        },
    },
];

#[cfg(test)]
async fn compared(_: &Ground, (on_disk, running): (Reread, &'static str)) -> Found {
    compare(on_disk, running).await
}

#[cfg(test)]
async fn overlaid(ground: &Ground, (name, text): (&'static str, &'static str)) -> Found {
    let plot = ground.plot().expect("a plot");
    let file = plot.path().join("agentd.toml");
    std::fs::write(&file, text).expect("written");
    let found = has_overlay(name.into(), Some(file), kinds).await;
    assert!(found.evidence.iter().all(|line| !line.trim_end().ends_with(':')), "{found:?}");
    found
}
