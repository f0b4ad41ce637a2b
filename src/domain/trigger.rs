//! What acts by itself on what is measured: a trigger as it is declared to act, as it stands, and what it did.
use super::{Labels, MetricUnit, OperationId, Period, Principal, ReleaseId, Stat};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a trigger does when it fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerAction {
    /// Tells of it.
    #[default]
    Observe,
    /// No deployment begins until somebody resumes.
    Pause,
    /// Rolls back in full, to the release that was stable before.
    Revert,
}

/// What it means where there is too little to judge by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    /// Nothing is done about it; it is shown as unmeasured.
    Ignore,
    /// It is told of, once.
    #[default]
    Observe,
    /// As if the limit were passed, where agentd looked and there was nothing to see.
    Breach,
}

/// What a window says. Missing evidence is never `Quiet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    Quiet,
    Breach,
    Unmeasured,
}

/// One window, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub sight: Sight,
    /// None where nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Looks, or what a histogram counted.
    pub samples: u64,
    /// The share of the window, 0 to 1, that there were looks in.
    pub observed: f64,
    /// Of several series, the one that the value is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Labels>,
}

/// How a trigger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerState {
    Quiet,
    /// Too little was seen to say anything.
    Unmeasured,
    /// Its limit is passed, not yet for long enough.
    Pending,
    /// Its rollback is under way.
    Reverting,
    /// It fired, and does not again for a while.
    Cooling,
    /// Somebody holds it for maintenance.
    Held,
    /// Its rollback failed or did not help: nothing is done by itself until somebody resets it.
    Stopped,
}

/// What became of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FiringState {
    /// It was told of, and that is all.
    Told,
    /// Deployments are paused by it.
    Paused,
    /// Somebody let them go on.
    Resumed,
    /// A rollback is just about to be begun.
    Intended,
    /// It is under way.
    Reverting,
    /// It came to its end.
    Reverted,
    /// None was begun.
    Abandoned,
    /// It failed, was refused, or did not help; it stands until somebody resets it.
    Stopped,
    /// Somebody did.
    Reset,
}

/// One time that a trigger fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerFiring {
    pub id: u64,
    pub trigger: String,
    pub at: Timestamp,
    /// What it did, which may be less than what is declared.
    pub action: TriggerAction,
    pub state: FiringState,
    /// What ran then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What was seen, a sentence.
    pub told: String,
    /// The rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<Principal>,
    /// Why it was not more, or how it ended; mostly empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Triggers that do nothing until a time, because somebody works there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerHold {
    pub id: u64,
    /// None: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    pub reason: String,
    pub by: Principal,
    pub at: Timestamp,
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<Principal>,
}

/// A trigger as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerStanding {
    pub name: String,
    pub state: TriggerState,
    pub metric: String,
    pub unit: MetricUnit,
    pub statistic: Stat,
    /// `above 200 ms`
    pub limit: String,
    pub window: Period,
    pub action: TriggerAction,
    pub reading: Reading,
    /// Since when its limit is passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it would do less than what is declared, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fired: Option<TriggerFiring>,
}

impl TriggerAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Pause => "pause",
            Self::Revert => "revert",
        }
    }
}

impl TriggerState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Unmeasured => "unmeasured",
            Self::Pending => "pending",
            Self::Reverting => "reverting",
            Self::Cooling => "cooling",
            Self::Held => "held",
            Self::Stopped => "stopped",
        }
    }
}

impl FiringState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Intended => "intended",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Abandoned => "abandoned",
            Self::Stopped => "stopped",
            Self::Reset => "reset",
        }
    }

    /// The one table of legal moves.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Paused => &[Self::Resumed],
            Self::Intended => &[Self::Reverting, Self::Abandoned, Self::Stopped],
            Self::Reverting => &[Self::Reverted, Self::Stopped],
            Self::Stopped => &[Self::Reset],
            Self::Told | Self::Resumed | Self::Reverted | Self::Abandoned | Self::Reset => &[],
        }
    }
}

impl fmt::Display for TriggerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl TriggerHold {
    pub fn holds(&self, trigger: &str, now: Timestamp) -> bool {
        self.is_in_force(now) && self.trigger.as_deref().is_none_or(|held| held == trigger)
    }

    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.released_at.is_none() && now < self.expires_at
    }

    /// `all triggers until …, by …: reason`
    pub fn sentence(&self) -> String {
        let what =
            self.trigger.as_deref().map_or_else(|| "all triggers".into(), |name| format!("trigger {name}"));
        let until = self.expires_at.strftime("%Y-%m-%d %H:%MZ");
        format!("{what} held until {until} by {}: {}", self.by, self.reason)
    }
}

/// A value of a metric as people read it.
pub fn measured(value: f64, unit: MetricUnit, statistic: Stat) -> String {
    let number = |value: f64| {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let per = if statistic == Stat::Rate { "/s" } else { "" };
    match unit {
        MetricUnit::Bytes if value.abs() >= 1024.0 => {
            let units = ["KiB", "MiB", "GiB", "TiB"];
            let mut rest = value / 1024.0;
            let mut at = 0;
            while rest.abs() >= 1024.0 && at + 1 < units.len() {
                rest /= 1024.0;
                at += 1;
            }
            format!("{rest:.1} {}{per}", units[at])
        }
        MetricUnit::Bytes => format!("{value:.0} B{per}"),
        MetricUnit::Milliseconds => format!("{} ms{per}", number(value)),
        MetricUnit::Seconds => format!("{} s{per}", number(value)),
        MetricUnit::Count | MetricUnit::Flag => format!("{}{per}", number(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_unit() {
        for (value, unit, statistic, wanted) in [
            (2_147_483_648.0, MetricUnit::Bytes, Stat::Last, "2.0 GiB"),
            (512.0, MetricUnit::Bytes, Stat::Last, "512 B"),
            (200.0, MetricUnit::Milliseconds, Stat::P95, "200 ms"),
            (0.25, MetricUnit::Count, Stat::Rate, "0.25/s"),
            (1.0, MetricUnit::Flag, Stat::Last, "1"),
        ] {
            assert_eq!(measured(value, unit, statistic), wanted);
        }
    }

    #[test]
    fn a_hold_ends_by_itself_and_holds_its_own_alone() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let hold = TriggerHold {
            id: 1,
            trigger: Some("memory".into()),
            reason: "a drill".into(),
            by: "user:0".parse().expect("a principal"),
            at: at(0),
            expires_at: at(100),
            released_at: None,
            released_by: None,
        };
        assert!(
            hold.holds("memory", at(99)) && !hold.holds("memory", at(100)) && !hold.holds("errors", at(1))
        );
        assert!(TriggerHold { trigger: None, ..hold.clone() }.holds("errors", at(1)));
        assert!(!TriggerHold { released_at: Some(at(1)), ..hold }.holds("memory", at(2)));
    }
}
