//! The manifest on disk against the settings in force, and its environment against the rest of it.
use crate::{
    config::{Sources, load},
    domain::Fault,
    readiness::{Evidence, Found, proof::blocking},
};

pub async fn in_force(evidence: &Evidence) -> Found {
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

pub async fn overlay(evidence: &Evidence) -> Found {
    let name = evidence.settings.environment.clone();
    if is_development(&name) {
        return Found::not_applicable(format!("{name} is a development environment"));
    }
    let Some(path) = evidence.config_file.clone() else {
        return Found::warn(format!("{name} has no manifest, so it runs on defaults"));
    };
    let loaded = blocking(move || {
        let kinds = crate::readiness::kinds();
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
}
