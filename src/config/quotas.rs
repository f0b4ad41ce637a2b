//! `[quotas]`: how many requests a principal has in an hour, how fast it may ask, and how long a source that shows wrong
//! keys must wait.
use crate::domain::{Period, Principal, PrincipalKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

/// A service that asks for every action of its users, all day, and bursts when a queue empties.
const OF_SERVICES: QuotaSettings =
    QuotaSettings { per_hour: Some(100_000), per_second: Some(200), burst: Some(1_000), block: Some(BLOCK) };
/// An hour as the documents bound it; fast enough for a thousand replicas that each tell of themselves every 5 s.
const OF_AGENTS: QuotaSettings =
    QuotaSettings { per_hour: Some(10_000), per_second: Some(200), burst: Some(1_000), block: Some(BLOCK) };
/// People are not bounded unless the file says so: nobody is locked out of an incident by a default.
const OF_USERS: QuotaSettings =
    QuotaSettings { per_hour: Some(0), per_second: Some(0), burst: Some(0), block: Some(BLOCK) };
const BLOCK: u32 = 100;

/// How many requests each may make. Hours are those of the clock in UTC. What a person on the
/// socket looks at, reloads, stops, or changes of keys and quotas is never counted; reports of agents count for their
/// speed alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Quotas {
    /// Each person, by the uid that the kernel reports. Default: unbounded.
    pub users: QuotaSettings,
    /// Each service. Default: 100,000 an hour, 200 a second, 1,000 at once.
    pub services: QuotaSettings,
    /// Each agent, all its replicas together. Default: 10,000 an hour, 200 a second, 1,000 at once.
    pub agents: QuotaSettings,
    /// What is otherwise for one of them: `[quotas.principals."agent:orders"]`.
    pub principals: BTreeMap<String, QuotaSettings>,
    pub failures: FailureSettings,
}

/// What is not written is as for its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QuotaSettings {
    /// Requests in an hour; 0 lifts the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub per_hour: Option<u64>,
    /// Requests in a second; 0 lifts the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_second: Option<u32>,
    /// Requests at once; 0 stands for as many as in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Requests that are written to the store at a time, before the first of them is served: a crash costs what is left
    /// of them. Never more than a tenth of the hour. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub block: Option<u32>,
}

/// What becomes of a source (a uid on the socket, or one of the agents) that shows keys which prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FailureSettings {
    /// Wrong keys before it must wait.
    #[schemars(range(min = 1, max = 10_000))]
    pub tolerated: u32,
    /// The first wait; each further wrong key doubles it.
    pub first_wait: Period,
    pub longest_wait: Period,
    /// One wrong key is forgotten each time that this passes in peace.
    pub forgiven_after: Period,
}

impl Default for FailureSettings {
    fn default() -> Self {
        Self {
            tolerated: 20,
            first_wait: Period::secs(1),
            longest_wait: Period::secs(300),
            forgiven_after: Period::secs(600),
        }
    }
}

/// What bounds one principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// None: unbounded.
    pub per_hour: Option<NonZeroU64>,
    /// None: as fast as it can.
    pub speed: Option<Speed>,
    /// Reserved at a time.
    pub block: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

impl Quotas {
    /// What is written for it, else for its kind, else built in.
    pub fn of(&self, principal: &Principal) -> Quota {
        let (kind, built_in) = match principal.kind {
            PrincipalKind::User => (self.users, OF_USERS),
            PrincipalKind::Service => (self.services, OF_SERVICES),
            PrincipalKind::Agent => (self.agents, OF_AGENTS),
        };
        let own = if self.principals.is_empty() {
            QuotaSettings::default()
        } else {
            self.principals.get(&principal.to_string()).copied().unwrap_or_default()
        };
        own.or(kind).or(built_in).settled()
    }
}

impl QuotaSettings {
    fn or(self, other: Self) -> Self {
        // Who says how fast says how many at once, or as many as that.
        let burst = if self.per_second.is_some() { Some(0) } else { other.burst };
        Self {
            per_hour: self.per_hour.or(other.per_hour),
            per_second: self.per_second.or(other.per_second),
            burst: self.burst.or(burst),
            block: self.block.or(other.block),
        }
    }

    fn settled(self) -> Quota {
        let per_hour = self.per_hour.and_then(NonZeroU64::new);
        let speed = self.per_second.and_then(NonZeroU32::new).map(|per_second| Speed {
            per_second,
            burst: self.burst.and_then(NonZeroU32::new).unwrap_or(per_second),
        });
        let tenth = per_hour.map_or(u64::MAX, |hour| (hour.get() / 10).max(1));
        Quota { per_hour, speed, block: u64::from(self.block.unwrap_or(BLOCK)).clamp(1, tenth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(quotas: &Quotas, principal: &str) -> (u64, u32, u32, u64) {
        let of = quotas.of(&principal.parse().expect("a principal"));
        let (rate, burst) = of.speed.map_or((0, 0), |speed| (speed.per_second.get(), speed.burst.get()));
        (of.per_hour.map_or(0, NonZeroU64::get), rate, burst, of.block)
    }

    #[test]
    fn what_is_written_for_one_counts_before_what_is_for_its_kind_and_that_before_what_is_built_in() {
        let none = Quotas::default();
        assert_eq!(quota(&none, "user:1000"), (0, 0, 0, 100));
        assert_eq!(quota(&none, "service:shop"), (100_000, 200, 1_000, 100));
        assert_eq!(quota(&none, "agent:orders"), (10_000, 200, 1_000, 100));
        let some: Quotas = toml::from_str(
            "[agents]\nper_hour = 1000\n[users]\nper_second = 5\n\
             [principals.\"agent:orders\"]\nper_second = 3\nblock = 7\n\
             [principals.\"agent:free\"]\nper_hour = 0\nper_second = 0\n\
             [principals.\"user:7\"]\nburst = 9\n",
        )
        .expect("quotas");
        assert_eq!(quota(&some, "agent:other"), (1_000, 200, 1_000, 100));
        assert_eq!(quota(&some, "agent:orders"), (1_000, 3, 3, 7), "a burst of others was taken over");
        assert_eq!(quota(&some, "agent:free"), (0, 0, 0, 100));
        assert_eq!(quota(&some, "user:6"), (0, 5, 5, 100));
        assert_eq!(quota(&some, "user:7"), (0, 5, 9, 100));
        assert_eq!(quota(&some, "service:orders"), (100_000, 200, 1_000, 100), "another kind's");
    }

    #[test]
    fn a_crash_never_costs_more_than_a_tenth_of_the_hour() {
        for (per_hour, block) in [(10_000, 100), (500, 50), (9, 1), (1, 1)] {
            let quotas = Quotas {
                agents: QuotaSettings { per_hour: Some(per_hour), ..QuotaSettings::default() },
                ..Quotas::default()
            };
            assert_eq!(quota(&quotas, "agent:orders").3, block);
        }
    }
}
