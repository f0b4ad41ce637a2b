//! Pure: from what a window says and what was done before to what is done now. idle → pending → fired → cooling, and
//! stopped, where only an operator leads out.
use super::judge::Terms;
use crate::domain::{FiringState, Sight, TriggerFiring, TriggerState};

/// After a rollback that was not begun, until it is thought of again.
const AGAIN_S: i64 = 20;

/// How a trigger stood before this look.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// What it did last.
    pub last: Option<&'a TriggerFiring>,
    /// Since when its limit is passed.
    pub since: Option<i64>,
    pub held: bool,
    /// A deployment or a rollback is under way: nothing is begun beside it.
    pub busy: bool,
    pub now: i64,
    /// The release was changed then: what was done before is over, unless it was a rollback by itself.
    pub floor: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Nothing,
    Fire,
    /// Its rollback did not help.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub state: TriggerState,
    pub since: Option<i64>,
    pub deed: Deed,
}

pub fn decide(terms: &Terms, before: &Before<'_>, sight: Sight) -> Decision {
    let Before { last, since, held, busy, now, floor } = *before;
    let rests = |state| Decision { state, since: None, deed: Deed::Nothing };
    match last.map(|firing| firing.state) {
        Some(FiringState::Stopped) => return rests(TriggerState::Stopped),
        Some(FiringState::Intended | FiringState::Reverting) => return rests(TriggerState::Reverting),
        _ if held => return rests(TriggerState::Held),
        _ => {}
    }
    let seen = match sight {
        Sight::Quiet => TriggerState::Quiet,
        Sight::Breach => TriggerState::Pending,
        Sight::Unmeasured => TriggerState::Unmeasured,
    };
    if busy {
        return rests(seen);
    }
    let since = (sight == Sight::Breach).then(|| since.unwrap_or(now));
    let lasted = since.is_some_and(|since| now - since >= terms.lasting_s);
    let (state, deed) = match cooling(terms, last, now, floor) {
        Some(Cooling { after_revert: true }) if lasted => (TriggerState::Stopped, Deed::Stop),
        Some(_) => (TriggerState::Cooling, Deed::Nothing),
        None if lasted => (TriggerState::Pending, Deed::Fire),
        None => (seen, Deed::Nothing),
    };
    Decision { state, since, deed }
}

struct Cooling {
    after_revert: bool,
}

fn cooling(terms: &Terms, last: Option<&TriggerFiring>, now: i64, floor: i64) -> Option<Cooling> {
    let last = last?;
    let (from, lasts, after_revert) = match last.state {
        FiringState::Reverted => (last.ended_at.unwrap_or(last.at), terms.cooldown_s, true),
        FiringState::Told | FiringState::Paused | FiringState::Resumed if last.at.as_second() >= floor => {
            (last.at, terms.cooldown_s, false)
        }
        FiringState::Abandoned => (last.ended_at.unwrap_or(last.at), AGAIN_S.min(terms.cooldown_s), false),
        _ => return None,
    };
    (now < from.as_second().saturating_add(lasts)).then_some(Cooling { after_revert })
}
