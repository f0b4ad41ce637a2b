//! How long the tests wait for what must come: for an event where there is one, else by asking again.
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// Far above what a start takes, even on a machine that is busy with the other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the end of a child, which is left to be reaped; false when patience ends.
pub fn ends(child: &Child) -> bool {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a child that is not reaped");
    let limit = Timespec::try_from(PATIENCE).expect("a time");
    retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))).expect("polled") == 1
}

/// Asks again until it holds; false when patience ends.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    holds()
}
