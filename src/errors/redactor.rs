//! Text with no secret in it: first those that the daemon knows by value, since no shape tells them, then by shape.
use crate::{config::redact, domain::one_line};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, PoisonError, RwLock};

/// A shorter value would hide half of what is said, and is hardly a secret.
const SHORTEST: usize = 6;
/// More than any manifest has; the oldest go.
const MOST: usize = 2_048;
/// Of one text, before anything is replaced: what an agent says is not bounded by itself.
const LONGEST_READ: usize = 8 << 10;
const MASK: &str = "********";

/// Cheap to clone. Who looks up a secret of the manifest tells it; what it knows never leaves it.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Vec<SecretString>>>,
}

impl Redactor {
    pub fn know(&self, secret: &SecretString) {
        let value = secret.expose_secret();
        if value.len() < SHORTEST || (value.len() < 8 && value.bytes().all(|byte| byte.is_ascii_digit())) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|old| old.expose_secret() == value) {
            return;
        }
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push(secret.clone());
    }

    /// One line of at most so many characters. It is cut last: half a secret has no shape.
    pub fn clean(&self, text: &str, most: usize) -> String {
        let bounded = match text.char_indices().nth(LONGEST_READ) {
            // What the end of the part that is read cuts in two is not shown either.
            Some((end, _)) => text[..end].rsplit_once(char::is_whitespace).map_or("", |(whole, _)| whole),
            None => text,
        };
        let mut clean = bounded.to_owned();
        for secret in self.known.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let value = secret.expose_secret();
            if clean.contains(value) {
                clean = clean.replace(value, MASK);
            }
        }
        let clean = one_line(&redact(&clean));
        match clean.char_indices().nth(most) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_goes_whatever_it_looks_like_and_nothing_is_cut_in_half() {
        let redactor = Redactor::default();
        redactor.know(&"correct horse battery".into());
        redactor.know(&"short".into());
        redactor.know(&"123456".into());
        let clean = |text: &str| redactor.clean(text, 200);
        assert_eq!(clean("login with correct horse battery failed"), "login with ******** failed");
        assert_eq!(clean("a short text, 123456"), "a short text, 123456");
        assert_eq!(clean("a\nb\u{1b}[2J password=x1"), "a b\\u{1b}[2J password=********");
        let long = format!("{} correct horse battery", "x ".repeat(95));
        assert!(!redactor.clean(&long, 196).contains("corr"), "{}", redactor.clean(&long, 196));
        let longer = format!("{}sk-proj-4f8a9c2e1b7d6a5f", "x ".repeat(LONGEST_READ / 2 - 4));
        assert!(!redactor.clean(&longer, usize::MAX).contains("sk-"));
    }
}
