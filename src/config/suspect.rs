//! What looks like a secret: by the name of its key, by the shape of its value. Used to refuse it in the file and to
//! keep it out of everything that is shown.
use std::ops::Range;

/// What replaces it.
pub const MASK: &str = "********";

/// Words that make a key's name a secret's, when one of its segments is (or ends in) one.
const NAMES: &[&str] = &[
    "KEY",
    "KEYS",
    "APIKEY",
    "TOKEN",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "CREDENTIAL",
    "CREDENTIALS",
    "DSN",
    "AUTHORIZATION",
    "COOKIE",
];
/// Long enough to count at the end of a word that is written together: DBPASSWORD, authtoken.
const ENDINGS: &[&str] = &["APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS"];
/// Each of the names above holds one of these, so that most keys are told apart without being taken apart.
const ROOTS: &[&str] =
    &["KEY", "TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "DSN", "AUTHORIZATION", "COOKIE"];
/// A last segment that says: not the secret itself, but something about it.
const ABOUT: &[&str] = &[
    "FILE",
    "PATH",
    "DIR",
    "TTL",
    "TIMEOUT",
    "LIMIT",
    "MAX",
    "MIN",
    "COUNT",
    "SIZE",
    "LENGTH",
    "EXPIRY",
    "NAME",
    "HEADER",
    "TYPE",
    "ALGORITHM",
    "PREFIX",
    "ISSUER",
    "AUDIENCE",
    "ENABLED",
    "REQUIRED",
    "ROTATION",
];
/// No prefix with what must follow it is shorter: most values of a manifest need not be searched.
const SHORTEST_ISSUED: usize = 13;
/// How values begin that are issued as secrets, and how many characters must follow.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 12),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("whsec_", 8),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 12),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxa-", 8),
    ("xapp-", 8),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("hf_", 20),
    ("npm_", 20),
    ("SG.", 20),
    ("eyJ", 20),
    ("agc_", 16),
    ("ags_", 16),
    ("ya29.", 20),
    ("GOCSPX-", 16),
    ("dop_v1_", 16),
    ("dckr_pat_", 12),
    ("shpat_", 16),
    ("pypi-", 16),
    ("gsk_", 16),
    ("xoxe-", 8),
    ("ghu_", 16),
    ("nvapi-", 16),
    ("-----BEGIN", 4),
];

/// Does a key of this name hold a secret?
pub fn name_is_secret(name: &str) -> bool {
    if !ROOTS.iter().any(|root| holds(name.as_bytes(), root.as_bytes())) {
        return false;
    }
    let upper = split_camel(name).to_ascii_uppercase();
    let words: Vec<&str> =
        upper.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let Some(last) = words.last() else { return false };
    if ABOUT.contains(last) || upper.starts_with("PUBLIC") || upper.starts_with("MAX") {
        return false;
    }
    words.iter().any(|word| NAMES.contains(word) || ENDINGS.iter().any(|end| word.ends_with(end)))
}

/// Does a value under such a key amount to one? An empty one, a number, a switch and a path do not.
pub fn could_be_secret(value: &str) -> bool {
    !(value.is_empty()
        || value.starts_with('/')
        || value.starts_with("./")
        || (value.len() <= 6 && value.bytes().all(|b| b.is_ascii_digit()))
        || matches!(
            value.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "none"
        ))
}

/// Does it look like a secret whatever its key is called?
pub fn value_is_secret(value: &str) -> bool {
    find(value).is_some()
}

/// The text with everything replaced that looks like a secret.
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = find(rest) {
        masked.push_str(&rest[..found.start]);
        masked.push_str(MASK);
        rest = &rest[found.end..];
    }
    masked + rest
}

/// One line of the file as it may be shown: of the same length, with `*` for every byte of a secret. It must do with
/// text that does not parse, so it goes by quotes and the last key before them.
pub fn mask_line(line: &str) -> String {
    let mut hide: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(found) = find(&line[at..]) {
        hide.push(at + found.start..at + found.end);
        at += found.end;
    }
    let bytes = line.as_bytes();
    let (mut i, mut key_start) = (0, 0);
    let (mut secret_key, mut list) = (false, false);
    while i < bytes.len() {
        match bytes[i] {
            b'=' => {
                secret_key = name_is_secret(line[key_start..i].trim().trim_matches(['"', '\'']).trim());
                key_start = i + 1;
                i += 1;
            }
            quote @ (b'"' | b'\'') => {
                let end = string_end(bytes, i, quote);
                let inner = line.get(i + 1..end.saturating_sub(1)).unwrap_or_default();
                // `"--api-key=…"` carries its key inside the quotes.
                let (name, value) =
                    inner.split_once('=').filter(|_| inner.starts_with("--")).unwrap_or(("", inner));
                let secret = if name.is_empty() { secret_key } else { name_is_secret(name) };
                if secret && !super::secret::is_reference(value) && could_be_secret(value) {
                    hide.push(end.saturating_sub(1 + value.len())..end);
                }
                i = end;
            }
            byte @ (b',' | b'{' | b'}' | b'[' | b']') => {
                list = (list || byte == b'[') && byte != b']';
                secret_key &= list;
                key_start = i + 1;
                i += 1;
            }
            b'#' => break,
            // A value without quotes: a mistake, and perhaps a secret all the same.
            byte if secret_key && !byte.is_ascii_whitespace() => {
                let end = line[i..].find([',', '{', '}', '[', ']', '#']).map_or(line.len(), |n| i + n.max(1));
                hide.push(i..end);
                i = end;
            }
            _ => i += 1,
        }
    }
    let hidden = |at: usize| hide.iter().any(|range| range.contains(&at));
    let mut masked = String::with_capacity(line.len());
    for (at, c) in line.char_indices() {
        if hidden(at) && !matches!(c, '"' | '\'') {
            masked.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            masked.push(c);
        }
    }
    masked
}

/// One past the closing quote, or the end of the line.
fn string_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The first stretch that looks like a secret.
fn find(text: &str) -> Option<Range<usize>> {
    [issued(text), password_in_url(text), secret_in_query(text)]
        .into_iter()
        .flatten()
        .min_by_key(|range| range.start)
}

fn issued(text: &str) -> Option<Range<usize>> {
    if text.len() < SHORTEST_ISSUED {
        return None;
    }
    let part_of_it = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '=');
    let bytes = text.as_bytes();
    // Inside a word (`task-…`, `disk-…`) it is no beginning.
    let begins = |at: usize| at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    for at in (0..bytes.len()).filter(|at| begins(*at)) {
        for (prefix, at_least) in
            PREFIXES.iter().filter(|(prefix, _)| bytes[at..].starts_with(prefix.as_bytes()))
        {
            // A prefix is ASCII, so where it begins and ends is the edge of a character.
            let tail = &text[at + prefix.len()..];
            let long = tail.find(|c| !part_of_it(c)).unwrap_or(tail.len());
            // Words joined by hyphens have no digit; what is issued does. `-----BEGIN KEY` speaks for itself.
            let random = prefix.starts_with('-') || tail[..long].bytes().any(|b| b.is_ascii_digit());
            if (long >= *at_least && random) || (prefix.starts_with('-') && tail.contains("KEY")) {
                let end = if prefix.starts_with('-') { text.len() } else { at + prefix.len() + long };
                return Some(at..end);
            }
        }
    }
    None
}

/// Is `word`, in capitals, anywhere in `text`, whatever the case?
fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// The password of `scheme://user:password@host`.
fn password_in_url(text: &str) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        let tail = &text[start..];
        let authority = &tail[..tail.find(['/', '?', '#', '"', '\'', ' ', '\n']).unwrap_or(tail.len())];
        if let Some((user, _host)) = authority.rsplit_once('@')
            && let Some((name, password)) = user.split_once(':')
            && !password.is_empty()
        {
            let password_at = start + name.len() + 1;
            return Some(password_at..password_at + password.len());
        }
        from = start;
    }
    None
}

/// The value of `?password=…` or `&token=…`.
fn secret_in_query(text: &str) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(at) = text[from..].find(['?', '&']) {
        let start = from + at + 1;
        let tail = &text[start..];
        let pair = &tail[..tail.find(['?', '&', '#', '"', '\'', ' ', '\n']).unwrap_or(tail.len())];
        if let Some((name, value)) = pair.split_once('=')
            && name_is_secret(name)
            && could_be_secret(value)
        {
            let value_at = start + name.len() + 1;
            return Some(value_at..value_at + value.len());
        }
        from = start;
    }
    None
}

/// `apiKey` → `api_Key`.
fn split_camel(name: &str) -> String {
    let mut split = String::with_capacity(name.len() + 4);
    let mut lower = false;
    for c in name.chars() {
        if lower && c.is_ascii_uppercase() {
            split.push('_');
        }
        lower = c.is_ascii_lowercase();
        split.push(c);
    }
    split
}

#[cfg(test)]
#[path = "suspect_tests.rs"]
mod tests;
