//! The terminal's end of `status`: once, or redrawn every second.
use super::{Request, Status};
use crate::{
    cli::{CliError, Ctl, Exit, Output, escape, render},
    domain::{FleetVerdict, StatusReport},
};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

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
    show(&report, ctl)?;
    Ok(exit(report.verdict))
}

fn show(report: &StatusReport, ctl: &Ctl) -> Result<(), CliError> {
    match ctl.output {
        // A name, or a line of JSON, an agent.
        Output::Name | Output::Jsonl => ctl.output.print(&ctl.ui, &report.agents, |_| String::new()),
        _ => ctl.output.print(&ctl.ui, report, |wide| render::status(report, &ctl.ui, wide)),
    }
}

/// Until Ctrl-C, which is how one leaves it and so no failure. On a terminal each frame replaces the last.
async fn watch(request: &Request, ctl: &Ctl) -> Result<Exit, CliError> {
    let redraw = ctl.ui.terminal && matches!(ctl.output, Output::Table | Output::Wide);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let cannot = |error| CliError::Protocol(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    if redraw {
        // Cursor hidden; shown again below, whatever ends the loop.
        ctl.ui.data("\x1b[?25l\x1b[2J")?;
    }
    let mut seen = false;
    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(Exit::Ok),
            _ = terminate.recv() => break Ok(Exit::Interrupted),
            _ = tick.tick() => {}
        }
        let report = ctl.client.call::<Status>(request).await;
        let shown = match report {
            Ok(report) if redraw => {
                seen = true;
                let text = render::status(&report, &ctl.ui, matches!(ctl.output, Output::Wide));
                ctl.ui.data(&frame(&text, rows()))
            }
            Ok(report) => show(&report, ctl),
            // A daemon that is being restarted comes back; one that was never there would be waited for in vain.
            Err(error @ CliError::Unreachable { .. }) if redraw && seen => ctl.ui.data(&frame(
                &format!("{}\nasking again every second\n", escape(&error.to_string())),
                rows(),
            )),
            Err(error) => Err(error),
        };
        if let Err(error) = shown {
            break Err(error);
        }
    };
    if redraw {
        ctl.ui.data("\x1b[?25h")?;
    }
    ended
}

fn rows() -> usize {
    crossterm::terminal::size().map_or(24, |(_, rows)| usize::from(rows.max(4)))
}

/// One write that overwrites the last frame line by line, so that nothing flickers; as many lines as there is room.
fn frame(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows - 1; // the cursor rests on the last row
    let mut frame = String::from("\x1b[H");
    let fit = if lines.len() > room { room - 1 } else { lines.len() };
    for line in &lines[..fit] {
        frame.push_str(line);
        frame.push_str("\x1b[K\n");
    }
    if fit < lines.len() {
        frame.push_str(&format!("… {} more lines: a taller terminal shows them\x1b[K\n", lines.len() - fit));
    }
    frame.push_str("\x1b[J");
    frame
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_terminal_and_clears_what_it_does_not_overwrite() {
        assert_eq!(frame("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        let tall: String = (0..100).map(|line| format!("{line}\n")).collect();
        let cut = frame(&tall, 10);
        assert_eq!(cut.matches('\n').count(), 9, "{cut:?}");
        assert!(cut.contains("… 92 more lines"), "{cut:?}");
    }
}
