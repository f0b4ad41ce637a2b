//! A journal read again: how the operation stands by what is written, and whether all of it is as it was written.
use super::line::{self, LONGEST};
use crate::domain::{Digest, Operation, OperationEvent, OperationId};
use jiff::Timestamp;

#[derive(Debug)]
pub struct Replay {
    /// None where not even the first line can be read.
    pub operation: Option<Operation>,
    /// When the last entry was written.
    pub last: Option<Timestamp>,
    /// Bytes, entries and checksum of what is whole.
    pub length: u64,
    pub entries: u64,
    pub sum: Digest,
    /// The last line was cut off by a crash: it was never acknowledged, and counts for nothing.
    pub torn: bool,
    /// Anything else that is not as it was written. What is before it still tells what was done.
    pub damage: Option<String>,
}

pub fn replay(id: OperationId, text: &[u8]) -> Replay {
    let mut read = Replay {
        operation: None,
        last: None,
        length: 0,
        entries: 0,
        sum: Digest::default(),
        torn: false,
        damage: None,
    };
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(whole) = line.strip_suffix(b"\n") else {
            read.torn = true;
            break;
        };
        if let Err(why) = take(&mut read, id, whole) {
            read.damage = Some(format!("line {}: {why}", read.entries + 1));
            break;
        }
        read.length += line.len() as u64;
    }
    if read.operation.is_none() && read.damage.is_none() {
        // The first is put in place whole, or not at all.
        read.damage = Some("it has no whole line".into());
    }
    read
}

fn take(read: &mut Replay, id: OperationId, whole: &[u8]) -> Result<(), String> {
    if whole.len() > 2 * LONGEST {
        return Err("it is too long".into());
    }
    let (entry, sum) = line::decode(&read.sum, read.entries + 1, whole)?;
    match (&mut read.operation, entry.event) {
        (None, OperationEvent::Begun(plan)) if plan.id == id => {
            read.operation = Some(Operation::begun(plan, entry.at));
        }
        (None, OperationEvent::Begun(plan)) => return Err(format!("it begins {}", plan.id)),
        (None, _) => return Err("it does not begin anything".into()),
        (Some(operation), event) => operation.apply(event, entry.at)?,
    }
    (read.sum, read.last) = (sum, Some(entry.at));
    read.entries += 1;
    Ok(())
}
