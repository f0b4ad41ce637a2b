//! What quickstart shows, in order: the fleet coming up, its status, its verdict, and what to try next.
use super::fleet::Fleet;
use crate::{
    cli::{CliError, Client, Ctl, Exit, escape},
    commands::{
        Cli,
        status::{Request, Status},
    },
    daemon::Route,
    domain::{AgentState, Fault, FaultKind, StatusReport},
};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::{ffi::OsString, io, io::IsTerminal, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

/// For the daemon to answer at all.
const START: Duration = Duration::from_secs(20);
/// For every agent to be up, or known not to come up.
const FLEET: Duration = Duration::from_secs(120);
const ASK: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// See a fleet run and be judged: a private daemon, real agents, and nothing left behind.
///
/// Starts agentd in a temporary directory with the agents of a template, shows `status`, runs `validate`, and stops
/// everything. Exits as `validate` does.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Keep the directory with the manifest, the logs and the database
    #[arg(long)]
    keep: bool,
    /// Which fleet; `agentctl init --list` shows the templates
    #[arg(long, default_value = "bookedbarber", value_name = "NAME")]
    template: String,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    // Before anything exists that would have to be cleaned up.
    let mut stops = Stops::listen()?;
    let mut fleet = Fleet::prepare(&args.template)?;
    let shown = tokio::select! {
        shown = show(&mut fleet, &args, ctl) => shown,
        () = stops.asked() => Err(CliError::Interrupted),
    };
    ctl.ui.note("\nStopping the daemon and its agents ... (Ctrl-C kills them)");
    let stopped = fleet.stop(stops.asked()).await;
    if args.keep {
        ctl.ui.note(&format!("Nothing is left running. The directory is kept: {}", fleet.home().display()));
    } else {
        fleet.remove()?;
        if stopped.is_ok() {
            ctl.ui.note("Nothing is left running, and the directory is removed.");
        }
    }
    let exit = shown?;
    stopped?;
    Ok(exit)
}

async fn show(fleet: &mut Fleet, args: &Args, ctl: &Ctl) -> Result<Exit, CliError> {
    ctl.ui.note(&format!("Starting agentd with template {} in {}", args.template, fleet.home().display()));
    fleet.launch()?;
    let client = Client::new(fleet.socket(), ASK);
    let report = come_up(fleet, &client, ctl).await?;
    ctl.ui.note(&format!("{} of {} agents are ready.\n", ready(&report), instances(&report)));
    let status = real(fleet, ctl, &["status"]).await?;
    let verdict = real(fleet, ctl, &["validate"]).await?;
    ctl.ui.note(&explain(status, verdict, &args.template));
    Ok(verdict)
}

/// Runs one of our own commands against the private daemon, exactly as an operator would.
async fn real(fleet: &Fleet, ctl: &Ctl, words: &[&str]) -> Result<Exit, CliError> {
    ctl.ui.note(&format!("$ agentctl {}", words.join(" ")));
    let colour = if ctl.ui.color { "always" } else { "never" };
    let mut line: Vec<OsString> = ["agentctl", "--color", colour, "--socket"].map(OsString::from).to_vec();
    line.push(fleet.socket().into());
    if ctl.ui.quiet {
        line.push("--quiet".into());
    }
    line.extend(words.iter().map(OsString::from));
    let cli = Cli::try_parse_from(line)
        .map_err(|e| Fault::internal(format!("cannot run agentctl {}: {e}", words.join(" "))))?;
    let inner = Ctl { output: ctl.output, ..Ctl::new(cli.global()) };
    // Boxed, since this very function is reached through the same dispatch.
    let exit = Box::pin(cli.run(&inner)).await?;
    ctl.ui.note("");
    Ok(exit)
}

/// Until every instance is up or is known not to come up by itself.
async fn come_up(fleet: &mut Fleet, client: &Client, ctl: &Ctl) -> Result<StatusReport, CliError> {
    let began = Instant::now();
    let mut progress = Progress::new(ctl);
    let mut seen = None;
    loop {
        if let Some(why) = fleet.died() {
            return Err(why);
        }
        match client.call::<Status>(&Request::default()).await {
            Ok(report) => {
                progress.show(&report);
                if settled(&report) {
                    progress.end();
                    return Ok(report);
                }
                seen = Some(report);
            }
            Err(CliError::Unreachable { .. }) if seen.is_none() && began.elapsed() < START => {}
            Err(error) => return Err(error),
        }
        match seen.take_if(|_| began.elapsed() > FLEET) {
            // Late is not wrong: status and validate say which agent it is.
            Some(report) => return Ok(report),
            None => sleep(LOOK).await,
        }
    }
}

fn settled(report: &StatusReport) -> bool {
    let moving = [AgentState::Waiting, AgentState::Starting, AgentState::BackingOff, AgentState::Stopping];
    !report.instances.is_empty() && moving.iter().all(|state| !report.instances.contains_key(state))
}

fn ready(report: &StatusReport) -> u32 {
    report.instances.get(&AgentState::Ready).copied().unwrap_or(0)
}

fn instances(report: &StatusReport) -> u32 {
    report.instances.values().sum()
}

/// A bar on a terminal, a line for each change elsewhere.
struct Progress<'a> {
    ctl: &'a Ctl,
    bar: Option<ProgressBar>,
    last: Option<u32>,
}

impl<'a> Progress<'a> {
    fn new(ctl: &'a Ctl) -> Self {
        let bar = (io::stderr().is_terminal() && !ctl.ui.quiet).then(|| {
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len} agents ready {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { ctl, bar, last: None }
    }

    fn show(&mut self, report: &StatusReport) {
        let (ready, all) = (ready(report), instances(report));
        if self.last.replace(ready) == Some(ready) {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_length(all.into());
                bar.set_position(ready.into());
                bar.set_message(escape(&report.because));
            }
            None => self.ctl.ui.note(&format!("{ready}/{all} agents ready")),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

fn explain(status: Exit, verdict: Exit, template: &str) -> String {
    let means = match verdict {
        Exit::Ok => "READY: every gate held and the score is above the bar.",
        Exit::Negative => "NOT READY: the report above names what failed and what to do about it.",
        Exit::Inconclusive => {
            "INCONCLUSIVE: nothing that was measured failed, but not everything was measured, and what nobody \
             measured is never counted as passed. The report above names the categories."
        }
        _ => "no verdict: validate itself could not end.",
    };
    let well = if status == Exit::Ok { "The fleet is well. " } else { "" };
    format!(
        "{well}The verdict is {means}\n\nTry next:\n  \
         agentctl init --template {template} my-fleet   a manifest of your own, with comments\n  \
         agentctl daemon start --config my-fleet/agentd.toml\n  \
         agentctl status --watch                        the fleet as it changes\n  \
         agentctl check list                            what validate proves, and how\n  \
         agentctl help exit-codes                       for scripts and CI\n"
    )
}

/// Ctrl-C, and the TERM of whoever runs us: both must leave nothing behind.
struct Stops {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Stops {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|e| Fault::new(FaultKind::Internal, format!("cannot listen for signals: {e}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inconclusive_verdict_is_explained_and_never_called_a_pass() {
        let text = explain(Exit::Ok, Exit::Inconclusive, "minimal");
        assert!(text.contains("INCONCLUSIVE") && text.contains("never counted as passed"), "{text}");
        assert!(!text.contains(" READY"), "{text}");
        assert!(explain(Exit::Negative, Exit::Negative, "minimal").contains("NOT READY"));
        assert!(!explain(Exit::Negative, Exit::Negative, "minimal").contains("is well"));
    }
}
