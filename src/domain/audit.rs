//! What the audit trail says of one thing that somebody did, tried to do, or was refused.
use super::{Caller, CorrelationId, Identity, Principal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How an endpoint is audited. Every endpoint names one, so that none is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// A look that is nobody's personal matter: not recorded. Its refusals are.
    Not,
    /// A look at clients' data: one row when it was answered.
    Read,
    /// Its effect is in the store: the handler hands the store an `Act`, and the row is in the effect's transaction.
    WithEffect,
    /// Its effect is outside the store: the gate writes the intent before and the outcome after.
    Around,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// It is done.
    Done,
    /// It was not allowed; nothing happened.
    Refused,
    /// It was allowed and did not succeed.
    Failed,
    /// About to happen outside the store. Without a later row of the same correlation id, what came of it is unknown.
    Intended,
}

/// Who does what to what, before it is known how it ends. Handed down to the store with an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub principal: Principal,
    /// `uid 1000 pid 4242 by key 7f3a…`: where it came from, never a secret.
    pub from: String,
    /// `waivers/add`: the endpoint's name.
    pub action: &'static str,
    /// `waiver/7`, `agent/orders`: what it is done to; empty where that is the fleet as a whole.
    pub object: String,
    pub correlation: CorrelationId,
}

impl Act {
    pub fn new(caller: &Caller, action: &'static str, object: impl Into<String>) -> Self {
        let Caller { identity, means, .. } = caller;
        let pid = identity.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
        Self {
            principal: caller.principal.clone(),
            from: format!("uid {}{pid} by {means}", identity.uid),
            action,
            object: object.into(),
            correlation: caller.correlation,
        }
    }

    /// What is done at the word of a signal, or by the daemon itself: its own user answers for it.
    pub fn of_daemon(uid: u32, from: impl Into<String>, action: &'static str) -> Self {
        Self {
            principal: Principal::user(uid),
            from: from.into(),
            action,
            object: String::new(),
            correlation: CorrelationId(fastrand::u64(1..)),
        }
    }

    /// Somebody at the door who is nobody here.
    pub fn of_stranger(identity: Identity) -> Self {
        let pid = identity.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
        let from = format!("uid {} gid {}{pid} by socket", identity.uid, identity.gid);
        Self::of_daemon(identity.uid, from, "connect")
    }

    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }
}

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Rises by one, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    /// As text: a row may speak of a principal that could not be read.
    pub principal: String,
    pub from: String,
    pub action: String,
    pub object: String,
    pub outcome: AuditOutcome,
    /// Why it was refused or failed, or what came of it; mostly empty where it was done.
    pub reason: String,
    pub correlation: CorrelationId,
}

/// How a row stands, seen together with those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditStanding {
    Done,
    Refused,
    Failed,
    /// How it ended is told by a later row.
    Intended,
    /// It was intended, and no row says how it ended: it may have happened or not.
    Unknown,
}

impl AuditStanding {
    pub const ALL: &'static [Self] =
        &[Self::Done, Self::Refused, Self::Failed, Self::Intended, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Intended => "intended",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for AuditStanding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|standing| standing.as_str() == text).copied();
        known.ok_or_else(|| "an outcome is done, refused, failed, intended or unknown".into())
    }
}

/// A row as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    #[serde(flatten)]
    pub event: AuditEvent,
    pub standing: AuditStanding,
    /// Links it to the row before.
    pub hash: Digest,
}

/// Which rows are asked for; what is None leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFilter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Whole, or up to a slash: `agents` is all of `agents/start`, `agents/stop` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditStanding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<CorrelationId>,
    /// The newest so many.
    pub limit: u32,
}

/// 32 bytes, as text in hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a digest has 64 hexadecimal digits".to_owned();
        // One way to write each: as it is shown, and no other.
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 64 || !lower {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// What became of a trail, or of an export of it, since it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVerdict {
    /// Nothing that was looked at is other than it was written.
    pub whole: bool,
    pub rows: u64,
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Rows up to here went by retention, and an anchor says so.
    pub pruned_to: Option<u64>,
    /// Rows up to here are held by an anchor outside the database.
    pub anchored_to: Option<u64>,
    pub anchored_at: Option<Timestamp>,
    /// Rows after that: the key alone holds them, and that some are missing at the very end would not show.
    pub unanchored: u64,
    /// The last line of the anchors has no end: a crash cut it off, or somebody did.
    pub torn: bool,
    /// The first of each sort.
    pub breaks: Vec<AuditBreak>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBreak {
    /// The first row that is not as it was written, or is missing.
    pub seq: u64,
    pub kind: BreakKind,
    /// What is seen, in words.
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakKind {
    /// A row says something else than it did.
    Edited,
    /// Rows are missing, and later ones are there.
    Deleted,
    /// A row stands in another's place.
    Reordered,
    /// The last rows are missing.
    Truncated,
    /// From here on, rows were written anew.
    Recomputed,
    /// The anchors themselves were changed.
    Anchors,
}

impl BreakKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::Recomputed => "recomputed",
            Self::Anchors => "anchors",
        }
    }
}
