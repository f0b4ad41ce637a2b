//! How releases look on a terminal.
use crate::{
    cli::{Ctl, Table, Ui, one_line, render::age},
    deploy::{AgentChange, AgentDiff, Preview, ReleaseDiff, ReleaseEntry},
    domain::{ByteSize, Migration, Release, Revision},
};
use jiff::Timestamp;
use std::fmt::Write;

/// Of a digest, so many digits tell one from the other.
const SHORT: usize = 12;

pub fn table(ctl: &Ctl, releases: &[ReleaseEntry], now: Timestamp, wide: bool) -> String {
    if releases.is_empty() {
        return "no release: `agentctl release create` records one\n".into();
    }
    let mut head = vec!["RELEASE", "STATE", "RUNS", "AGE", "REVISION", "READINESS"];
    head.extend(wide.then_some(["CONTENT", "BY", "CREATED"]).into_iter().flatten());
    head.push("NOTE");
    let mut table = Table::new(&head).painted(1, &ctl.ui, |word| match word {
        "stable" => Some("32"),
        "on-trial" => Some("33"),
        "reverted" => Some("31"),
        _ => Some("2"),
    });
    for entry in releases {
        let (release, standing) = (&entry.standing.release, &entry.standing);
        let mut row = vec![
            release.id.to_string(),
            standing.state.as_str().to_owned(),
            runs(entry),
            age(release.at, now),
            revision(&release.revision, true),
            release.readiness.as_ref().map_or_else(|| "none".into(), |run| run.verdict.as_str().to_owned()),
        ];
        if wide {
            let content = release.content.to_string();
            row.extend([content[..SHORT].to_owned(), release.by.to_string(), minute(release.at)]);
        }
        row.push(if entry.missing {
            format!("FILES ARE MISSING {}", release.note)
        } else {
            release.note.clone()
        });
        table.row(row);
    }
    let mut text = table.render(ctl.ui.width().filter(|_| !wide));
    if releases.iter().all(|entry| !entry.current) {
        text.push_str("\nno release is current: agents run from their own directories\n");
    }
    text
}

pub fn page(entry: &ReleaseEntry, now: Timestamp) -> String {
    let release = &entry.standing.release;
    let mut text = format!("{}: {}", release.id, entry.standing.state);
    let runs = runs(entry);
    if !runs.is_empty() {
        let _ = write!(text, ", {runs}");
    }
    text.push('\n');
    if entry.missing {
        text.push_str("its files are not there any more: it cannot be deployed\n");
    }
    text.push_str(&facts(release));
    let _ = writeln!(text, "{:<12}SHA-256 {}", "record", entry.standing.record);
    let mut table = Table::new(&["STATE", "SINCE", "AGO", "BY", "WHY"]);
    for step in &entry.standing.moves {
        let (at, by) = (minute(step.at), step.by.to_string());
        table.row([step.to.as_str(), &at, &age(step.at, now), &by, &step.why]);
    }
    let _ = write!(text, "\n{}", table.render(None));
    text.push_str(&warnings(release));
    text
}

pub fn created(entry: &ReleaseEntry) -> String {
    let release = &entry.standing.release;
    let artifacts: Vec<_> = release.agents.iter().filter_map(|agent| agent.artifact.as_ref()).collect();
    let (files, bytes) =
        artifacts.iter().fold((0, 0), |(files, bytes), one| (files + one.files, bytes + one.bytes));
    let mut text = format!(
        "{} is recorded: {} agents, {} artifacts ({files} files, {bytes} bytes), content {}\n",
        release.id,
        release.agents.len(),
        artifacts.len(),
        &release.content.to_string()[..SHORT]
    );
    text.push_str(&warnings(release));
    text
}

pub fn previewed(preview: &Preview) -> String {
    let release = &preview.release;
    let mut text = format!("would record {}; nothing was written\n", release.id);
    if let Some(twin) = preview.same_as {
        let _ = writeln!(text, "{twin} ships the same already: it takes --force to record another");
    }
    text.push_str(&facts(release));
    text.push_str(&warnings(release));
    text
}

pub fn diffed(diff: &ReleaseDiff, ui: &Ui) -> String {
    let (from, to) = (diff.from, diff.to);
    if diff.same_content {
        return format!("{from} and {to} ship the same\n");
    }
    let mut text = format!("from {from} to {to}\n");
    if !diff.agents.is_empty() {
        let mut table = Table::new(&["AGENT", "CHANGE", "FILES", "FROM", "TO"]).figures(&[2]);
        for agent in &diff.agents {
            table.row(agent_row(agent));
        }
        let _ = write!(text, "\n{}", table.render(None));
    }
    let mut pairs = Vec::new();
    if let Some((before, after)) = &diff.revision {
        pairs.push(("revision", revision(before, false), revision(after, false)));
    }
    if let Some((before, after)) = &diff.migration {
        pairs.push(("migration", migration(before), migration(after)));
    }
    if let Some((before, after)) = &diff.agentd_version {
        pairs.push(("agentd", before.clone(), after.clone()));
    }
    if !pairs.is_empty() {
        text.push('\n');
    }
    for (label, before, after) in pairs {
        let _ = writeln!(text, "{label:<12}{} -> {}", one_line(&before), one_line(&after));
    }
    if !diff.config.is_empty() {
        let _ = writeln!(text, "\n--- {from}/agentd.toml\n+++ {to}/agentd.toml");
    }
    for line in &diff.config {
        // The daemon has escaped it; what reached us on another way is escaped here.
        let line = crate::domain::visible(line).replace('\n', " ");
        let style = match line.chars().next() {
            Some('+') => "32",
            Some('-') => "31",
            Some('@') => "36",
            _ => "",
        };
        let line = if ui.color && !style.is_empty() { ui.paint(style, &line) } else { line };
        let _ = writeln!(text, "{line}");
    }
    text
}

fn agent_row(agent: &AgentDiff) -> [String; 5] {
    let change = match agent.change {
        AgentChange::Added => "added",
        AgentChange::Removed => "removed",
        AgentChange::Changed => "changed",
    };
    let digest = |artifact: &Option<crate::domain::Artifact>| {
        artifact
            .as_ref()
            .map_or_else(|| "-".into(), |artifact| artifact.digest.to_string()[..SHORT].to_owned())
    };
    let files = agent.files_changed.map_or_else(String::new, |count| count.to_string());
    [agent.name.clone(), change.into(), files, digest(&agent.before), digest(&agent.after)]
}

fn facts(release: &Release) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<12}{}", one_line(&value));
    };
    line("created", format!("{} by {}", minute(release.at), release.by));
    if !release.note.is_empty() {
        line("note", release.note.clone());
    }
    line("environment", release.environment.clone());
    line("content", format!("SHA-256 {}", release.content));
    line(
        "config",
        release.config.as_ref().map_or_else(
            || "none: agentd runs without a file".into(),
            |config| format!("{} ({} bytes, SHA-256 {})", config.file, config.bytes, config.digest),
        ),
    );
    line("revision", revision(&release.revision, false));
    line("migration", migration(&release.migration));
    line("agentd", format!("{}, database version {}", release.agentd_version, release.database_version));
    line(
        "readiness",
        release.readiness.as_ref().map_or_else(
            || "none: nothing was validated in full".into(),
            |run| {
                let (low, high) = (run.score.low, run.score.high);
                let age = age(run.at, release.at);
                format!(
                    "run {}: {}, {low:.2} to {high:.2} of 100, {age} before",
                    run.run,
                    run.verdict.as_str()
                )
            },
        ),
    );
    line("backup", release.backup.clone().unwrap_or_else(|| "none".into()));
    let with: Vec<_> =
        release.agents.iter().filter_map(|agent| Some((&agent.name, agent.artifact.as_ref()?))).collect();
    line("agents", format!("{}, {} with an artifact", release.agents.len(), with.len()));
    if with.is_empty() {
        return text;
    }
    let mut table = Table::new(&["AGENT", "FILES", "SIZE", "DIGEST", "REVISION", "FROM"]).figures(&[1, 2]);
    for (name, artifact) in with {
        table.row([
            name.to_string(),
            artifact.files.to_string(),
            size(artifact.bytes),
            artifact.digest.to_string()[..SHORT].to_owned(),
            revision(&artifact.revision, true),
            artifact.source.clone(),
        ]);
    }
    let _ = write!(text, "\n{}", table.render(None));
    text
}

fn runs(entry: &ReleaseEntry) -> String {
    match (entry.current, entry.instances) {
        (true, 0) => "current".into(),
        (true, count) => format!("current, {count} instances"),
        // Left over from before a switch.
        (false, 0) => String::new(),
        (false, count) => format!("{count} instances"),
    }
}

fn revision(revision: &Revision, short: bool) -> String {
    match revision {
        Revision::Git { commit, branch, dirty } => {
            let commit = commit.as_deref().unwrap_or("no commit");
            let commit = if short { commit.get(..SHORT).unwrap_or(commit) } else { commit };
            let branch =
                branch.as_ref().filter(|_| !short).map_or_else(String::new, |name| format!(" on {name}"));
            format!("{commit}{branch}{}", if *dirty { "+dirty" } else { "" })
        }
        Revision::Unknown(_) if short => "unknown".into(),
        Revision::Unknown(why) => format!("unknown: {why}"),
    }
}

fn migration(migration: &Migration) -> String {
    let brings = match (migration.up.is_empty(), migration.irreversible) {
        (true, _) => "none".into(),
        (false, true) => format!("{} (irreversible)", migration.up.join(" ")),
        (false, false) => format!("{}; back by {}", migration.up.join(" "), migration.down.join(" ")),
    };
    match (migration.prepare.is_empty(), migration.unprepare.is_empty()) {
        (true, _) => brings,
        (false, true) => format!("{brings}; first {} (stays)", migration.prepare.join(" ")),
        (false, false) => {
            let (set_up, away) = (migration.prepare.join(" "), migration.unprepare.join(" "));
            format!("{brings}; first {set_up}, taken away by {away}")
        }
    }
}

fn warnings(release: &Release) -> String {
    release.warnings.iter().map(|warning| format!("warning: {}\n", one_line(warning))).collect()
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
