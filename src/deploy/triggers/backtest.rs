//! Pure: the same judge over what was recorded: when a trigger would have fired. Releases, holds and approvals are left
//! out of it, and so is what a firing would have changed.
use super::{
    history::{History, time, within},
    judge::{LOOK_S, Terms, read},
    machine::{Before, Deed, decide},
};
use crate::domain::{FiringState, Reading, Sight, TriggerAction, TriggerFiring};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Of one trigger.
const MOST_SHOWN: usize = 100;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backtest {
    pub schema_version: u32,
    pub triggers: Vec<Backtested>,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Seconds from one judgement to the next: coarser than what runs judges, where ten seconds are not kept for so long.
    pub step_s: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backtested {
    pub name: String,
    /// How often it would have fired.
    pub fired: u64,
    /// When, the first hundred.
    pub firings: Vec<WouldFire>,
    /// The share of the time, 0 to 1, that there were looks in.
    pub observed: f64,
    /// The share of the judgements that could say nothing.
    pub unmeasured: f64,
    /// The share of them that were beyond the limit.
    pub breached: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WouldFire {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

pub fn replay(name: &str, terms: &Terms, history: &History, since: i64, until: i64) -> Backtested {
    let mut last: Option<TriggerFiring> = None;
    let (mut passed_since, mut steps, mut unmeasured, mut breached, mut fired) =
        (None, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut firings = Vec::new();
    let mut at = since + history.step_s;
    while at <= until {
        let reading = read(terms, history, at, i64::MIN);
        let before = Before {
            last: last.as_ref(),
            since: passed_since,
            held: false,
            busy: false,
            now: at,
            floor: i64::MIN,
        };
        let decision = decide(terms, &before, reading.sight);
        passed_since = decision.since;
        steps += 1;
        unmeasured += u64::from(reading.sight == Sight::Unmeasured);
        breached += u64::from(reading.sight == Sight::Breach);
        if decision.deed == Deed::Fire {
            fired += 1;
            if firings.len() < MOST_SHOWN {
                firings.push(WouldFire { at: time(at), value: reading.value });
            }
            last = Some(told(name, at, &reading));
        }
        at += history.step_s;
    }
    let looks: u64 = within(&history.looks, since, until).iter().map(|(_, looks)| looks).sum();
    let share = |part: u64| if steps == 0 { 0.0 } else { part as f64 / steps as f64 };
    let mut doubts = Vec::new();
    if terms.window_s < history.step_s {
        doubts.push(format!("its window is shorter than the {} s that are kept for so long", history.step_s));
    }
    Backtested {
        name: name.to_owned(),
        fired,
        firings,
        observed: (looks as f64 * LOOK_S as f64 / (until - since).max(1) as f64).min(1.0),
        unmeasured: share(unmeasured),
        breached: share(breached),
        doubts,
    }
}

/// What it would have left behind: told, and cooling.
fn told(name: &str, at: i64, reading: &Reading) -> TriggerFiring {
    TriggerFiring {
        id: 0,
        trigger: name.to_owned(),
        at: time(at),
        action: TriggerAction::Observe,
        state: FiringState::Told,
        release: None,
        value: reading.value,
        told: String::new(),
        operation: None,
        ended_at: None,
        ended_by: None,
        why: String::new(),
    }
}
