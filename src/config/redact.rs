//! Text from anywhere (an agent's last words, a remote answer, a request) with everything replaced that looks like a
//! secret. It goes by shape alone: whoever knows secrets by value looks for those first.
use super::suspect::{MASK, mask, name_is_secret};
use std::borrow::Cow;

/// Letters, digits and what base64 has beside them: so many in a row, of all three sorts, are no word.
const RANDOM: usize = 32;
/// A bare word such as `key` before `: ` may be prose; a value of this length is not.
const LONG: usize = 16;

/// Shapes of issued keys, passwords in URLs, what follows a name that is a secret's, bearers, and long random strings.
pub fn redact(text: &str) -> Cow<'_, str> {
    if text.len() < 4 {
        return Cow::Borrowed(text);
    }
    let named = after_names(text);
    let issued = mask(&named);
    let borne = after_schemes(&issued);
    let clean = random(&borne);
    if clean == text { Cow::Borrowed(text) } else { Cow::Owned(clean) }
}

/// `password=hunter2`, `"api_key": "x"`, `--token x`, `?token=x&y`, `Authorization: Bearer x`.
fn after_names(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':', ' ']) {
        let (before, mark) = (&rest[..at], rest.as_bytes()[at]);
        clean.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        let Some(found) = secret_after(&clean[..clean.len() - 1], before, mark, rest) else { continue };
        clean.push_str(&rest[..found.start]);
        clean.push_str(MASK);
        rest = &rest[found.end..];
    }
    clean + rest
}

/// Where the secret is in what follows `mark`, if what stands before it is the name of one.
fn secret_after(all: &str, before: &str, mark: u8, rest: &str) -> Option<std::ops::Range<usize>> {
    let named = if mark == b' ' { before } else { all };
    let bare = named.trim_end_matches(['"', '\'', '`', ' ', '\\']);
    let name = &bare[bare
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .map_or(0, |at| at + bare[at..].chars().next().map_or(1, char::len_utf8))..];
    let is_error = name.ends_with("Error") || name.ends_with("Exception");
    if name.is_empty() || is_error || !name_is_secret(name) {
        return None;
    }
    if mark == b' ' && !name.starts_with("--") {
        return None; // prose: "the token was refused"
    }
    let start = rest.len() - rest.trim_start_matches([' ', '\\']).len();
    let value = &rest[start..];
    let whole_line =
        ["cookie", "authorization"].iter().any(|header| name.to_ascii_lowercase().ends_with(header));
    let (open, end) = match value.chars().next()? {
        quote @ ('"' | '\'' | '`') => {
            let inside = &value[1..];
            (1, 1 + inside.find(quote).unwrap_or(inside.len()))
        }
        _ if whole_line => (0, value.find(['\n', '"', '\'']).unwrap_or(value.len())),
        _ => {
            let ends =
                |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | ')' | '}' | ']' | '"' | '\'');
            (0, value.find(ends).unwrap_or(value.len()))
        }
    };
    let secret = value[open..end].trim_end_matches('\\');
    let nothing = matches!(secret.to_ascii_lowercase().as_str(), "" | "none" | "null" | "true" | "false");
    // `key: orders` may be prose, `key: 8f2…` is not.
    let prose = mark == b':'
        && matches!(name.to_ascii_lowercase().as_str(), "key" | "keys" | "token" | "cookie")
        && secret.len() < LONG
        && !secret.bytes().any(|byte| byte.is_ascii_digit());
    let reference = super::is_reference(secret);
    // To a shell it is the directory that it stands in.
    let directory = name.ends_with("PWD") && secret.starts_with('/');
    (!nothing && !prose && !reference && !directory).then(|| start + open..start + open + secret.len())
}

/// `Bearer x`, `Basic x`, wherever they stand.
fn after_schemes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["bearer ", "basic "].iter().filter_map(|word| find_word(rest, word)).min() {
        let value = &rest[at..];
        let end = value
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | ')'))
            .unwrap_or(value.len());
        clean.push_str(&rest[..at]);
        // "basic authentication failed" is a sentence.
        let is_word = value[..end].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.');
        clean.push_str(if end < 6 || is_word { &value[..end] } else { MASK });
        rest = &value[end..];
    }
    clean + rest
}

/// Where what follows the word begins; whatever the case, and not inside another word.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let (bytes, word) = (text.as_bytes(), word.as_bytes());
    (0..bytes.len().saturating_sub(word.len())).find_map(|at| {
        let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        (begins && bytes[at..at + word.len()].eq_ignore_ascii_case(word)).then_some(at + word.len())
    })
}

/// Long strings of capitals, small letters and digits mixed: what no prefix tells.
fn random(text: &str) -> String {
    let part_of_it = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-' | '=');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(part_of_it) {
        let tail = &rest[start..];
        let word = &tail[..tail.find(|c| !part_of_it(c)).unwrap_or(tail.len())];
        clean.push_str(&rest[..start]);
        // A path is long too: of one, each segment is judged.
        let hidden = |part: &'_ str| if is_random(part) { MASK.to_owned() } else { part.to_owned() };
        if word.starts_with('/') {
            clean.push_str(&word.split('/').map(hidden).collect::<Vec<_>>().join("/"));
        } else {
            clean.push_str(&hidden(word));
        }
        rest = &tail[word.len()..];
    }
    clean + rest
}

fn is_random(word: &str) -> bool {
    let count = |is: fn(&u8) -> bool| word.bytes().filter(is).count();
    word.len() >= RANDOM
        && count(u8::is_ascii_uppercase) >= 3
        && count(u8::is_ascii_lowercase) >= 3
        && count(u8::is_ascii_digit) >= 1
        && word.bytes().filter(|byte| *byte == b'/').count() * 8 < word.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_sentence_stays() {
        for (text, want) in [
            ("login failed: password=hunter2, user=ana", "login failed: password=********, user=ana"),
            (r#"{"api_key": "abc-123", "n": 1}"#, r#"{"api_key": "********", "n": 1}"#),
            (r#"{\"api_key\": \"abc-123\"}"#, r#"{\"api_key\": \"********\"}"#),
            ("DB_PASSWORD: correcthorse", "DB_PASSWORD: ********"),
            ("GET /x?access_token=q1w2&page=3", "GET /x?access_token=********&page=3"),
            ("Authorization: Bearer abc.def", "Authorization: ********"),
            ("sent bearer q1w2e3r4t5 to it", "sent bearer ******** to it"),
            ("Basic dXNlcjpwYXNz refused", "Basic ******** refused"),
            ("run with --token q1w2 --verbose", "run with --token ******** --verbose"),
            ("redis://:hunter2@cache:6379 refused", "redis://:********@cache:6379 refused"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY is wrong", "******** is wrong"),
            ("sk-proj-4f8a9c2e1b7d6a5f refused", "******** refused"),
            ("cannot find /v1/wJalrXUtnFEMI7K7MDENGbPxRfiCYEXAMPLEKEY", "cannot find /v1/********"),
        ] {
            assert_eq!(redact(text), want);
        }
    }

    #[test]
    fn what_is_no_secret_is_left_alone() {
        for text in [
            "",
            "cannot find agent `orders`: there is none",
            "KeyError: 'OPENAI_API_KEY'",
            "basic authentication failed",
            "the bearer token is missing",
            "duplicate key: orders",
            "PATH=/usr/bin PWD=/srv/agents",
            "cannot open /srv/Orders1/lib/site-packages/MyModule/Long/Path/X.py",
            "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "550e8400-e29b-41d4-a716-446655440000",
            "api_key=env:API_KEY",
            "cannot use /v1/agents/stop: it needs agent.control, and user:1000 is viewer",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(_)), "{text} became {}", redact(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic_and_twice_is_once(text in "\\PC{0,80}|[a-z_=:\"' &Key]{0,60}") {
            let once = redact(&text).into_owned();
            let _ = redact(&once).into_owned();
            let with = format!("{text} password=hunter2");
            proptest::prop_assert!(!redact(&with).contains("hunter2"), "{}", redact(&with));
        }
    }
}
