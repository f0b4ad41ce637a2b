//! What a validation may be asked, refused before anything runs where it cannot be answered.
use super::demands;
use crate::{
    domain::{Demands, Fault, FaultKind, Report, RunId, RunState},
    store::Store,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the report's shape.
pub const SCHEMA: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Ids or categories; empty is all.
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
    #[serde(default)]
    pub demands: Demands,
    /// None: the last, if the demands take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// What a run is held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The last full run of this environment that finished.
    Last,
    Run(RunId),
    /// A report that the caller has, and what it calls it.
    Report {
        name: String,
        report: Box<Report>,
    },
}

/// An earlier report, and how the new one names it.
pub struct Against {
    pub report: Report,
    /// None: by its run.
    pub name: Option<String>,
}

impl RunRequest {
    /// Refuses what could not be answered, or would be answered for another day or environment.
    pub(super) fn verify(&self, environment: &str, now: Timestamp) -> Result<(), Fault> {
        if let Some(asked) = self.environment.as_deref().filter(|asked| *asked != environment) {
            return Err(Fault::new(
                FaultKind::Conflict,
                format!(
                    "cannot validate {}: this daemon runs {}",
                    asked.escape_debug(),
                    environment.escape_debug()
                ),
            )
            .hint("name the socket of the daemon that runs it with --socket, or add --ephemeral"));
        }
        // On a day that is past, what has lapsed since would be in force again.
        if let Some(day) = self.as_of.filter(|day| *day < now) {
            return Err(Fault::usage(format!("cannot judge as on a day that is past: {day}"))
                .hint("--as-of takes today or a later day"));
        }
        demands::verify(&self.demands)
    }

    /// Do the demands take an earlier report to answer?
    pub fn needs_baseline(&self) -> bool {
        demands::needs_baseline(&self.demands)
    }

    /// The report to hold this run against, if there is to be one.
    pub(super) async fn against(&self, store: &Store, environment: &str) -> Result<Option<Against>, Fault> {
        let last = self.needs_baseline().then_some(&Baseline::Last);
        let Some(baseline) = self.baseline.as_ref().or(last) else { return Ok(None) };
        let hint = "`agentctl validate list` shows the runs there are";
        let (report, name) = match baseline {
            Baseline::Last => {
                let last = store.last_full_report(environment.to_owned()).await?;
                let report = last.ok_or_else(|| {
                    Fault::not_found(format!(
                        "cannot compare with the last run: no full one of {} has finished yet",
                        environment.escape_debug()
                    ))
                    .hint("run `agentctl validate` once without --baseline and --fail-on, or name a FILE")
                })?;
                (report, None)
            }
            Baseline::Run(run) => {
                let report = store.report(*run).await?;
                let missing = || Fault::not_found(format!("cannot compare with run {run}: it has no report"));
                (report.ok_or_else(|| missing().hint(hint))?, None)
            }
            Baseline::Report { name, report } => ((**report).clone(), Some(name.clone())),
        };
        if report.schema_version != SCHEMA {
            return Err(Fault::usage(format!(
                "cannot compare with a report of version {}: only {SCHEMA} is known here",
                report.schema_version
            ))
            .hint("take one that this version of agentctl wrote"));
        }
        Ok(Some(Against { report, name }))
    }
}

/// A run that cannot be followed to a report.
pub(super) fn without_report(run: RunId, state: Option<RunState>) -> Fault {
    let hint = "`agentctl validate list` shows the runs there are";
    match state {
        Some(RunState::Interrupted) => Fault::new(
            FaultKind::Unavailable,
            format!("cannot follow validation {run}: the daemon ended under it"),
        )
        .hint("run `agentctl validate` again"),
        Some(RunState::Cancelled) => cancelled(run),
        Some(RunState::Running | RunState::Finished) => {
            Fault::internal(format!("cannot follow validation {run}: it has no report")).hint(hint)
        }
        None => Fault::not_found(format!("cannot find validation {run}")).hint(hint),
    }
}

/// What those who followed a cancelled run are told.
pub(super) fn cancelled(run: RunId) -> Fault {
    Fault::new(FaultKind::Conflict, format!("cannot show a report of validation {run}: it was cancelled"))
        .hint("run `agentctl validate` again")
}
