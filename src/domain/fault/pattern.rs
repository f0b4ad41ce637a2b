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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(one: &str, other: &str) {
        assert_eq!(pattern(one), pattern(other), "\n  {one}\n  {other}");
    }

    fn apart(one: &str, other: &str) {
        assert_ne!(pattern(one), pattern(other), "\n  {one}\n  {other}");
    }

    #[test]
    fn what_varies_goes_and_the_cause_stays() {
        for (text, want) in [
            ("cannot stop orders/1 in 10s", "cannot stop orders/# in #"),
            ("no answer from 127.0.0.1:5432 within 900ms", "no answer from # within #"),
            ("no answer from db.internal:5432 within 1.5 s", "no answer from db.internal:# within # s"),
            ("cannot find agent `nope`: there is none", "cannot find agent `…`: there is none"),
            (
                "ModuleNotFoundError: No module named 'fastapi' (exit code 1)",
                "ModuleNotFoundError: No module named `…` (exit code #)",
            ),
            ("2026-11-21T11:47:31.5Z request 7f3a9c2e failed", "# request # failed"),
            ("2026-11-21 11:47:31 request failed", "# request failed"),
            ("user 550e8400-e29b-41d4-a716-446655440000 is unknown", "user # is unknown"),
            (
                "cannot open /tmp/agentd-x7/state/db.sqlite: denied",
                "cannot open /tmp/#/state/db.sqlite: denied",
            ),
            ("cannot open /srv/4711/data: denied", "cannot open /srv/#/data: denied"),
            ("GET http://127.0.0.1:8000/orders/17?x=3 gave 500", "GET http://#/orders/#?x=# gave #"),
            ("ports [8001, 8002, 8003] are held", "ports [#] are held"),
            ("[::1]:80 refused", "# refused"),
            ("don't know what it can't do", "don't know what it can't do"),
            ("python3: not found", "python#: not found"),
            ("", ""),
        ] {
            let got = pattern(text);
            // IPv6 in brackets may keep them: what counts is that it is stable.
            if text.starts_with("[::1]") {
                same(text, "[fe80::1:2]:8080 refused");
                continue;
            }
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn different_failures_stay_apart() {
        let all = [
            "connection refused",
            "connection reset by peer",
            "no answer within 5s",
            "import error: ModuleNotFoundError: No module named 'x' (exit code 1)",
            "port in use: OSError: [Errno 98] Address already in use (exit code 1)",
            "database error: sqlite3.OperationalError: unable to open database file (exit code 1)",
            "database error: sqlite3.OperationalError: database is locked (exit code 1)",
            "configuration error: KeyError: 'DATABASE_URL' (exit code 1)",
            "out of memory: MemoryError",
            "cannot reach orders-db: connection refused",
            "cannot reach billing-db: connection refused",
            "cannot use /v1/agents/stop: it needs agent.control, and user:1000 is viewer",
            "cannot use /v1/agents/start: it needs agent.control, and user:1000 is viewer",
            "exit code 1: ZeroDivisionError: division by zero",
            "exit code 1: ValueError: bad input",
        ];
        for (place, one) in all.iter().enumerate() {
            all[place + 1..].iter().for_each(|other| apart(one, other));
        }
        let of = |kind, operation, agent: Option<&AgentName>| {
            Fingerprint::of(FaultCategory::Agent, kind, operation, agent, "cannot: x")
        };
        let agent: AgentName = "orders".parse().expect("a name");
        let absent = |message: &str| {
            Fingerprint::of(FaultCategory::Api, FaultKind::NotFound, "agents/stop", None, message)
        };
        assert_eq!(absent("cannot find agent nope"), absent("cannot find agent nada"));
        let plain = of(FaultKind::Internal, "probe", None);
        for other in [
            of(FaultKind::Timeout, "probe", None),
            of(FaultKind::Internal, "prune", None),
            of(FaultKind::Internal, "probe", Some(&agent)),
        ] {
            assert_ne!(plain, other);
        }
        assert_eq!(plain.to_string().parse(), Ok(plain.clone()));
        assert!(plain.as_str().starts_with("1-") && plain.as_str().len() == 18);
        assert!("nonsense".parse::<Fingerprint>().is_err());
    }

    /// Two values of the same sort for each hole of a sentence.
    fn twice(of: BoxedStrategy<String>) -> BoxedStrategy<(String, String)> {
        (of.clone(), of).boxed()
    }

    fn varying() -> BoxedStrategy<(String, String)> {
        let octet = 0_u8..=255;
        let address = (octet.clone(), octet.clone(), octet.clone(), octet, 1_u16..)
            .prop_map(|(a, b, c, d, port)| format!("{a}.{b}.{c}.{d}:{port}"));
        let hex = proptest::collection::vec(0_u8..16, 8..40)
            .prop_map(|digits| digits.iter().map(|d| format!("{d:x}")).collect::<String>());
        let uuid = any::<u128>().prop_map(|n| {
            let h = format!("{n:032x}");
            format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
        });
        let time = (2000..2100_i32, 1..=12_u8, 1..=28_u8, 0..24_u8, 0..60_u8)
            .prop_map(|(y, mo, d, h, mi)| format!("{y}-{mo:02}-{d:02}T{h:02}:{mi:02}:00Z"));
        prop_oneof![
            twice(any::<u32>().prop_map(|n| n.to_string()).boxed()),
            twice(
                (0_u32..100_000, proptest::sample::select(vec!["ms", "s", "MiB", "%"]))
                    .prop_map(|(n, unit)| format!("{n}{unit}"))
                    .boxed()
            ),
            twice(address.boxed()),
            twice(hex.boxed()),
            twice(uuid.boxed()),
            twice(time.boxed()),
            twice("[a-zA-Z0-9 /:._-]{0,30}".prop_map(|text| format!("`{text}`")).boxed()),
            twice("[a-zA-Z0-9 /:._-]{0,30}".prop_map(|text| format!("\"{text}\"")).boxed()),
            twice((1_u32..9999, 1_u32..9999).prop_map(|(a, b)| format!("/srv/jobs/{a}/out/{b}")).boxed()),
            twice((1_u16..).prop_map(|port| format!("db.internal:{port}")).boxed()),
            twice((0_u32..500).prop_map(|index| format!("orders/{index}")).boxed()),
            twice("[A-Za-z0-9]{6,10}".prop_map(|text| format!("/tmp/{text}/x")).boxed()),
        ]
        .boxed()
    }

    const WORDS: &[&str] =
        &["cannot", "reach", "stop", "open", "the", "refused", "denied", "in", "agent", "while", "not"];

    proptest! {
        #[test]
        fn occurrences_of_one_failure_are_alike_whatever_varies(
            parts in proptest::collection::vec((proptest::sample::select(WORDS), varying()), 1..6)
        ) {
            let (mut one, mut other) = (String::new(), String::new());
            for (word, (left, right)) in &parts {
                one.push_str(&format!("{word} {left}, "));
                other.push_str(&format!("{word} {right}, "));
            }
            prop_assert_eq!(pattern(&one), pattern(&other), "\n{}\n{}", one, other);
        }

        #[test]
        fn another_word_is_another_failure(
            words in proptest::collection::vec(proptest::sample::select(WORDS), 1..6),
            at in 0_usize..6,
            (left, right) in varying(),
        ) {
            let mut changed = words.clone();
            let at = at % words.len();
            changed[at] = "elsewhere";
            prop_assert_ne!(
                pattern(&format!("{} {left}", words.join(" "))),
                pattern(&format!("{} {right}", changed.join(" ")))
            );
        }

        #[test]
        fn nothing_makes_it_panic_or_grow(text in "\\PC{0,120}|[a-f0-9`'\"#…, /:.-]{0,60}") {
            prop_assert!(pattern(&text).chars().count() <= LONGEST);
        }
    }
}
