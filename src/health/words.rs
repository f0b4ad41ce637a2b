//! Saying what was seen in few words, in one line.
use std::{error::Error, io};

/// An I/O error without its number.
pub fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

/// An error with its causes, where the outer one alone says nothing.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.downcast_ref::<io::Error>().map_or_else(|| inner.to_string(), plain);
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// One line of at most `most` characters: what others wrote must not break ours.
pub fn cut(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut out: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        out.pop();
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn causes_are_told_once() {
        let inner = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(chain(&inner), inner.to_string());
        assert_eq!(plain(&inner), "connection refused");
    }

    proptest! {
        #[test]
        fn cut_gives_one_line_within_its_length(text in any::<String>(), most in 1usize..100) {
            let out = cut(&text, most);
            prop_assert!(out.chars().count() <= most && !out.chars().any(char::is_control));
        }
    }
}
