//! Is there room where the state is, now and at the pace at which the database has grown?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use jiff::{Timestamp, Unit};
use std::path::Path;

const MIB: u64 = 1 << 20;
/// Below, a write may fail at any moment.
const LEAST: Floors = Floors { bytes: 256 * MIB, inodes: 1_000, days: 7.0 };
/// Below, somebody should make room.
const ENOUGH: Floors = Floors { bytes: 1024 * MIB, inodes: 10_000, days: 30.0 };
/// Of a shorter history nothing is projected.
const SHORTEST_HISTORY: f64 = 1.0 / 24.0;

#[derive(Clone, Copy)]
struct Floors {
    bytes: u64,
    inodes: u64,
    /// Until it is full at the present pace.
    days: f64,
}

/// What the kernel says of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    bytes: u64,
    inodes: u64,
    /// 0 where the file system does not count them.
    inodes_of: u64,
}

pub async fn left(evidence: &Evidence) -> Found {
    let look = async {
        let dir = evidence.paths.state_dir.clone();
        let room = blocking(move || room(&dir)).await?;
        // With a cursor they come oldest first.
        let oldest = evidence.store.events(1, 1).await?.first().map(|event| event.at);
        let days = oldest.and_then(|oldest| days(oldest, evidence.clock.now()));
        let found = judge(room, evidence.store.stats().file_bytes, days);
        Ok(found.seen(format!("source: statvfs of {}", evidence.paths.state_dir.display())))
    };
    settle(look.await)
}

fn room(dir: &Path) -> Result<Room, Fault> {
    let seen = rustix::fs::statvfs(dir)
        .map_err(|error| Fault::internal(format!("cannot ask for the room in {}: {error}", dir.display())))?;
    Ok(Room {
        bytes: seen.f_bavail.saturating_mul(seen.f_frsize),
        inodes: seen.f_favail,
        inodes_of: seen.f_files,
    })
}

fn days(from: Timestamp, to: Timestamp) -> Option<f64> {
    from.until(to).ok()?.total(Unit::Hour).ok().map(|hours| hours / 24.0)
}

/// `history` is over how many days the database has come to its size.
fn judge(room: Room, database: u64, history: Option<f64>) -> Found {
    let pace = history.filter(|days| *days >= SHORTEST_HISTORY).map(|days| database as f64 / days);
    let lasts = pace.filter(|pace| *pace > 0.0).map(|pace| room.bytes as f64 / pace);
    let short = |floors: Floors| {
        let mut short = Vec::new();
        if room.bytes < floors.bytes {
            short.push(format!("{} MiB are free, {} MiB are needed", room.bytes / MIB, floors.bytes / MIB));
        }
        if room.inodes_of > 0 && room.inodes < floors.inodes {
            short.push(format!("{} inodes are free, {} are needed", room.inodes, floors.inodes));
        }
        if let Some(days) = lasts.filter(|days| *days < floors.days) {
            short.push(format!("at its present pace the database fills it in {days:.1} days"));
        }
        short
    };
    let found = match (short(LEAST).first(), short(ENOUGH).first()) {
        (Some(short), _) => Found::fail(short.clone()),
        (None, Some(short)) => Found::warn(short.clone()),
        (None, None) => Found::pass(format!("{} MiB are free", room.bytes / MIB)),
    };
    let projection = match (pace, lasts) {
        (Some(pace), Some(days)) => format!(
            "the database came to {database} bytes in {:.1} days: {:.0} KiB a day, room for {days:.0} days",
            history.unwrap_or_default(),
            pace / 1024.0
        ),
        _ => format!("the database has {database} bytes; less than an hour of history projects nothing"),
    };
    found
        .seen(format!("{} bytes and {} of {} inodes are free", room.bytes, room.inodes, room.inodes_of))
        .seen(projection)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-008",
    at_work: || {
        async {
            let roomy = Room { bytes: 50 << 30, inodes: 1 << 20, inodes_of: 1 << 21 };
            // A file system that has no room for anybody.
            let full = room(Path::new("/proc")).expect("a look");
            Tried {
                sound: vec![judge(roomy, 1 << 20, Some(30.0)), judge(roomy, 1 << 20, None)],
                broken: vec![
                    ("a file system without a free byte", judge(full, 1 << 20, None)),
                    ("a database that grows by 10 GiB a day", judge(roomy, 10 << 30, Some(1.0))),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn too_little_room_is_found_whatever_it_is_that_runs_out() {
        let roomy = Room { bytes: 50 << 30, inodes: 1 << 20, inodes_of: 1 << 21 };
        let table = [
            (roomy, 1 << 20, Some(1.0), Outcome::Pass),
            (roomy, 0, None, Outcome::Pass),
            (Room { inodes: 0, inodes_of: 0, ..roomy }, 1 << 20, None, Outcome::Pass),
            (Room { bytes: 100 * MIB, ..roomy }, 1 << 20, None, Outcome::Fail),
            (Room { bytes: 700 * MIB, ..roomy }, 1 << 20, None, Outcome::Warn),
            (Room { inodes: 12, ..roomy }, 1 << 20, None, Outcome::Fail),
            (Room { inodes: 5_000, ..roomy }, 1 << 20, None, Outcome::Warn),
            // 50 GiB left at 10 GiB a day, at 2 GiB a day, and a minute of history that says nothing.
            (roomy, 10 << 30, Some(1.0), Outcome::Fail),
            (roomy, 20 << 30, Some(10.0), Outcome::Warn),
            (roomy, 10 << 30, Some(0.001), Outcome::Pass),
        ];
        for (room, database, history, outcome) in table {
            assert_eq!(judge(room, database, history).outcome, outcome, "{room:?} {database} {history:?}");
        }
        let real = room(&std::env::temp_dir()).expect("a look");
        assert!(real.bytes > 0, "{real:?}");
        assert!(room(Path::new("/no/such/place")).is_err());
    }
}
