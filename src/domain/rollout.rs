//! A rollout: one more copy of an agent runs another release beside what is stable, and the two are compared. Where it
//! stands, by one table of moves; and how a comparison is told.
use super::{AgentName, AgentState, InstanceId, OperationId, Principal, ReleaseId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// The candidate runs, or is being started.
    Trying,
    /// The candidate is gone, and the whole fleet is on its way to the release.
    Promoting,
    /// The fleet runs the release.
    Promoted,
    /// Somebody, or the comparison, ended it.
    Aborted,
    /// Something else did: the deployment was taken back, the fleet was switched off, agentd ended.
    Failed,
}

impl RolloutState {
    pub const ALL: [Self; 5] = [Self::Trying, Self::Promoting, Self::Promoted, Self::Aborted, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Promoting => "promoting",
            Self::Promoted => "promoted",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }

    /// The one table of legal moves.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Trying => &[Self::Promoting, Self::Aborted, Self::Failed],
            Self::Promoting => &[Self::Promoted, Self::Failed],
            Self::Promoted | Self::Aborted | Self::Failed => &[],
        }
    }

    /// Of these an agent has at most one.
    pub fn is_open(self) -> bool {
        !self.next().is_empty()
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Numbered from 1 by the store; 0 before.
    pub id: u64,
    pub agent: AgentName,
    pub release: ReleaseId,
    pub state: RolloutState,
    pub by: Principal,
    pub reason: String,
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it stands where it stands; empty while the candidate is tried.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The deployment that it was promoted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The last that was made; while the candidate is tried, the one of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<RolloutComparison>,
}

/// How the candidate is against what is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worth {
    Better,
    Same,
    Worse,
    /// Too little was seen to say.
    Unmeasured,
}

impl Worth {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::Unmeasured => "unmeasured",
        }
    }
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Candidate against stable over the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutComparison {
    pub at: Timestamp,
    /// Since when the two have been looked at.
    pub since: Timestamp,
    pub worth: Worth,
    /// What makes it so, a sentence each.
    pub because: Vec<String>,
    pub lines: Vec<RolloutLine>,
    /// Looks at each side that a figure needs.
    pub samples: u32,
    /// How often in a row it was judged worse.
    #[serde(default)]
    pub worse_in_a_row: u32,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutLine {
    /// `probe ready: p95`
    pub what: String,
    /// %, ms, s, MiB, MiB/h; empty for a count.
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<f64>,
    /// Of how many looks each is.
    pub stable_n: u32,
    pub candidate_n: u32,
    pub worth: Worth,
    /// Whether it has a say in the whole.
    pub decides: bool,
    /// Why it cannot be told, or is worse.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What the status tells of one under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutBrief {
    pub instance: InstanceId,
    pub release: ReleaseId,
    pub since: Timestamp,
    pub state: AgentState,
    pub worth: Worth,
}

/// How much of an agent's tasks its candidate is given, in percent. The steps of a gradual rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Share(u8);

impl Share {
    pub const STEPS: [u8; 3] = [10, 50, 100];

    pub fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Share {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        if Self::STEPS.contains(&percent) {
            Ok(Self(percent))
        } else {
            Err(format!("{percent} is no share: 10, 50 or 100"))
        }
    }
}

impl From<Share> for u8 {
    fn from(share: Share) -> u8 {
        share.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent: Option<u8> = text.strip_suffix('%').unwrap_or(text).parse().ok();
        let wrong = || {
            let text: String = text.chars().take(40).collect();
            format!("`{}` is no share: 10, 50 or 100", text.escape_debug())
        };
        percent.and_then(|percent| Self::try_from(percent).ok()).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_one_of_the_steps() {
        assert_eq!("10".parse::<Share>().map(Share::percent), Ok(10));
        assert_eq!("50%".parse::<Share>().map(Share::percent), Ok(50));
        for wrong in ["", "0", "25", "101", "256", "-10", "10%%", "all"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    proptest! {
        /// However it is pushed about, it ends at most once, and nothing goes on after its end.
        #[test]
        fn a_rollout_ends_once(wishes in proptest::collection::vec(0_usize..5, 0..40)) {
            let (mut state, mut ends, mut promotions) = (RolloutState::Trying, 0, 0);
            for wish in wishes {
                let to = RolloutState::ALL[wish];
                if !state.next().contains(&to) {
                    continue;
                }
                prop_assert!(state.is_open());
                // Nothing is promoted that was not on its way there.
                prop_assert!(to != RolloutState::Promoted || state == RolloutState::Promoting);
                promotions += u32::from(to == RolloutState::Promoting);
                ends += u32::from(!to.is_open());
                state = to;
            }
            prop_assert!(ends <= 1 && promotions <= 1);
            prop_assert_eq!(ends == 1, !state.is_open());
        }
    }
}
