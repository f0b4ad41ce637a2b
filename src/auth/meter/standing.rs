//! How everybody stands: what an operator asks at night, and the reset that may follow.
use super::{Meter, account::Account, seconds, window};
use crate::domain::{Act, Fault, Principal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::NonZero,
    sync::Arc,
    time::Duration,
};

/// How many hours back are told of.
const HOURS: u32 = 24;

/// One principal: its bounds, and what is left of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaStanding {
    /// As text: `agent:orders`.
    pub name: Principal,
    /// Requests in an hour; none where it is unbounded.
    pub per_hour: Option<u64>,
    /// In this hour. After a restart it includes what the last daemon had reserved and did not return.
    pub used: u64,
    pub remaining: Option<u64>,
    pub resets_at: Timestamp,
    pub resets_in_s: u64,
    /// Requests in a second; none where it is unbounded.
    pub per_second: Option<u32>,
    pub burst: Option<u32>,
    /// How many it may ask at once now.
    pub at_once: Option<u32>,
    /// In this hour, since the daemon started, by either bound.
    pub refused: u64,
    pub penalty: Option<Penalty>,
}

/// What stands against a source that showed wrong keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    /// Not yet forgiven.
    pub failures: u32,
    /// Until it may show another; 0 if it may now.
    pub waits_s: u64,
}

/// What was reserved of one hour: what was used, rounded up to blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourUsed {
    pub hour: Timestamp,
    pub reserved: u64,
}

impl Meter {
    /// Everybody of whom there is something to say: who used, was refused or penalised in this hour, and who has bounds
    /// of its own.
    pub async fn standings(&self) -> Result<Vec<QuotaStanding>, Fault> {
        let look = self.look();
        let kept = self.store.quotas_of_hour(look.hour).await?;
        let kept: BTreeMap<_, _> = kept.into_iter().map(|row| (row.principal, row.reserved)).collect();
        let own = self.settings.borrow().clone();
        let own = own.quotas.principals.keys().filter_map(|name| name.parse().ok());
        let mut names: BTreeSet<Principal> = own.chain(kept.keys().cloned()).collect();
        names.extend(look.accounts.keys().cloned());
        names.extend(look.penalties.keys().cloned());
        let standings = names.into_iter().map(|name| {
            let reserved = kept.get(&name).copied().unwrap_or(0);
            self.standing(name, reserved, &look)
        });
        Ok(standings.collect())
    }

    /// One of them, with its last hours, newest first.
    pub async fn standing_of(&self, name: Principal) -> Result<(QuotaStanding, Vec<HourUsed>), Fault> {
        let look = self.look();
        let kept = self.store.quotas_of(name.clone(), HOURS).await?;
        let reserved = kept.iter().find(|row| row.hour == look.hour).map_or(0, |row| row.reserved);
        let hours = kept
            .iter()
            .map(|row| HourUsed { hour: window::start_of(row.hour), reserved: row.reserved })
            .collect();
        Ok((self.standing(name, reserved, &look), hours))
    }

    /// Gives a principal its hour anew, and forgives the source of that name.
    pub async fn reset(&self, name: Principal, act: Act) -> Result<(), Fault> {
        let account = self.account(&name);
        // No reservation may pass between what is deleted and what is forgotten.
        let _turn = account.turn.acquire().await;
        self.store.reset_quota(name.clone(), self.look().hour, act).await?;
        account.clear();
        self.patient().forgive(&name);
        Ok(())
    }

    fn look(&self) -> Look {
        let (wall, now) = (self.clock.now(), self.clock.instant());
        let settings = self.settings.borrow().clone();
        let penalties = self.patient().standing(now, &settings.quotas.failures);
        let penalties = penalties
            .into_iter()
            .map(|(source, failures, wait)| (source, Penalty { failures, waits_s: seconds(wait) }));
        let (era, left) = match self.inner.window.at(wall, now) {
            window::Moment::Within { era, left, .. } => (Some(era), left),
            window::Moment::Over { .. } => (None, Duration::ZERO),
        };
        Look {
            era,
            hour: era.map_or(window::hour_of(wall), |era| era.hour),
            resets_in_s: seconds(left),
            resets_at: wall.checked_add(left).unwrap_or(Timestamp::MAX),
            penalties: penalties.collect(),
            accounts: self.accounts(),
        }
    }

    fn standing(&self, name: Principal, reserved: u64, look: &Look) -> QuotaStanding {
        let quota = self.quota(&name);
        let account = look.accounts.get(&name).zip(look.era);
        let known = account.map(|(account, era)| account.look(era, self.clock.instant()));
        let used = known.and_then(|known| known.used).unwrap_or(reserved);
        let per_hour = quota.per_hour.map(NonZero::get);
        QuotaStanding {
            per_hour,
            used,
            remaining: per_hour.map(|limit| limit.saturating_sub(used)),
            resets_at: look.resets_at,
            resets_in_s: look.resets_in_s,
            per_second: quota.speed.map(|speed| speed.per_second.get()),
            burst: quota.speed.map(|speed| speed.burst.get()),
            at_once: known
                .and_then(|known| known.at_once)
                .or(quota.speed.map(|speed| speed.burst.get()))
                .filter(|_| quota.speed.is_some()),
            refused: known.map_or(0, |known| known.refused),
            penalty: look.penalties.get(&name).copied(),
            name,
        }
    }
}

/// One moment, for all that is told of it.
struct Look {
    era: Option<window::Era>,
    hour: i64,
    resets_in_s: u64,
    resets_at: Timestamp,
    penalties: BTreeMap<Principal, Penalty>,
    accounts: HashMap<Principal, Arc<Account>>,
}
