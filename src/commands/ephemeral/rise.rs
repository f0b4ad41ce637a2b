//! A private fleet coming up: watched until every instance is up, or is known not to come up by itself.
use super::Fleet;
use crate::{
    cli::{CliError, Client, Ctl, escape},
    commands::status::{Request, Status},
    domain::{AgentState, FleetVerdict, StatusReport},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{io, io::IsTerminal, time::Duration};
use tokio::time::{Instant, sleep};

/// For the daemon to answer at all.
const START: Duration = Duration::from_secs(20);
/// For every agent to be up, or known not to come up.
const FLEET: Duration = Duration::from_secs(120);
const ASK: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Until every instance is up or is known not to come up by itself, and no longer than two minutes.
pub async fn come_up(fleet: &mut Fleet, ctl: &Ctl) -> Result<StatusReport, CliError> {
    let client = Client::new(fleet.socket(), ASK);
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
    if report.verdict == FleetVerdict::Empty {
        return true; // nothing that could come up
    }
    !report.instances.is_empty() && moving.iter().all(|state| !report.instances.contains_key(state))
}

pub fn ready(report: &StatusReport) -> u32 {
    report.instances.get(&AgentState::Ready).copied().unwrap_or(0)
}

pub fn instances(report: &StatusReport) -> u32 {
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
