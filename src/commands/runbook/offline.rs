//! A runbook without a daemon: what the manifest says, what lies on the disk, and a word for each thing that cannot be
//! known.
use super::{
    book::{Runbook, Section, Source},
    check, declared,
    serve::{Subject, subject},
};
use crate::{
    agents::{Switch, current_release},
    cli::CliError,
    config::{Paths, Settings, Sources, load},
    daemon::kinds,
    domain::{Fault, FaultKind},
};
use jiff::Timestamp;
use std::path::PathBuf;

/// What was named on the command line, as it was when agentd was started.
pub struct Given {
    pub config: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub socket: Option<PathBuf>,
}

pub fn book(about: Option<&str>, given: Given) -> Result<Runbook, CliError> {
    let mut sources = Sources::from_process(given.config, None);
    let named = [("daemon.state_dir", &given.state_dir), ("daemon.socket", &given.socket)];
    for (key, path) in named {
        let path = path.as_ref().map(|path| path.display().to_string());
        sources.flags.extend(path.map(|path| (key.to_owned(), path)));
    }
    let loaded = load(&sources, &kinds()).map_err(|problems| {
        Fault::new(FaultKind::Config, problems.to_string())
            .hint("start agentd, or mend the manifest: `agentctl config check` says what is wrong with it")
    })?;
    let settings = &loaded.settings;
    let mut book = match subject(settings, about)? {
        Subject::Fleet => fleet(settings, loaded.file, given.state_dir.is_some()),
        Subject::Agent(agent) => {
            let about = format!("agent/{}", agent.name);
            let mut book = new(about, format!("agent {}", agent.name));
            for section in declared::agent(settings, agent) {
                book.add(section);
            }
            book.cannot_know("its state, pid, probes, errors and output", NOT_ASKED);
            book
        }
        Subject::Dependency(dependency) => {
            let about = format!("dependency/{}", dependency.name);
            let mut book = new(about, format!("dependency {}", dependency.name));
            book.add(declared::dependency(settings, dependency));
            book.cannot_know("whether it is up", NOT_ASKED);
            book
        }
        Subject::Check(info) => {
            let mut book = check::page(&info, None, Source::Manifest, Timestamp::now());
            book.cannot_know("what the last validation said of it", NOT_ASKED);
            book
        }
    };
    let mut start = Section::new("Bring the daemon back");
    start
        .command(
            "agentctl doctor",
            "look at the machine, the installation and the daemon, and say what to mend",
        )
        .command(
            "agentctl daemon start",
            "start agentd; what was under way goes on, agents that live are taken over",
        )
        .command("agentctl daemon logs", "its last words");
    book.add(start);
    Ok(book)
}

const NOT_ASKED: &str = "agentd does not answer";

fn new(about: String, title: String) -> Runbook {
    Runbook::new(about, title, Source::Manifest, Timestamp::now())
}

fn fleet(settings: &Settings, file: Option<PathBuf>, placed: bool) -> Runbook {
    let mut book = new("fleet".into(), format!("the fleet of {}", settings.environment));
    let paths = Paths::new(settings);
    if file.is_none() {
        book.cannot_know("the configuration", "no manifest was found, so these are the defaults");
    }
    if !placed {
        let why = "these are the manifest's; --state-dir names another that agentd was started with";
        book.cannot_know("whether it was started with other directories", why);
    }
    book.add(declared::places(settings, &paths, file.as_deref()));
    let mut disk = Section::new("What lies on the disk");
    match current_release(&paths.releases) {
        Ok(Some(id)) => drop(disk.fact("release that was switched to", id.to_string())),
        Ok(None) => drop(disk.fact("release that was switched to", "none")),
        Err(fault) => book.cannot_know("which release was switched to", fault.message),
    }
    let thrown = Switch::open(&paths.agent_system).thrown();
    if let Some(off) = thrown.off {
        let at = off.at.strftime("%Y-%m-%d %H:%MZ");
        disk.fact("the switch over all agents", format!("off since {at}: {}", off.reason));
    }
    if let Some(limited) = thrown.limited {
        disk.fact("the switch over all agents", limited.to_string());
    }
    book.add(disk);
    let mut agents = Section::new("Agents that it declares");
    for agent in &settings.agents {
        let off = if agent.enabled { "" } else { ", not enabled" };
        agents.fact(agent.name.as_str(), format!("{}, tier {}{off}", agent.kind, agent.tier));
    }
    book.add(agents);
    book.add(declared::people(settings));
    for what in ["what runs, and how it fares", "releases and how to go back", "backups and drills", "errors"]
    {
        book.cannot_know(what, NOT_ASKED);
    }
    book
}
