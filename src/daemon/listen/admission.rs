//! How many connections there may be, and how many of one user, so that nobody's flood keeps the operator out.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

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
    total: usize,
    by_uid: HashMap<u32, usize>,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    uid: u32,
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

    /// A place for one more connection of this user, or none.
    pub fn enter(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = if self.trusted.contains(&uid) {
            self.bounds.total
        } else {
            if open.by_uid.get(&uid).is_some_and(|held| *held >= self.bounds.each) {
                return None;
            }
            self.bounds.total - self.bounds.reserved
        };
        if open.total >= limit {
            return None;
        }
        open.total += 1;
        *open.by_uid.entry(uid).or_default() += 1;
        Some(Place { admission: Arc::clone(self), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(held) = open.by_uid.get_mut(&self.uid) {
            *held -= 1;
            if *held == 0 {
                open.by_uid.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Arc<Admission> {
        Admission::new(Bounds { total: 10, reserved: 2, each: 3 }, vec![0, 1000])
    }

    #[test]
    fn one_users_flood_leaves_room_for_others_and_all_of_them_for_the_operator() {
        let admission = small();
        let flood: Vec<_> = (0..50).filter_map(|_| admission.enter(7)).collect();
        assert_eq!(flood.len(), 3);
        let others: Vec<_> = (100..200).filter_map(|uid| admission.enter(uid)).collect();
        assert_eq!(others.len(), 5, "the reserve was given away");
        let operators: Vec<_> = [0, 1000, 0].into_iter().filter_map(|uid| admission.enter(uid)).collect();
        assert_eq!(operators.len(), 2);
    }

    #[test]
    fn a_place_given_back_can_be_taken_again() {
        let admission = small();
        let places: Vec<_> = (0..3).map(|_| admission.enter(7).expect("room")).collect();
        assert!(admission.enter(7).is_none());
        drop(places);
        assert!(admission.enter(7).is_some());
        assert_eq!(admission.open.lock().expect("lock").total, 0);
        assert!(admission.open.lock().expect("lock").by_uid.is_empty());
    }

    #[test]
    fn few_descriptors_mean_few_connections() {
        assert_eq!(Bounds::for_descriptors(1024).total, 512);
        assert_eq!(Bounds::for_descriptors(1_000_000).total, 4096);
        assert_eq!(Bounds::for_descriptors(0).total, 64);
    }
}
