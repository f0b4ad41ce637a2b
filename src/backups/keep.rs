//! Pure: which backups stay. The newest of each hour, day and week that has one, so many of each; what somebody asked for
//! is counted apart, so that no schedule pushes it out.
use crate::{
    config::BackupKeep,
    domain::{BackupEntry, BackupId},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// 1970 began on a Thursday; weeks begin on Mondays.
const MONDAY: i64 = 3 * DAY;

/// One backup, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: BackupId,
    pub at: Timestamp,
    pub scheduled: bool,
    /// It was verified, and nothing was wrong.
    pub verified: bool,
}

impl Kept {
    /// None for one that is damaged: it stays until somebody has looked at it.
    pub fn of(entry: &BackupEntry) -> Option<Self> {
        let manifest = entry.manifest.as_ref()?;
        Some(Self {
            id: entry.id.clone(),
            at: manifest.at,
            scheduled: manifest.scheduled(),
            verified: entry.is_verified(),
        })
    }
}

/// Those that go, the oldest first. Never the newest, the newest that was verified, or one that is referred to.
pub fn doomed(backups: &[Kept], keep: &BackupKeep, referred: &BTreeSet<BackupId>) -> Vec<BackupId> {
    let mut newest_first: Vec<&Kept> = backups.iter().collect();
    newest_first.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let mut stays: BTreeSet<&BackupId> = referred.iter().collect();
    stays.extend(newest_first.first().map(|kept| &kept.id));
    stays.extend(newest_first.iter().find(|kept| kept.verified).map(|kept| &kept.id));
    let by_hand = newest_first.iter().filter(|kept| !kept.scheduled);
    stays.extend(by_hand.take(keep.by_hand as usize).map(|kept| &kept.id));
    for (length, start, most) in [(HOUR, 0, keep.hourly), (DAY, 0, keep.daily), (WEEK, MONDAY, keep.weekly)] {
        let mut seen = BTreeSet::new();
        for kept in newest_first.iter().filter(|kept| kept.scheduled) {
            let span = (kept.at.as_second() + start).div_euclid(length);
            if seen.len() < most as usize && seen.insert(span) {
                stays.insert(&kept.id);
            }
        }
    }
    newest_first.iter().rev().filter(|kept| !stays.contains(&kept.id)).map(|kept| kept.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(second: i64, scheduled: bool, verified: bool) -> Kept {
        let at = Timestamp::from_second(second).expect("a time");
        Kept { id: BackupId::new(at, 1), at, scheduled, verified }
    }

    /// An hour at a time from a Monday on.
    fn hours(count: i64) -> Vec<Kept> {
        (0..count).map(|hour| kept(4 * DAY + hour * HOUR, true, true)).collect()
    }

    #[test]
    fn the_newest_of_each_hour_day_and_week_stay() {
        let backups = hours(21 * 24);
        let keep = BackupKeep { hourly: 24, daily: 7, weekly: 2, by_hand: 0 };
        let gone: BTreeSet<_> = doomed(&backups, &keep, &BTreeSet::new()).into_iter().collect();
        let left: Vec<i64> = backups
            .iter()
            .filter(|kept| !gone.contains(&kept.id))
            .map(|kept| (kept.at.as_second() - 4 * DAY) / HOUR)
            .collect();
        let mut wanted: Vec<i64> = (20 * 24..21 * 24).collect();
        wanted.extend((14..20).map(|day| day * 24 + 23));
        wanted.push(14 * 24 - 1);
        wanted.sort_unstable();
        assert_eq!(left, wanted);
        let again: Vec<Kept> = backups.into_iter().filter(|kept| !gone.contains(&kept.id)).collect();
        assert_eq!(doomed(&again, &keep, &BTreeSet::new()), [], "it does not settle");
    }

    #[test]
    fn what_somebody_asked_for_is_not_pushed_out_by_the_schedule() {
        let mut backups = hours(100);
        backups.push(kept(4 * DAY + 60, false, true));
        backups.push(kept(4 * DAY + 61, false, true));
        let keep = BackupKeep { hourly: 2, daily: 0, weekly: 0, by_hand: 1 };
        let gone = doomed(&backups, &keep, &BTreeSet::new());
        assert!(!gone.contains(&backups[101].id) && gone.contains(&backups[100].id));
        assert_eq!(gone.len(), 99);
    }

    proptest! {
        #[test]
        fn never_the_newest_nor_the_newest_verified_nor_one_referred_to(
            made in prop::collection::btree_map(0..2_000_000_i64, (any::<bool>(), any::<bool>()), 1..60),
            (hourly, daily, weekly, by_hand) in (0..5u32, 0..5u32, 0..5u32, 0..5u32),
            refer in any::<prop::sample::Index>(),
        ) {
            let backups: Vec<Kept> = made.into_iter().map(|(at, (by, well))| kept(at, by, well)).collect();
            let referred: BTreeSet<_> = [refer.get(&backups).id.clone()].into();
            let keep = BackupKeep { hourly, daily, weekly, by_hand };
            let gone = doomed(&backups, &keep, &referred);
            let newest = backups.iter().max_by_key(|kept| kept.at).expect("one");
            prop_assert!(!gone.contains(&newest.id));
            if let Some(verified) = backups.iter().filter(|kept| kept.verified).max_by_key(|kept| kept.at) {
                prop_assert!(!gone.contains(&verified.id));
            }
            prop_assert!(gone.iter().all(|id| !referred.contains(id)));
            // It is bounded, and asked again it wants no more.
            let most = (hourly + daily + weekly + by_hand) as usize + 3;
            prop_assert!(backups.len() - gone.len() <= most);
            let left: Vec<Kept> = backups.into_iter().filter(|kept| !gone.contains(&kept.id)).collect();
            prop_assert_eq!(doomed(&left, &keep, &referred), Vec::new());
        }
    }
}
