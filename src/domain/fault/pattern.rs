//! What makes two failures the same one: the sentence without what varies from one occurrence to the next.
//!
//! Out go numbers with their units, times, addresses and ports, ids (uuids, hexadecimal, letters mixed with digits),
//! what stands in quotes, and the parts of paths that look like any of these. Words stay, for words are the cause.
use super::{FaultCategory, FaultKind};
use crate::domain::AgentName;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Of the rules below. Raised with any change of them, so that groups of an older version are not mistaken for new
/// ones of the same sentence: they simply see no more occurrences.
const VERSION: u8 = 1;
/// What varies.
const ANY: &str = "#";
/// What stood in quotes.
const QUOTED: &str = "`…`";
/// Longer sentences are alike if so much of them is.
const LONGEST: usize = 600;
/// A number may have one of these and stays a number: `900ms` and `1s` are the same.
const UNITS: &[&str] = &[
    "ns", "us", "µs", "ms", "s", "sec", "secs", "m", "min", "h", "d", "B", "kB", "KB", "MB", "GB", "KiB",
    "MiB", "GiB", "%", "x", "th", "st", "nd", "rd",
];

/// Of a failure; the same for every occurrence of it. `1-9f86d081884c7d65`
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    pub fn of(
        category: FaultCategory,
        kind: FaultKind,
        operation: &str,
        agent: Option<&AgentName>,
        message: &str,
    ) -> Self {
        let mut hash = Context::new(&SHA256);
        let agent = agent.map_or("", AgentName::as_str);
        // What a caller looked for and is not there is the caller's own word: each would be a group.
        let said = if kind == FaultKind::NotFound { String::new() } else { pattern(message) };
        for part in [category.as_str(), kind.as_str(), operation, agent, &said] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        let digits: String = hash.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{VERSION}-{digits}"))
    }

    /// Of the group that takes what no longer fits.
    pub fn other() -> Self {
        Self(format!("{VERSION}-other"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |(version, digits): (&str, &str)| {
            version.parse::<u8>().is_ok()
                && (digits == "other"
                    || (digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit())))
        };
        match text.split_once('-') {
            Some(parts) if legal(parts) => Ok(Self(text.to_owned())),
            _ => Err("a fingerprint is a version and 16 hexadecimal digits".into()),
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.0
    }
}

/// The sentence with a mark for everything that varies.
pub fn pattern(text: &str) -> String {
    let mut plain = Plain::default();
    let mut rest = cut(text.trim(), LONGEST * 2);
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
            plain.space();
        } else if let Some(after) = quoted(rest, plain.at_edge()) {
            plain.push(QUOTED);
            rest = after;
        } else {
            let end = word_end(rest);
            plain.word(&rest[..end]);
            rest = &rest[end..];
        }
    }
    cut(plain.text.trim_end(), LONGEST).to_owned()
}

/// A pattern on its way. Runs of what varies are one: `[8001, 8002]` and `[8001]` are the same.
#[derive(Default)]
struct Plain {
    text: String,
}

impl Plain {
    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    /// May a quote begin here? Not inside a word: `don't`.
    fn at_edge(&self) -> bool {
        self.text.chars().next_back().is_none_or(|c| !c.is_alphanumeric())
    }

    /// Something that varies; not again where only punctuation lies between it and its like.
    fn push(&mut self, mark: &str) {
        let before = self.text.trim_end_matches([' ', ',', ':', ';', '.', '-', '/']);
        if before.ends_with(mark) && before.len() < self.text.len() + mark.len() {
            let keep = before.len();
            self.text.truncate(keep);
            return;
        }
        self.text.push_str(mark);
    }

    /// What stands between two spaces, without quotes in it.
    fn word(&mut self, word: &str) {
        // Punctuation around it is the sentence's own.
        let core = word.trim_start_matches(['(', '[', '{', '<', ',', ';']);
        self.text.push_str(&word[..word.len() - core.len()]);
        let bare = core.trim_end_matches([')', ']', '}', '>', ',', ';', ':', '.', '!', '?']);
        let tail = &core[bare.len()..];
        match bare.split_once("://") {
            Some((scheme, address)) if !scheme.is_empty() => {
                self.text.push_str(scheme);
                self.text.push_str("://");
                self.path(address);
            }
            _ if bare.contains('/') => self.path(bare),
            _ => self.parts(bare),
        }
        self.text.push_str(tail);
    }

    /// Segment by segment; of a temporary name, nothing.
    fn path(&mut self, path: &str) {
        let mut temporary = false;
        for (place, segment) in path.split('/').enumerate() {
            if place > 0 {
                self.text.push('/');
            }
            if temporary || segment.starts_with(".tmp") {
                self.push(ANY);
            } else {
                self.parts(segment);
            }
            temporary = segment == "tmp";
        }
    }

    /// `user=42`, `db-1.internal:5432`: piece by piece, unless the whole is a time, an address or a uuid.
    fn parts(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if is_figure(text) || is_uuid(text) || is_ipv6(text) {
            return self.push(ANY);
        }
        for piece in text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '%') {
            let bare = piece.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '%');
            if varies(bare) {
                self.push(ANY);
            } else if let Some(stem) = numbered(bare) {
                self.text.push_str(stem);
                self.push(ANY);
            } else {
                self.text.push_str(bare);
            }
            self.text.push_str(&piece[bare.len()..]);
        }
    }
}

/// A number, a time, a date, an IPv4 address with or without a port: digits and what joins them.
fn is_figure(text: &str) -> bool {
    let joins = |c: char| matches!(c, '-' | '+' | ':' | '.' | ',' | '/' | '_' | 'T' | 'Z' | '~' | '#');
    text.contains(|c: char| c.is_numeric()) && text.chars().all(|c| c.is_numeric() || joins(c))
}

fn is_uuid(text: &str) -> bool {
    let hex = |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, digits)| hex(part, digits))
}

fn is_ipv6(text: &str) -> bool {
    text.bytes().filter(|b| *b == b':').count() >= 2
        && text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'[' | b']' | b'.'))
}

/// A piece without punctuation that is a number, a number with its unit, or an id.
fn varies(piece: &str) -> bool {
    let digits = piece.chars().filter(|c| c.is_numeric()).count();
    let letters = piece.chars().count() - digits;
    if piece.len() >= 7 && piece.bytes().all(|b| b.is_ascii_hexdigit()) {
        return true;
    }
    if digits == 0 {
        return false;
    }
    if letters == 0 || piece.starts_with("0x") {
        return true;
    }
    let unit = piece.trim_start_matches(char::is_numeric);
    if unit.len() < piece.len() && !unit.contains(|c: char| c.is_numeric()) {
        return UNITS.contains(&unit) || letters > 3;
    }
    turns(piece) >= 2
}

/// `agent12` → `agent`: a word with a number at its end.
fn numbered(piece: &str) -> Option<&str> {
    let stem = piece.trim_end_matches(char::is_numeric);
    (!stem.is_empty() && stem.len() < piece.len()).then_some(stem)
}

/// How often letters give way to digits or digits to letters.
fn turns(piece: &str) -> usize {
    let mut kinds = piece.chars().map(char::is_numeric);
    let Some(mut last) = kinds.next() else { return 0 };
    kinds.filter(|kind| std::mem::replace(&mut last, *kind) != *kind).count()
}

/// What follows a quoted stretch at the beginning, if there is one.
fn quoted(text: &str, at_edge: bool) -> Option<&str> {
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '"' | '\'' | '“' | '‘'))?;
    if !at_edge {
        return None;
    }
    let close = match mark {
        '“' => '”',
        '‘' => '’',
        same => same,
    };
    let inside = &text[mark.len_utf8()..];
    let mut escaped = false;
    let end = inside.char_indices().find(|(_, c)| {
        let ends = *c == close && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map(|(at, c)| &inside[at + c.len_utf8()..])
}

/// Where the word at the beginning ends: before a space, and before a quote that begins something.
fn word_end(text: &str) -> usize {
    let mut before = None;
    for (at, c) in text.char_indices() {
        let quotes = matches!(c, '`' | '"' | '\'' | '“' | '‘');
        if c.is_whitespace() || (quotes && at > 0 && before.is_some_and(|b: char| !b.is_alphanumeric())) {
            return at;
        }
        before = Some(c);
    }
    text.len()
}

fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
