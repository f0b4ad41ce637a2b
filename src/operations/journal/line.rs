//! One line: an entry as JSON, and a checksum over it and the line before, so that none can be changed, left out or
//! moved without a trace.
use crate::domain::{Digest, OperationEvent};
use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// Bytes. What a step leaves, and what an operation is begun with, must fit.
pub const LONGEST: usize = 256 << 10;
const HEAD: &str = r#"{"v":1,"sum":""#;
const MIDDLE: &str = r#"","entry":"#;
const DIGITS: usize = 64;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    pub event: OperationEvent,
}

/// With its newline, and the checksum that the next line rests on.
pub fn encode(
    before: &Digest,
    seq: u64,
    event: &OperationEvent,
    at: Timestamp,
) -> Result<(String, Digest), String> {
    let entry =
        serde_json::to_string(&Entry { seq, at, event: event.clone() }).map_err(|error| error.to_string())?;
    if entry.len() > LONGEST {
        return Err(format!("an entry of {} bytes is longer than {LONGEST}", entry.len()));
    }
    let sum = sum(before, entry.as_bytes());
    Ok((format!("{HEAD}{sum}{MIDDLE}{entry}}}\n"), sum))
}

/// A line without its newline.
pub fn decode(before: &Digest, seq: u64, line: &[u8]) -> Result<(Entry, Digest), String> {
    let parts = line.strip_prefix(HEAD.as_bytes()).and_then(|rest| rest.split_at_checked(DIGITS));
    let parts = parts.and_then(|(digits, rest)| {
        let entry = rest.strip_prefix(MIDDLE.as_bytes())?.strip_suffix(b"}")?;
        Some((str::from_utf8(digits).ok()?.parse::<Digest>().ok()?, entry))
    });
    let (told, entry) = parts.ok_or("it is no entry")?;
    if sum(before, entry) != told {
        return Err("it is not as it was written, or not where it was".into());
    }
    let entry: Entry =
        serde_json::from_slice(entry).map_err(|error| format!("this agentd does not know it: {error}"))?;
    if entry.seq == seq { Ok((entry, told)) } else { Err(format!("it is entry {}", entry.seq)) }
}

fn sum(before: &Digest, entry: &[u8]) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(b"agentd operation 1");
    hash.update(&before.0);
    hash.update(entry);
    let mut digest = Digest::default();
    digest.0.copy_from_slice(hash.finish().as_ref());
    digest
}
