//! Times can be judged only where time was kept: an exercise that did not hold while the machine was late is held again,
//! and says so. A control that is broken is broken each time.
use super::Found;
use crate::domain::Outcome;
use std::{pin::pin, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How late the exercise itself may be woken before its times say nothing: a tenth of the shortest that are judged so.
const LATE: Duration = Duration::from_millis(25);
const TICK: Duration = Duration::from_millis(5);
const TRIES: u32 = 4;

pub async fn undisturbed<F: Future<Output = Found>>(exercise: impl Fn() -> F) -> Found {
    let mut told = Vec::new();
    loop {
        let (found, late) = watched(Box::pin(exercise())).await;
        let disturbed = found.outcome != Outcome::Pass && late > LATE;
        if disturbed {
            told.push(format!("held again: this machine was up to {} ms late", late.as_millis()));
        }
        if !disturbed || told.len() >= TRIES as usize {
            return told.into_iter().fold(found, Found::seen);
        }
    }
}

/// What came of the work, and how late it was woken at worst. It is watched from its own task: what holds up that one
/// is seen, whichever thread runs it.
async fn watched<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let (mut work, mut late) = (pin!(work), Duration::ZERO);
    loop {
        let due = Instant::now() + TICK;
        let done = tokio::select! {
            biased;
            done = &mut work => Some(done),
            () = sleep_until(due) => None,
        };
        late = late.max(due.elapsed());
        if let Some(done) = done {
            return (done, late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Blocks its thread for each of these, and fails while there are any left.
    async fn tried(stalls: &[u64]) -> (Found, usize) {
        let made = Cell::new(0);
        let found = undisturbed(|| async {
            let turn = made.replace(made.get() + 1);
            tokio::task::yield_now().await;
            match stalls.get(turn) {
                Some(stall) => {
                    std::thread::sleep(Duration::from_millis(*stall));
                    tokio::task::yield_now().await;
                    Found::fail("too late")
                }
                None => Found::pass("in time"),
            }
        })
        .await;
        (found, made.get())
    }

    #[tokio::test]
    async fn what_failed_on_a_machine_that_was_late_is_held_again_and_nothing_else() {
        let (found, made) = tried(&[80, 80]).await;
        assert_eq!((found.outcome, made), (Outcome::Pass, 3));
        assert_eq!(found.evidence.len(), 2, "{found:?}");
        let (found, made) = tried(&[]).await;
        assert_eq!((found.outcome, made, found.evidence.len()), (Outcome::Pass, 1, 0));
        let (found, made) = tried(&[80; 9]).await;
        assert_eq!((found.outcome, made), (Outcome::Fail, TRIES as usize));
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_in_time_has_failed() {
        let made = Cell::new(0);
        let found = undisturbed(|| async {
            made.set(made.get() + 1);
            tokio::time::sleep(Duration::from_secs(3)).await;
            Found::fail("broken")
        })
        .await;
        assert_eq!((found.outcome, made.get()), (Outcome::Fail, 1));
    }
}
