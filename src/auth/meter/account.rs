//! What one principal has left: pure arithmetic under one short lock. What is ready to be served was reserved before.
use super::window::Era;
use crate::{
    config::Speed,
    resilience::{Limiter, Remaining, Wait},
    store::Reserved,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};

pub struct Account {
    count: Mutex<Count>,
    /// One reservation at a time.
    pub turn: Arc<Semaphore>,
}

#[derive(Default)]
struct Count {
    era: Era,
    /// Reserved of this hour, by this process and those before it.
    granted: u64,
    /// Of that, not yet served.
    ready: u64,
    refused: u64,
    pace: Option<(Speed, Limiter)>,
}

impl Default for Era {
    /// Before the first.
    fn default() -> Self {
        Self { number: 0, hour: i64::MIN }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// One is served, and so many are used with it.
    Served { used: u64 },
    /// The limit is reached.
    Spent,
    /// Nothing is ready: reserve more.
    Empty,
}

/// What is known of an account without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// None while nothing was reserved by this process in this hour.
    pub used: Option<u64>,
    pub refused: u64,
    /// How many it may ask at once now; none where nothing bounds its speed or it did not ask yet.
    pub at_once: Option<u32>,
}

impl Default for Account {
    fn default() -> Self {
        Self { count: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Account {
    /// One request of its speed.
    pub fn pace(&self, speed: Speed, now: Instant) -> Result<Remaining, Wait> {
        let mut count = self.count();
        match &count.pace {
            Some((known, limiter)) if *known == speed => limiter.take(now),
            _ => {
                let limiter = Limiter::new(speed.per_second, Duration::from_secs(1), speed.burst);
                count.pace.insert((speed, limiter)).1.take(now)
            }
        }
    }

    /// One request of its hour.
    pub fn take(&self, era: Era, limit: u64) -> Taken {
        let mut count = self.count();
        count.enter(era);
        if count.used() >= limit {
            Taken::Spent
        } else if count.ready > 0 {
            count.ready -= 1;
            Taken::Served { used: count.used() }
        } else {
            Taken::Empty
        }
    }

    /// Would a reservation help?
    pub fn is_empty(&self, era: Era, limit: u64) -> bool {
        let mut count = self.count();
        count.enter(era);
        count.ready == 0 && count.used() < limit
    }

    /// What was reserved may be served. Of an hour that is over, it is forfeit.
    pub fn credit(&self, era: Era, reserved: Reserved) {
        let mut count = self.count();
        count.enter(era);
        if count.era.hour == reserved.hour {
            count.granted = reserved.before + reserved.granted;
            count.ready += reserved.granted;
        }
    }

    /// Says whether it is the first of this hour.
    pub fn refuse(&self, era: Era) -> bool {
        let mut count = self.count();
        count.enter(era);
        count.refused += 1;
        count.refused == 1
    }

    /// Takes back what is ready, so that none of it is served any more: the hour that it is of, and how many.
    pub fn take_back(&self) -> Option<(i64, u64)> {
        let mut count = self.count();
        let ready = std::mem::take(&mut count.ready);
        count.granted -= ready;
        (ready > 0).then_some((count.era.hour, ready))
    }

    /// As if nobody had asked in this hour.
    pub fn clear(&self) {
        let mut count = self.count();
        (count.granted, count.ready, count.refused, count.pace) = (0, 0, 0, None);
    }

    pub fn look(&self, era: Era, now: Instant) -> Snapshot {
        let count = self.count();
        let current = count.era == era;
        Snapshot {
            used: (current && count.granted > 0).then(|| count.used()),
            refused: if current { count.refused } else { 0 },
            at_once: count.pace.as_ref().map(|(_, limiter)| limiter.look(now).left),
        }
    }

    /// Did anybody ask for an hour in this era or the one before, or so fast that it is still felt?
    pub fn is_fresh(&self, era: Era, now: Instant) -> bool {
        let count = self.count();
        let paced = |(_, limiter): &(Speed, Limiter)| !limiter.look(now).whole_in.is_zero();
        count.era.number + 1 >= era.number || count.pace.as_ref().is_some_and(paced)
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// Whoever comes late, from an hour that is over, is counted in the one that is.
    fn enter(&mut self, era: Era) {
        if era.number > self.era.number {
            *self = Self { era, pace: self.pace.take(), ..Self::default() };
        }
    }

    fn used(&self) -> u64 {
        self.granted - self.ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn era(number: u64) -> Era {
        Era { number, hour: i64::try_from(number).expect("small") }
    }

    #[test]
    fn what_was_not_reserved_is_not_served() {
        let account = Account::default();
        assert_eq!(account.take(era(1), 10), Taken::Empty);
        account.credit(era(1), Reserved { hour: 1, before: 7, granted: 3 });
        assert_eq!(account.take(era(1), 10), Taken::Served { used: 8 });
        // A limit that was lowered counts at once, and one that was raised asks for more.
        assert_eq!(account.take(era(1), 8), Taken::Spent);
        assert_eq!(account.take(era(1), 10), Taken::Served { used: 9 });
        assert_eq!(account.take(era(1), 10), Taken::Served { used: 10 });
        assert_eq!(account.take(era(1), 10), Taken::Spent);
        assert_eq!(account.take(era(1), 11), Taken::Empty);
        assert!(account.refuse(era(1)) && !account.refuse(era(1)));
        // Another hour; and who comes late from the last one has no second one.
        account.credit(era(2), Reserved { hour: 2, before: 0, granted: 1 });
        assert_eq!(account.take(era(1), 10), Taken::Served { used: 1 });
        assert_eq!(account.take(era(2), 1), Taken::Spent);
        account.credit(era(1), Reserved { hour: 1, before: 0, granted: 9 });
        assert_eq!(account.take(era(2), 1), Taken::Spent, "a block of an hour that is over was served");
    }

    #[test]
    fn what_is_taken_back_is_not_served() {
        let account = Account::default();
        account.credit(era(1), Reserved { hour: 1, before: 0, granted: 5 });
        assert_eq!(account.take(era(1), 5), Taken::Served { used: 1 });
        assert_eq!(account.take_back(), Some((1, 4)));
        assert_eq!(account.take_back(), None);
        assert_eq!(account.take(era(1), 5), Taken::Empty);
    }

    #[test]
    fn an_account_with_nothing_to_remember_is_not_kept() {
        let (account, now) = (Account::default(), Instant::now());
        let one = std::num::NonZeroU32::MIN;
        account.pace(Speed { per_second: one, burst: one }, now).expect("the first");
        assert!(account.is_fresh(era(9), now), "a burst for each hour");
        assert!(!account.is_fresh(era(9), now + Duration::from_secs(1)));
        account.take(era(8), 1);
        assert!(account.is_fresh(era(9), now + Duration::from_secs(1)));
    }

    /// The store as it is to the account: what is written stays, whatever the process does.
    #[derive(Default)]
    struct Disk(BTreeMap<i64, u64>);

    impl Disk {
        fn reserve(&mut self, hour: i64, block: u64, limit: u64) -> Reserved {
            let reserved = self.0.entry(hour).or_default();
            let before = *reserved;
            let granted = block.min(limit.saturating_sub(before));
            *reserved += granted;
            Reserved { hour, before, granted }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Request,
        /// A block is written and its answer is lost with the process.
        CrashInReservation,
        Crash,
        CleanStop,
        NextHour,
        Limit(u64),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            40 => Just(Happens::Request),
            1 => Just(Happens::CrashInReservation),
            1 => Just(Happens::Crash),
            1 => Just(Happens::CleanStop),
            1 => Just(Happens::NextHour),
            1 => (1u64..60).prop_map(Happens::Limit),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order, never more than the limit is served in an hour, and each crash forfeits
        /// at most one block.
        #[test]
        fn never_more_than_the_quota_and_at_most_a_block_a_crash(
            block in 1u64..12,
            all in prop::collection::vec(happens(), 1..400),
        ) {
            let (mut disk, mut account, mut now, mut limit) = (Disk::default(), Account::default(), era(1), 30);
            let (mut served, mut crashes, mut highest) = (0, 0, limit);
            for one in all {
                match one {
                    Happens::Request => loop {
                        match account.take(now, limit) {
                            Taken::Served { used } => {
                                served += 1;
                                prop_assert!(used <= limit && served <= limit, "{served} of {limit}");
                                break;
                            }
                            Taken::Spent => {
                                prop_assert!(served + crashes * block >= limit, "{served} of {limit}");
                                break;
                            }
                            Taken::Empty => account.credit(now, disk.reserve(now.hour, block, limit)),
                        }
                    },
                    Happens::CrashInReservation | Happens::Crash => {
                        if matches!(one, Happens::CrashInReservation) && account.is_empty(now, limit) {
                            disk.reserve(now.hour, block, limit);
                        }
                        (account, crashes) = (Account::default(), crashes + 1);
                    }
                    Happens::CleanStop => {
                        if let Some((hour, unused)) = account.take_back() {
                            *disk.0.entry(hour).or_default() -= unused;
                        }
                        account = Account::default();
                    }
                    Happens::NextHour => {
                        now = era(now.number + 1);
                        (served, crashes, highest) = (0, 0, limit);
                    }
                    // Lowered under what was served it only refuses; the promise is about the highest of the hour.
                    Happens::Limit(new) => {
                        limit = new.max(highest);
                        highest = limit;
                    }
                }
            }
        }
    }
}
