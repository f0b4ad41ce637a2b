//! Runs the checklist for the daemon: the items of a phase as one run of the same engine, kept and followed as any.
use super::{
    Backups, ItemInfo,
    defaults::in_force,
    item::{info, items},
    kind::Around,
    soak,
};
use crate::{
    config::Settings,
    domain::{Act, Caller, Checklist, Fault, FaultKind, Phase, RunId, Soak},
    metrics::Metrics,
    readiness::{Readiness, RunRequest},
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::watch;

/// No release is called longer.
const LONGEST_RELEASE: usize = 64;

pub struct ChecklistParts {
    pub readiness: Readiness,
    /// The settings in force; changes at a reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    pub config_digest: watch::Receiver<String>,
    pub store: Store,
    pub clock: Clock,
    /// None: what asks about backups stays unmeasured.
    pub backups: Option<Arc<dyn Backups>>,
    /// None: what is judged by recorded metrics stays unmeasured.
    pub metrics: Option<Metrics>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    #[serde(default)]
    pub phase: Phase,
    /// Ids or groups; empty is all.
    #[serde(default)]
    pub only: Vec<String>,
    #[serde(default)]
    pub skip: Vec<String>,
    /// Judge as on that day: what lapses until then has lapsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// The environment that the caller believes this to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What is to be deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// From when on a soak is judged, if not from when its release went on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// How far the window of a phase is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowInfo {
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// None of a phase that looks at what is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
}

#[derive(Clone)]
pub struct Checklists {
    pub(super) parts: Arc<ChecklistParts>,
}

impl Checklists {
    pub fn new(parts: ChecklistParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Refuses while a run of it or a validation is under way.
    pub async fn start(&self, request: CheckRequest, caller: &Caller, act: Act) -> Result<RunId, Fault> {
        let settings = self.parts.settings.borrow().clone();
        is_here("check", request.environment.as_deref(), &settings)?;
        let CheckRequest { phase, only, skip, as_of, release, since, .. } = request;
        let (window, release) = self.window(phase, release.as_deref(), since).await?;
        let soak = window.soak.clone();
        let around = Around {
            item: String::new(),
            fingerprint: String::new(),
            release: release.clone(),
            backups: self.parts.backups.clone(),
            metrics: self.parts.metrics.clone(),
            window,
        };
        let mut asked = items(&settings, phase, &around);
        if asked.is_empty() {
            let message = format!("cannot check: no item of the checklist is of the phase {phase}");
            return Err(Fault::new(FaultKind::Config, message)
                .hint("add [[checklist.item]] to it; `agentctl init` writes a manifest that has some"));
        }
        asked.splice(0..0, soak.iter().map(|soak| soak::item(phase, soak)));
        let checklist = Checklist { phase, release, soak };
        let run = RunRequest { only, skip, as_of, ..RunRequest::default() };
        self.parts.readiness.start_list(&asked, checklist, run, caller, act).await
    }

    /// How far a window is, and judges nothing.
    pub async fn progress(
        &self,
        phase: Phase,
        release: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<WindowInfo, Fault> {
        let (window, release) = self.window(phase, release, since).await?;
        Ok(WindowInfo { phase, release, soak: window.soak })
    }

    /// As they are written; ours, where none are.
    pub fn items(&self) -> Vec<ItemInfo> {
        in_force(&self.parts.settings.borrow()).iter().map(info).collect()
    }
}

/// Refuses what is meant for another environment.
pub(super) fn is_here(what: &str, asked: Option<&str>, settings: &Settings) -> Result<(), Fault> {
    match asked.filter(|asked| *asked != settings.environment) {
        None => Ok(()),
        Some(asked) => Err(Fault::new(
            FaultKind::Conflict,
            format!(
                "cannot {what} for {}: this daemon runs {}",
                asked.escape_debug(),
                settings.environment.escape_debug()
            ),
        )
        .hint("name the socket of the daemon that runs it with --socket")),
    }
}

pub(super) fn release_name(what: &str, name: String) -> Result<String, Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > LONGEST_RELEASE || !name.chars().all(legal) {
        return Err(Fault::usage(format!(
            "cannot {what}: `{}` is no name of a release",
            crate::domain::one_line(&name).chars().take(80).collect::<String>()
        ))
        .hint("letters, digits, `.`, `_` and `-`; at most 64 of them"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_environment_and_what_names_no_release_are_refused() {
        let settings = Settings { environment: "staging".into(), ..Settings::default() };
        assert!(
            is_here("check", None, &settings).is_ok() && is_here("check", Some("staging"), &settings).is_ok()
        );
        let fault = is_here("check", Some("production\x1b"), &settings).expect_err("refused");
        assert!(fault.kind == FaultKind::Conflict && !fault.message.contains('\x1b'), "{fault:?}");
        for name in ["", "a b", "a/b", "\x1b[2J", &"r".repeat(65)] {
            let fault = release_name("check", name.into()).expect_err(name);
            assert!(fault.kind == FaultKind::Usage && !fault.message.contains('\x1b'), "{fault:?}");
        }
        assert_eq!(release_name("check", "2026-11-21.r7".into()).expect("a name"), "2026-11-21.r7");
    }
}
