//! What is random enough to be a secret where nothing but a name, or a prefix, says that it is one.
use super::forms::Hit;
use crate::config::{appraise, name_is_secret};
use std::ops::Range;

/// What a value must have at least for a name alone to make it a secret.
const SHORTEST: usize = 20;
const LONGEST: usize = 512;
/// Shannon's, of the text's own characters. Words and names of code have less; 20 random characters of base 64 about 4.
const BITS_A_CHARACTER: f64 = 3.6;
/// The same for hexadecimal digits, which cannot have more than 4.
const BITS_A_DIGIT: f64 = 3.0;

/// Random enough for what follows an issuer's prefix: letters and digits, and none of it repeated over and over.
pub fn is_random(body: &[u8]) -> bool {
    let digit = body.iter().any(u8::is_ascii_digit);
    let letter = body.iter().any(u8::is_ascii_alphabetic);
    digit && letter && shannon(body) >= 2.8
}

/// Neither a placeholder nor something that can be guessed.
pub fn is_strong(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| {
        let found = appraise(word, true);
        found.placeholder.is_none() && found.weak.is_none()
    })
}

/// `NAME = "value"`, `name: value`, `"name": "value"`, where `name` holds a word at `at` that says that it is secret.
pub fn assigned(text: &[u8], at: Range<usize>) -> Option<Hit> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let before = text[..at.start].iter().rev().take(64).take_while(|byte| part(byte)).count();
    let after = text[at.end..].iter().take(64).take_while(|byte| part(byte)).count();
    let name = at.start - before..at.end + after;
    let mut here = name.end;
    let skip = |here: &mut usize, also: &[u8]| {
        let most = text.len().min(*here + 8);
        while *here < most && (matches!(text[*here], b' ' | b'\t') || also.contains(&text[*here])) {
            *here += 1;
        }
    };
    skip(&mut here, b"\"']");
    if !matches!(text.get(here), Some(b'=' | b':')) {
        return None;
    }
    here += 1;
    skip(&mut here, b"=>");
    let quote = text.get(here).copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    here += usize::from(quote.is_some());
    let value = &text[here..text.len().min(here + LONGEST)];
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-.~!@#%^&*".contains(byte);
    let length = value.iter().take_while(|byte| goes_on(byte)).count();
    let value = &value[..length];
    // Text in quotes must be all of it; without quotes the line must end there, or it is an expression.
    let closed = match (quote, text.get(here + length)) {
        (Some(quote), Some(byte)) => *byte == quote,
        (Some(_), None) => false,
        (None, next) => next.is_none_or(|byte| matches!(byte, b'\n' | b'\r' | b' ' | b'\t')),
    };
    let name = std::str::from_utf8(&text[name]).ok()?;
    (closed
        && (SHORTEST..LONGEST).contains(&length)
        && name_is_secret(name)
        && dense(value)
        && is_strong(value))
    .then(|| Hit { at: here..here + length, what: "a random value under a secret's name" })
}

/// Random by its own characters, and not a path, a version, a dotted name or a call.
fn dense(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let dots = value.iter().filter(|byte| **byte == b'.').count();
    let slashes = value.iter().filter(|byte| **byte == b'/').count();
    let hexadecimal = value.iter().all(u8::is_ascii_hexdigit);
    let least = if hexadecimal { BITS_A_DIGIT } else { BITS_A_CHARACTER };
    // In 20 random characters of base 62 three are digits; words with a year or a version have fewer switches.
    let switches = value.windows(2).filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    !is_uuid(value)
        && digits >= 2
        && letters >= 4
        && dots <= 2
        && slashes <= value.len() / 12
        && switches >= 4
        && shannon(value) >= least
}

/// Names of things by the thousand look like this, and a few secrets: too many of the one to be told from the other.
fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Bits a character, by how often each is there.
fn shannon(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let all = text.len().max(1) as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all)
        .map(|part| -part * part.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> bool {
        let at = ["secret", "SECRET", "token", "TOKEN", "api_key", "API_KEY", "password", "apiKey"]
            .iter()
            .find_map(|word| line.find(word).map(|at| at..at + word.len()))
            .expect("a name");
        assigned(line.as_bytes(), at).is_some()
    }

    #[test]
    fn a_random_value_under_a_secrets_name_is_found_however_it_is_written() {
        let mut value = String::new();
        while !dense(value.as_bytes()) {
            value = (0..32).map(|_| fastrand::alphanumeric()).collect();
        }
        for line in [
            format!("API_KEY={value}\n"),
            format!("export MY_TOKEN={value}"),
            format!("client_secret = \"{value}\""),
            format!("  password: {value}\n"),
            format!("\"apiKey\": \"{value}\","),
            format!("config['secret'] = '{value}'"),
            format!("secret => \"{value}\""),
        ] {
            assert!(found(&line), "{line}");
        }
        for line in [
            format!("secret_name = \"{value}\""),
            "token = get_token_from_the_vault(request)".into(),
            "api_key = os.environ[\"API_KEY\"]".into(),
            "api_key: \"env:SOME_VARIABLE_1_2_3_4_OF_MINE\"".into(),
            "password = \"correct-horse-battery-staple\"".into(),
            "token = settings.token.v1.of.some.thing2.here3".into(),
            "secret: /run/secrets/app1/key2/very/deep3/place4".into(),
            "API_KEY=your-key-here-1-2-3-4-5-6-7-8-9-0".into(),
            "token_count = 12345678901234567890123".into(),
            "token = \"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"".into(),
            "secret = \"${SECRET_FROM_ELSEWHERE_1_2_3_4}\"".into(),
            format!("the secret is {value}"),
            format!("secret = \"{value} and more\""),
        ] {
            assert!(!found(&line), "{line}");
        }
    }

    #[test]
    fn random_values_are_told_from_words_nearly_always() {
        let seen = (0..2000)
            .map(|_| (0..32).map(|_| fastrand::alphanumeric()).collect::<String>())
            .filter(|value| dense(value.as_bytes()))
            .count();
        assert!(seen > 1600, "{seen} of 2000");
    }
}
