//! What quickstart shows, in order: the fleet coming up, its status, its verdict, and what to try next.
use crate::{
    cli::{CliError, Ctl, Exit, Stops},
    commands::{
        Cli,
        ephemeral::{Fleet, Manifest, come_up, instances, ready},
    },
    config::TEMPLATES,
    daemon::Route,
    domain::Fault,
};
use clap::Parser;
use std::ffi::OsString;

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
    let template = TEMPLATES.iter().find(|template| template.name == args.template).ok_or_else(|| {
        let names: Vec<_> = TEMPLATES.iter().map(|template| template.name).collect();
        Fault::not_found(format!("cannot find a template called `{}`", args.template.escape_debug()))
            .hint(format!("choose one of {}", names.join(", ")))
    })?;
    let mut fleet = Fleet::prepare("quickstart", Manifest::Text(template.text))?;
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
    let report = come_up(fleet, ctl).await?;
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
