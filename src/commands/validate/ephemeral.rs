//! `--ephemeral`: a private daemon over the manifest, its fleet brought up and judged, and nothing left of it.
use super::{args::Args, conduct, deliver::Files};
use crate::{
    cli::{CliError, Ctl, Exit, Stops},
    commands::ephemeral::{Fleet, Manifest, come_up, instances, ready},
    config::{Sources, candidates},
    domain::{Fault, FaultKind},
    readiness::{Baseline, RunRequest},
};
use std::path::{Path, PathBuf};

pub async fn run(args: &Args, request: RunRequest, ctl: &Ctl) -> Result<Exit, CliError> {
    if needs_history(&request) {
        return Err(Fault::usage("cannot compare: an ephemeral daemon has no earlier runs")
            .hint("name a report of another run with --baseline FILE")
            .into());
    }
    let path = manifest(args.config.clone())?;
    // Before anything exists that would have to be cleaned up.
    let mut stops = Stops::listen()?;
    let manifest = Manifest::File { path: path.clone(), environment: args.which.environment.clone() };
    let mut fleet = Fleet::prepare("validate", manifest)?;
    let judged = tokio::select! {
        judged = judge(&mut fleet, &path, request, &args.files, ctl) => judged,
        () = stops.asked() => Err(CliError::Interrupted),
    };
    ctl.ui.note("Stopping the daemon and its agents ... (Ctrl-C kills them)");
    let stopped = fleet.stop(stops.asked()).await;
    fleet.remove()?;
    let exit = judged?;
    stopped?;
    Ok(exit)
}

async fn judge(
    fleet: &mut Fleet,
    manifest: &Path,
    request: RunRequest,
    files: &Files,
    ctl: &Ctl,
) -> Result<Exit, CliError> {
    ctl.ui.note(&format!("Starting agentd with {} in {}", manifest.display(), fleet.home().display()));
    fleet.launch()?;
    let report = come_up(fleet, ctl).await?;
    ctl.ui.note(&format!("{} of {} agents are ready.", ready(&report), instances(&report)));
    conduct::validate(request, files, &ctl.at(fleet.socket())).await
}

/// As agentd would find it.
fn manifest(named: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let found = Sources::from_process(named, None).file.ok_or_else(|| {
        let places: Vec<String> = candidates().iter().map(|path| path.display().to_string()).collect();
        Fault::new(FaultKind::Config, format!("cannot find a manifest: looked for {}", places.join(", ")))
            .hint("name one with --config, or write one with `agentctl init`")
    })?;
    if !found.is_file() {
        return Err(Fault::new(
            FaultKind::Config,
            format!("cannot read the manifest {}: there is no such file", found.display()),
        )
        .hint("name another with --config, or write one with `agentctl init`")
        .into());
    }
    Ok(std::path::absolute(&found).unwrap_or(found))
}

fn needs_history(request: &RunRequest) -> bool {
    let of_another = matches!(request.baseline, Some(Baseline::Report { .. }));
    let asked = request.baseline.is_some() || request.needs_baseline();
    asked && !of_another
}
