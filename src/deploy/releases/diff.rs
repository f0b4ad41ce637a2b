//! What would be another if one release took the place of the other: configuration, agents, revisions, migration.
use super::{record, record::config};
use crate::{
    config::redact,
    domain::{Artifact, Fault, Migration, Release, ReleaseId, Revision, visible},
};
use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};
use std::{collections::BTreeMap, path::Path, time::Duration};

const CONTEXT: usize = 3;
/// More lines are counted.
const MOST_LINES: usize = 2_000;
/// Two texts that have nothing in common are not compared for longer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseDiff {
    pub schema_version: u32,
    pub from: ReleaseId,
    pub to: ReleaseId,
    /// They ship the same.
    pub same_content: bool,
    /// Unified; what looks like a secret is masked. Empty where nothing changed.
    pub config: Vec<String>,
    /// In order of name: those that differ.
    pub agents: Vec<AgentDiff>,
    /// Present where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<(Revision, Revision)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<(Migration, Migration)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agentd_version: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDiff {
    pub name: String,
    pub change: AgentChange,
    /// Before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Artifact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Artifact>,
    /// Files that are new, gone or not the same; none where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_changed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentChange {
    Added,
    Removed,
    Changed,
}

/// It reads files, and so blocks.
pub fn diff(releases: &Path, from: &Release, to: &Release) -> Result<ReleaseDiff, Fault> {
    let before = config(releases, from)?.unwrap_or_default();
    let after = config(releases, to)?.unwrap_or_default();
    Ok(ReleaseDiff {
        schema_version: 1,
        from: from.id,
        to: to.id,
        same_content: from.content == to.content,
        config: unified(&before, &after),
        agents: agents(releases, from, to),
        revision: differ(&from.revision, &to.revision),
        migration: differ(&from.migration, &to.migration),
        agentd_version: differ(&from.agentd_version, &to.agentd_version),
    })
}

fn differ<T: PartialEq + Clone>(before: &T, after: &T) -> Option<(T, T)> {
    (before != after).then(|| (before.clone(), after.clone()))
}

fn agents(releases: &Path, from: &Release, to: &Release) -> Vec<AgentDiff> {
    let by_name = |release: &Release| -> BTreeMap<String, Option<Artifact>> {
        release.agents.iter().map(|agent| (agent.name.to_string(), agent.artifact.clone())).collect()
    };
    let (before, mut after) = (by_name(from), by_name(to));
    let mut found = Vec::new();
    for (name, old) in before {
        let (change, new) = match after.remove(&name) {
            None => (AgentChange::Removed, None),
            Some(new) if new.as_ref().map(|new| new.digest) == old.as_ref().map(|old| old.digest) => continue,
            Some(new) => (AgentChange::Changed, new),
        };
        let listed = |id, artifact: &Artifact| record::listing(releases, id, &name, artifact).ok();
        let files_changed = match (&old, &new) {
            (Some(old), Some(new)) => listed(from.id, old)
                .zip(listed(to.id, new))
                .map(|(old, new)| old.differences(&new).len() as u64),
            _ => None,
        };
        found.push(AgentDiff { name, change, before: old, after: new, files_changed });
    }
    for (name, new) in after {
        found.push(AgentDiff {
            name,
            change: AgentChange::Added,
            before: None,
            after: new,
            files_changed: None,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Masked line by line after they were compared, so that a secret that changed is seen to change.
fn unified(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        lines.push(hunk.header().to_string());
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line = change.value().trim_end_matches(['\n', '\r']);
            lines.push(format!("{sign}{}", visible(&redact(line))));
        }
    }
    if lines.len() > MOST_LINES {
        let more = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(format!("… and {more} lines more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_seen_to_change_and_not_seen() {
        let before = "a = 1\npassword = \"hunter2-and-more\"\nb = 2\n";
        let after = "a = 1\npassword = \"another-secret-9\"\nb = 3\n";
        let lines = unified(before, after);
        let text = lines.join("\n");
        assert!(!text.contains("hunter2") && !text.contains("another-secret"), "{text}");
        assert_eq!(lines.iter().filter(|line| line.contains("password = ")).count(), 2, "{text}");
        assert!(lines.contains(&"-b = 2".into()) && lines.contains(&"+b = 3".into()), "{text}");
        assert_eq!(unified(before, before), Vec::<String>::new());
        assert!(!unified("", "x = \"\u{1b}[2J\"").join("").contains('\u{1b}'));
        let long: String = (0..5_000).map(|line| format!("{line}\n")).collect();
        assert_eq!(unified("", &long).len(), MOST_LINES + 1);
    }
}
