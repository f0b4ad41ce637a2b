//! A scratch agent writes past the size at which its log rotates: is every line there, whole and in order?
use super::PATIENCE;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    agents::LogQuery,
    domain::Fault,
    readiness::{Found, Ground, Proof, check::settle, proof::poll, scratch_fleet::script_agent},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, path::Path};

const LINES: usize = 15_000;
/// What each line says after its number.
const REST: &str =
    " of the scratch log, and long enough that its stamp does not outweigh what it says, by far";
/// Rotations that are kept: more than it takes.
pub const KEEP: u32 = 40;
/// Where it rotates.
pub const SIZE: u64 = 256 << 10;
/// What is written at once may pass the size by as much.
const PIECE: u64 = 256 << 10;

/// `size` is where the log rotates, `keep` how many rotations are kept; a test changes them.
pub async fn rotated(ground: &Ground, (size, keep): (u64, u32)) -> Found {
    let exercise = async {
        let script = format!("seq -f '%06.0f{REST}' 1 {LINES}; echo the-last-line; exec sleep 600");
        let log = json!({ "agent_max_size": format!("{size}B"), "agent_keep": keep });
        let agents = [script_agent("scribe", "service", &script)];
        let fleet = ground.fleet(json!({ "daemon": { "log": log }, "agent": agents }), false).await?;
        let query = LogQuery { instance: "scribe/0".parse().map_err(Fault::internal)?, lines: 3 };
        let done = poll(PATIENCE, || {
            let (lines, _) = fleet.supervisor().logs(&query).ok()?;
            lines.iter().any(|line| line.contains("the-last-line")).then_some(())
        })
        .await;
        let found = match (done, fleet.supervisor().logs(&query)) {
            (Some(()), Ok((_, live))) => judge(&live, keep),
            _ => Found::error("the scratch agent's last line did not come"),
        };
        fleet.finish().await;
        Ok(found)
    };
    settle(exercise.await)
}

fn judge(live: &Path, keep: u32) -> Found {
    // Oldest first: the highest number, and the live one last.
    let rotated = |number: u32| {
        let mut name = live.as_os_str().to_owned();
        name.push(format!(".{number}"));
        fs::read(&name).ok()
    };
    let mut files: Vec<Vec<u8>> = (1..=keep + 5).rev().filter_map(rotated).collect();
    files.extend(fs::read(live).ok());
    let largest = files.iter().map(Vec::len).max().unwrap_or(0);
    let count = files.len();
    let torn = files.iter().filter(|file| file.last() != Some(&b'\n')).count();
    let text = String::from_utf8_lossy(&files.concat()).into_owned();
    let mut numbers = text.lines().filter_map(|line| {
        let (before, _) = line.split_once(REST).filter(|(_, after)| after.is_empty())?;
        before.get(before.len().checked_sub(6)?..)?.parse::<usize>().ok()
    });
    let whole = (1..=LINES).take_while(|number| numbers.next() == Some(*number)).count();
    let mut proof = Proof::default();
    proof.holds(count >= 3, format!("its log is {count} files: it rotated"));
    proof.holds(count <= keep as usize + 1, format!("{keep} rotations and the live file are allowed"));
    let bound = SIZE + PIECE;
    proof.holds(largest as u64 <= bound, format!("the largest has {largest} bytes, {bound} are allowed"));
    proof.holds(torn == 0, format!("{torn} files end in the middle of a line"));
    proof.holds(
        whole == LINES && numbers.next().is_none(),
        format!("{whole} of {LINES} lines are there, whole and in order over all files"),
    );
    proof.judge(format!("{LINES} lines over {count} files, none lost or torn"))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-009",
    at_work: || {
        let broken =
            [("a log that does not rotate", (1 << 30, KEEP)), ("rotations that are thrown away", (SIZE, 2))];
        tried(rotated, (SIZE, KEEP), broken).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_line_that_is_lost_torn_or_out_of_order_is_found() {
        let line = |number: usize| format!("2026-01-01T00:00:00Z out {number:06}{REST}\n");
        let write = |change: fn(&mut Vec<String>)| {
            let home = tempfile::tempdir().expect("a directory");
            let live = home.path().join("a.log");
            let mut lines: Vec<String> = (1..=LINES).map(line).collect();
            change(&mut lines);
            for (number, part) in lines.chunks(lines.len().div_ceil(4)).enumerate() {
                let name = if number == 3 {
                    live.clone()
                } else {
                    home.path().join(format!("a.log.{}", 3 - number))
                };
                fs::write(name, part.concat()).expect("written");
            }
            let found = judge(&live, 5);
            (found.outcome, found.summary)
        };
        assert_eq!(write(|_| {}).0, Outcome::Pass, "{:?}", write(|_| {}));
        assert_eq!(write(|lines| drop(lines.remove(5_000))).0, Outcome::Fail);
        assert_eq!(write(|lines| lines.swap(10, 11)).0, Outcome::Fail);
        assert_eq!(write(|lines| lines[77].truncate(40)).0, Outcome::Fail);
        assert_eq!(write(|lines| lines.push(lines[0].clone())).0, Outcome::Fail, "a line came twice");
    }
}
