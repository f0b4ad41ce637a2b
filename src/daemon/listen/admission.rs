//! How many connections there may be, and how many of one user, so that nobody's flood keeps the operator out.
//! Where the bound is met, whoever has been idle longest makes room.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Open connections, counted.
#[derive(Debug)]
pub struct Admission {
    bounds: Bounds,
    trusted: Vec<u32>,
    open: Mutex<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Over all users.
    pub total: usize,
    /// Of `total`, kept for root and the daemon's own user.
    pub reserved: usize,
    /// Of any other user.
    pub each: usize,
}

#[derive(Debug, Default)]
struct Open {
    /// Counts every entry and every end of a request: the order in which connections fell idle.
    tick: u64,
    seats: HashMap<u64, Seat>,
    by_uid: HashMap<u32, usize>,
}

#[derive(Debug)]
struct Seat {
    uid: u32,
    /// Requests that are being answered; a head that is not complete is none.
    at_work: usize,
    idle_since: u64,
    leave: CancellationToken,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    seat: u64,
    leave: CancellationToken,
}

/// While it lives its connection is not idle.
#[derive(Debug)]
pub struct AtWork {
    place: Arc<Place>,
}

impl Bounds {
    /// As many as this many file descriptors bear, with half of them left to agents, logs and the store.
    pub fn for_descriptors(descriptors: u64) -> Self {
        let total = usize::try_from(descriptors / 2).unwrap_or(usize::MAX).clamp(64, 4096);
        Self { total, reserved: (total / 8).min(64), each: total / 8 }
    }
}

impl Admission {
    pub fn new(bounds: Bounds, trusted: Vec<u32>) -> Arc<Self> {
        Arc::new(Self { bounds, trusted, open: Mutex::default() })
    }

    /// A place for one more connection of this user, or none. At the bound the longest idle connection is asked to
    /// leave: one of the same user, or of anybody where root or the daemon's own user must get in.
    pub fn enter(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let trusted = self.trusted.contains(&uid);
        let full = if trusted {
            open.seats.len() >= self.bounds.total
        } else {
            open.by_uid.get(&uid).is_some_and(|held| *held >= self.bounds.each)
                || open.seats.len() >= self.bounds.total - self.bounds.reserved
        };
        if full {
            open.evict(|seat| trusted || seat.uid == uid)?;
        }
        open.tick += 1;
        let (seat, leave) = (open.tick, CancellationToken::new());
        open.seats.insert(seat, Seat { uid, at_work: 0, idle_since: seat, leave: leave.clone() });
        *open.by_uid.entry(uid).or_default() += 1;
        Some(Place { admission: Arc::clone(self), seat, leave })
    }

    fn with_seat(&self, seat: u64, change: impl FnOnce(&mut Seat, u64)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.tick += 1;
        let tick = open.tick;
        // An evicted connection has no seat any more.
        if let Some(seat) = open.seats.get_mut(&seat) {
            change(seat, tick);
        }
    }
}

impl Open {
    /// Its place is free at once, although it takes a moment to hang up.
    fn evict(&mut self, may_go: impl Fn(&Seat) -> bool) -> Option<()> {
        let idle = self.seats.iter().filter(|(_, seat)| seat.at_work == 0 && may_go(seat));
        let oldest = idle.min_by_key(|(_, seat)| seat.idle_since).map(|(number, _)| *number)?;
        self.vacate(oldest)?.leave.cancel();
        Some(())
    }

    fn vacate(&mut self, number: u64) -> Option<Seat> {
        let seat = self.seats.remove(&number)?;
        if let Some(held) = self.by_uid.get_mut(&seat.uid) {
            *held -= 1;
            if *held == 0 {
                self.by_uid.remove(&seat.uid);
            }
        }
        Some(seat)
    }
}

impl Place {
    /// Until the connection must make room for another.
    pub async fn asked_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// A request has come in; its connection is not idle until the result is dropped.
    pub fn work(self: &Arc<Self>) -> AtWork {
        self.admission.with_seat(self.seat, |seat, _| seat.at_work += 1);
        AtWork { place: Arc::clone(self) }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.place.admission.with_seat(self.place.seat, |seat, tick| {
            seat.at_work -= 1;
            seat.idle_since = tick;
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.open.lock().unwrap_or_else(PoisonError::into_inner).vacate(self.seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Arc<Admission> {
        Admission::new(Bounds { total: 10, reserved: 2, each: 3 }, vec![0, 1000])
    }

    /// Connections of which each is answering something, so that none can be asked to leave.
    fn busy(admission: &Arc<Admission>, uids: impl IntoIterator<Item = u32>) -> Vec<AtWork> {
        uids.into_iter().filter_map(|uid| Some(Arc::new(admission.enter(uid)?).work())).collect()
    }

    #[test]
    fn one_users_flood_leaves_room_for_others_and_all_of_them_for_the_operator() {
        let admission = small();
        let flood = busy(&admission, [7; 50]);
        assert_eq!(flood.len(), 3);
        let others = busy(&admission, 100..200);
        assert_eq!(others.len(), 5, "the reserve was given away");
        let operators = busy(&admission, [0, 1000, 0]);
        assert_eq!(operators.len(), 2);
    }

    #[test]
    fn who_was_idle_longest_makes_room_and_who_is_answered_does_not() {
        let admission = small();
        let [first, second, third] = [(); 3].map(|()| Arc::new(admission.enter(7).expect("room")));
        let working = first.work();
        drop(second.work()); // idle again, and later than the third
        let fourth = admission.enter(7).expect("the third made room");
        let left = [&first, &second, &third].map(|place| place.leave.is_cancelled());
        assert_eq!(left, [false, false, true]);
        drop((third, fourth));
        assert_eq!(
            admission.open.lock().expect("lock").by_uid[&7],
            2,
            "an evicted place was given back twice"
        );
        drop(working);
    }

    #[test]
    fn nobody_is_sent_away_for_a_stranger_and_anybody_for_the_operator() {
        let admission = small();
        let _idle: Vec<_> = (100..108).filter_map(|uid| admission.enter(uid)).collect();
        assert!(admission.enter(7).is_none(), "a stranger took somebody's place");
        let operators: Vec<_> = (0..20).filter_map(|_| admission.enter(0)).collect();
        assert_eq!(operators.len(), 20, "the operator was kept out");
        assert_eq!(admission.open.lock().expect("lock").seats.len(), 10);
    }

    #[test]
    fn a_place_given_back_can_be_taken_again() {
        let admission = small();
        let places = busy(&admission, [7; 3]);
        assert!(admission.enter(7).is_none());
        drop(places);
        assert!(admission.enter(7).is_some());
        assert!(admission.open.lock().expect("lock").seats.is_empty());
        assert!(admission.open.lock().expect("lock").by_uid.is_empty());
    }

    #[test]
    fn few_descriptors_mean_few_connections() {
        assert_eq!(Bounds::for_descriptors(1024).total, 512);
        assert_eq!(Bounds::for_descriptors(1_000_000).total, 4096);
        assert_eq!(Bounds::for_descriptors(0).total, 64);
    }
}
