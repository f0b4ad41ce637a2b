//! A release: what ships together, recorded once and never changed; and where it stands, which moves by one table.
use super::{AgentName, Digest, Interval, Principal, RunId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `r-7`: numbered from 1, and no number is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId(pub u32);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("r-{}", self.0))
    }
}

impl FromStr for ReleaseId {
    type Err = String;

    /// One way to write each: it is the name of a directory too.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("r-").and_then(|number| number.parse::<u32>().ok());
        match number.map(Self) {
            Some(id) if id.0 > 0 && id.to_string() == text => Ok(id),
            _ => {
                let text: String = text.chars().take(40).collect();
                Err(format!("`{}` is no release: write it like r-7", text.escape_debug()))
            }
        }
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> String {
        id.to_string()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// Recorded, and never run.
    Candidate,
    /// Runs, and nobody has called it good yet.
    OnTrial,
    /// Known to be good: what a rollback returns to.
    Stable,
    /// Another took its place.
    Superseded,
    /// It was tried and taken back.
    Reverted,
}

impl ReleaseState {
    pub const ALL: [Self; 5] =
        [Self::Candidate, Self::OnTrial, Self::Stable, Self::Superseded, Self::Reverted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::OnTrial => "on-trial",
            Self::Stable => "stable",
            Self::Superseded => "superseded",
            Self::Reverted => "reverted",
        }
    }

    /// The one table of legal moves. From `Superseded` straight to `Stable` goes only what has been stable before.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Candidate => &[Self::OnTrial, Self::Stable, Self::Reverted],
            Self::OnTrial => &[Self::Stable, Self::Superseded, Self::Reverted],
            Self::Stable => &[Self::Superseded, Self::Reverted],
            Self::Superseded => &[Self::OnTrial, Self::Stable],
            Self::Reverted => &[Self::OnTrial],
        }
    }

    /// Of this kind there is at most one.
    pub fn is_held_by_one(self) -> bool {
        matches!(self, Self::OnTrial | Self::Stable)
    }
}

impl fmt::Display for ReleaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The record, as `release.json` holds it. Immutable: whatever changes later is `ReleaseStanding`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub schema_version: u32,
    pub id: ReleaseId,
    pub at: Timestamp,
    pub by: Principal,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Of the step that made it: by this it knows its own after a crash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    pub environment: String,
    /// SHA-256 over all that ships: configuration, artifacts, migration. Alike in two releases that ship the same.
    pub content: Digest,
    /// None where the daemon runs without a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ReleasedConfig>,
    /// Of the directory of the configuration.
    pub revision: Revision,
    pub agents: Vec<ReleasedAgent>,
    pub migration: Migration,
    pub agentd_version: String,
    /// Of the daemon's own database.
    pub database_version: u32,
    /// The last validation of everything; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ReleasedReadiness>,
    /// The newest backup; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// What was doubtful when it was made, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedConfig {
    /// Where it was read from.
    pub file: String,
    pub digest: Digest,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedAgent {
    pub name: AgentName,
    pub kind: String,
    /// None for an agent whose code is not part of releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
}

/// A directory with an agent's code, as it was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub source: String,
    /// SHA-256 of its listing: of each entry type, mode, content and path.
    pub digest: Digest,
    pub files: u64,
    pub bytes: u64,
    pub revision: Revision,
}

/// What git says of a directory; where it cannot say, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revision {
    Git {
        /// None before the first commit.
        commit: Option<String>,
        /// None where HEAD is detached.
        branch: Option<String>,
        /// Something below the directory is not as it was committed.
        dirty: bool,
    },
    Unknown(String),
}

/// Declared commands that bring the data to what this release needs, and back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Migration {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub up: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<String>,
    /// There is no way back from `up`.
    pub irreversible: bool,
    /// What is run before the first start of this content on a machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unprepare: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleasedReadiness {
    pub run: RunId,
    pub verdict: Verdict,
    pub score: Interval,
    pub at: Timestamp,
    /// How old it was when the release was made.
    pub age_s: u64,
}

/// How a release came to stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseMove {
    /// None when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseState>,
    pub to: ReleaseState,
    pub at: Timestamp,
    pub by: Principal,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A release, where it stands and how it came there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStanding {
    #[serde(flatten)]
    pub release: Release,
    pub state: ReleaseState,
    /// SHA-256 of `release.json`, as it was written.
    pub record: Digest,
    /// Oldest first.
    pub moves: Vec<ReleaseMove>,
}

impl ReleaseStanding {
    /// When it last became stable; none if it never was.
    pub fn stable_since(&self) -> Option<Timestamp> {
        self.moves.iter().rev().find(|step| step.to == ReleaseState::Stable).map(|step| step.at)
    }
}

/// One of the moves that one decision amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedMove {
    pub id: ReleaseId,
    pub from: ReleaseState,
    pub to: ReleaseState,
}

/// A release as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseRank {
    pub id: ReleaseId,
    pub state: ReleaseState,
    pub was_stable: bool,
}

/// What follows from bringing `id` to `to`: first whoever held that place makes room for it, then the move itself.
pub fn plan_move(all: &[ReleaseRank], id: ReleaseId, to: ReleaseState) -> Result<Vec<PlannedMove>, String> {
    let Some(this) = all.iter().find(|known| known.id == id) else {
        return Err(format!("there is no release {id}"));
    };
    if this.state == to {
        return Err(format!("{id} is {to} already"));
    }
    if !this.state.next().contains(&to) {
        return Err(format!("{id} is {}, and nothing goes from there to {to}", this.state));
    }
    if this.state == ReleaseState::Superseded && to == ReleaseState::Stable && !this.was_stable {
        return Err(format!("{id} has never been stable: it goes on trial first"));
    }
    let holders = all.iter().filter(|other| to.is_held_by_one() && other.state == to && other.id != id);
    let mut moves: Vec<PlannedMove> = holders
        .map(|other| PlannedMove { id: other.id, from: other.state, to: ReleaseState::Superseded })
        .collect();
    moves.push(PlannedMove { id, from: this.state, to });
    Ok(moves)
}

/// What a rollback returns to: the stable release where another runs, else the one that was stable before it.
pub fn previous_stable(all: &[ReleaseStanding], current: Option<ReleaseId>) -> Option<ReleaseId> {
    let stable = all.iter().find(|known| known.state == ReleaseState::Stable);
    if let Some(stable) = stable.filter(|stable| Some(stable.release.id) != current) {
        return Some(stable.release.id);
    }
    let before = all
        .iter()
        .filter(|known| known.state == ReleaseState::Superseded && Some(known.release.id) != current);
    before.filter_map(|known| Some((known.stable_since()?, known.release.id))).max().map(|(_, id)| id)
}

/// Pure: which releases are past keeping. The newest `keep` of those that may go stay, and so does whatever runs, is
/// stable or on trial, or would be returned to.
pub fn expendable(all: &[ReleaseStanding], current: Option<ReleaseId>, keep: usize) -> Vec<ReleaseId> {
    let needed = previous_stable(all, current);
    let may_go = |known: &&ReleaseStanding| {
        let id = Some(known.release.id);
        !known.state.is_held_by_one() && id != current && id != needed
    };
    let mut ids: Vec<ReleaseId> = all.iter().filter(may_go).map(|known| known.release.id).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.split_off(keep.min(ids.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rank(id: u32, state: ReleaseState, was_stable: bool) -> ReleaseRank {
        ReleaseRank { id: ReleaseId(id), state, was_stable }
    }

    #[test]
    fn a_release_is_written_in_one_way() {
        assert_eq!("r-12".parse(), Ok(ReleaseId(12)));
        for wrong in ["", "r-", "r-0", "r-01", "r-+1", "R-1", "12", "r-1/../x", "r-99999999999", "\u{1b}[2J"]
        {
            assert!(wrong.parse::<ReleaseId>().is_err(), "{wrong:?}");
        }
        assert!(ReleaseId(9) < ReleaseId(10));
    }

    #[test]
    fn who_is_blessed_takes_the_place_of_who_was_stable() {
        let all = [rank(1, ReleaseState::Stable, true), rank(2, ReleaseState::OnTrial, false)];
        let moves = plan_move(&all, ReleaseId(2), ReleaseState::Stable).expect("legal");
        let (one, two) = (ReleaseId(1), ReleaseId(2));
        assert_eq!(
            moves,
            [
                PlannedMove { id: one, from: ReleaseState::Stable, to: ReleaseState::Superseded },
                PlannedMove { id: two, from: ReleaseState::OnTrial, to: ReleaseState::Stable },
            ]
        );
        for (id, to, why) in [
            (3, ReleaseState::Stable, "no release r-3"),
            (1, ReleaseState::Stable, "already"),
            (2, ReleaseState::Candidate, "nothing goes from there"),
        ] {
            assert!(plan_move(&all, ReleaseId(id), to).expect_err("refused").contains(why));
        }
        let passed_by = [rank(1, ReleaseState::Superseded, false)];
        assert!(plan_move(&passed_by, ReleaseId(1), ReleaseState::Stable).is_err());
        let proven = [rank(1, ReleaseState::Superseded, true)];
        assert!(plan_move(&proven, ReleaseId(1), ReleaseState::Stable).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_asked_at_most_one_is_stable_and_one_on_trial_and_each_move_is_in_the_table(
            asked in prop::collection::vec((1_u32..6, 0_usize..5), 0..60)
        ) {
            let mut all: Vec<_> = (1..6).map(|id| rank(id, ReleaseState::Candidate, false)).collect();
            for (id, to) in asked {
                let before = all.clone();
                let Ok(moves) = plan_move(&all, ReleaseId(id), ReleaseState::ALL[to]) else {
                    prop_assert_eq!(&all, &before);
                    continue;
                };
                for step in moves {
                    let known = all.iter_mut().find(|known| known.id == step.id).expect("it is there");
                    prop_assert_eq!(known.state, step.from);
                    prop_assert!(step.from.next().contains(&step.to), "{:?}", step);
                    known.state = step.to;
                    known.was_stable |= step.to == ReleaseState::Stable;
                    // Also between the two moves of one decision.
                    for state in [ReleaseState::Stable, ReleaseState::OnTrial] {
                        prop_assert!(all.iter().filter(|known| known.state == state).count() <= 1);
                    }
                }
            }
        }
    }
}
