//! What really keeps an instance from acting as the operator: read from the kernel once it runs, never from what was
//! asked for. A cgroup is no wall against a process of our own uid: it may write itself into any other.
use crate::domain::Separation;
use std::fs;

/// By the uids that the process has now. None where it ended meanwhile, or cannot be looked at.
pub fn of(pid: i32) -> Separation {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    judge(&status, rustix::process::geteuid().as_raw())
}

/// Real, effective, saved and file system uid: one of them that is ours, or root's, is enough to act as us.
fn judge(status: &str, own: u32) -> Separation {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uids: Vec<u32> =
        line.unwrap_or_default().split_ascii_whitespace().filter_map(|uid| uid.parse().ok()).collect();
    if uids.len() == 4 && uids.iter().all(|uid| *uid != own && *uid != 0) {
        Separation::OwnUser
    } else {
        Separation::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uid_must_be_another_and_none_may_be_root() {
        for (uids, own, want) in [
            ("61200\t61200\t61200\t61200", 0, Separation::OwnUser),
            ("61200\t61200\t61200\t61200", 1000, Separation::OwnUser),
            ("61200\t61200\t1000\t61200", 1000, Separation::None), // it could take the saved one back
            ("0\t0\t0\t0", 1000, Separation::None),
            ("0\t0\t0\t0", 0, Separation::None),
            ("1000\t1000\t1000\t1000", 1000, Separation::None),
            ("61200", 0, Separation::None),
            ("", 0, Separation::None),
        ] {
            assert_eq!(judge(&format!("Name:\tx\nUid:\t{uids}\nGid:\t0"), own), want, "{uids} under {own}");
        }
    }

    #[test]
    fn our_own_process_is_not_set_apart_from_us_nor_is_one_that_is_gone() {
        assert_eq!(of(std::process::id().cast_signed()), Separation::None);
        assert_eq!(of(i32::MAX), Separation::None);
    }
}
