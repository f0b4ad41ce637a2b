//! The terminal's end of `status`: once, or redrawn every second.
use super::{Request, Status};
use crate::{
    cli::{CliError, Ctl, Exit, Output, render},
    domain::{FleetVerdict, StatusReport},
};
use std::time::Duration;

/// Show what runs and how it fares. Exits 0 if all is well, 1 if not, 8 while it starts, 3 with nothing to judge.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Redraw every second until interrupted
    #[arg(short, long)]
    watch: bool,
    /// List every agent, not only those that are not well
    #[arg(short, long)]
    all: bool,
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let people = matches!(ctl.output, Output::Table);
    let all = args.all || matches!(ctl.output, Output::Wide | Output::Name | Output::Jsonl);
    let request = Request { all, most: if people && !all { render::MOST } else { 0 } };
    if args.watch {
        return watch(&request, ctl).await;
    }
    let report = ctl.client.call::<Status>(&request).await?;
    show(&report, all, ctl)?;
    Ok(exit(report.verdict))
}

fn show(report: &StatusReport, all: bool, ctl: &Ctl) -> Result<(), CliError> {
    match ctl.output {
        // A name, or a line of JSON, an agent.
        Output::Name | Output::Jsonl => ctl.output.print(&ctl.ui, &report.agents, |_| String::new()),
        _ => ctl.output.print(&ctl.ui, report, |wide| render::status(report, &ctl.ui, wide || all)),
    }
}

/// Until Ctrl-C, which is how one leaves it and so no failure. On a terminal each frame replaces the last.
async fn watch(request: &Request, ctl: &Ctl) -> Result<Exit, CliError> {
    let redraw = ctl.ui.terminal && matches!(ctl.output, Output::Table | Output::Wide);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(|error| CliError::Protocol(format!("cannot listen for Ctrl-C: {error}")))?;
    if redraw {
        // Cursor hidden; shown again below, whatever ends the loop.
        ctl.ui.data("\x1b[?25l")?;
    }
    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(Exit::Ok),
            _ = tick.tick() => {}
        }
        let frame = ctl.client.call::<Status>(request).await.and_then(|report| {
            if redraw {
                ctl.ui.data("\x1b[H\x1b[2J")?;
            }
            show(&report, request.all, ctl)
        });
        if let Err(error) = frame {
            break Err(error);
        }
    };
    if redraw {
        ctl.ui.data("\x1b[?25h")?;
    }
    ended
}

/// An agent that is still starting has not yet been seen well, and a fleet of none proves nothing.
fn exit(verdict: FleetVerdict) -> Exit {
    match verdict {
        FleetVerdict::Healthy => Exit::Ok,
        FleetVerdict::Starting => Exit::Pending,
        FleetVerdict::Degraded | FleetVerdict::Down => Exit::Negative,
        FleetVerdict::Empty => Exit::Inconclusive,
    }
}
