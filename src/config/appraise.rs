//! What a secret is worth, without repeating it: is it a placeholder, is it strong enough, for which kind of
//! environment was it issued? Values are judged in memory; nothing here returns, logs or prints one.
use super::strength::weakness;

/// What is to be said of one secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appraisal {
    /// Why it is taken for something to be filled in later.
    pub placeholder: Option<&'static str>,
    /// Why it can be guessed, with a figure and without the value.
    pub weak: Option<String>,
    /// Who issued it, and for which kind of environment.
    pub issued: Option<Issued>,
}

/// A key whose own form says what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    pub by: &'static str,
    pub live: bool,
}

/// Judges a value. `secret` says that it is one by the name it goes by; a password in a URL is one whatever its name.
pub fn appraise(value: &str, secret: bool) -> Appraisal {
    let value = value.trim();
    let bare = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("Basic ")).unwrap_or(value);
    let issued = issued(bare);
    let word = match url_password(bare) {
        Some(password) => Some(password),
        // A URL without a password: its parts have no strength of their own.
        None if bare.contains("://") => None,
        None => (secret || issued.is_some()).then_some(bare),
    };
    let Some(word) = word else { return Appraisal { issued, ..Appraisal::default() } };
    let placeholder = placeholder(word);
    // A key block is as strong as its issuer made it, and a placeholder is objected to as what it is.
    let judged = placeholder.is_none() && !word.starts_with("-----BEGIN");
    Appraisal { placeholder, weak: judged.then(|| weakness(word)).flatten(), issued }
}

/// Prefixes that say for which kind of environment a key was issued: prefix, issuer, live.
const ISSUED: &[(&str, &str, bool)] = &[
    // https://docs.stripe.com/keys; Clerk and Paystack use the same prefixes.
    ("sk_live_", "Stripe or alike", true),
    ("pk_live_", "Stripe or alike", true),
    ("rk_live_", "Stripe", true),
    ("sk_test_", "Stripe or alike", false),
    ("pk_test_", "Stripe or alike", false),
    ("rk_test_", "Stripe", false),
    // https://razorpay.com/docs/payments/dashboard/account-settings/api-keys
    ("rzp_live_", "Razorpay", true),
    ("rzp_test_", "Razorpay", false),
    // https://developer.squareup.com/docs/build-basics/access-tokens
    ("sq0idp-", "Square", true),
    ("sandbox-sq0", "Square", false),
    // https://developer.paypal.com/braintree/docs/guides/authorization/overview
    ("access_token$production$", "Braintree", true),
    ("access_token$sandbox$", "Braintree", false),
    // https://plaid.com/docs/api/tokens
    ("access-production-", "Plaid", true),
    ("access-sandbox-", "Plaid", false),
    // https://developer.flutterwave.com/docs/authentication
    ("FLWSECK_TEST-", "Flutterwave", false),
    ("FLWSECK-", "Flutterwave", true),
    // https://docs.goshippo.com/docs/guides_general/authentication
    ("shippo_live_", "Shippo", true),
    ("shippo_test_", "Shippo", false),
    // https://docs.easypost.com/docs/api-keys
    ("EZAK", "EasyPost", true),
    ("EZTK", "EasyPost", false),
    // https://docs.mollie.com/reference/authentication; Lob's look the same.
    ("live_", "Mollie or alike", true),
    ("test_", "Mollie or alike", false),
];
/// What must follow a prefix for it to be one.
const AFTER_PREFIX: usize = 8;

fn issued(value: &str) -> Option<Issued> {
    let (prefix, by, live) = ISSUED.iter().find(|(prefix, ..)| value.starts_with(prefix))?;
    let rest = &value[prefix.len()..];
    let form = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    (rest.len() >= AFTER_PREFIX && rest.chars().all(form)).then_some(Issued { by, live: *live })
}

/// The password of `scheme://user:password@host`, as it stands there.
fn url_password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}

/// Words that stand for a secret that is still to come, alone or as a part.
const PARTS: &[&str] = &[
    "changeme",
    "change-me",
    "change_me",
    "change_this",
    "changethis",
    "placeholder",
    "replaceme",
    "replace-me",
    "replace_me",
    "replace-with",
    "replace_with",
    "your-",
    "your_",
    "yourkey",
    "yourpassword",
    "insert-",
    "insert_",
    "enter-",
    "fill-me",
    "fill_me",
    "fillme",
    "-goes-here",
    "_goes_here",
    "key-here",
    "key_here",
    "todo",
    "fixme",
    "example",
    "dummy",
    "not-a-real",
    "not_a_real",
    "notreal",
];
/// What is one only when nothing else stands there.
const WHOLE: &[&str] = &[
    "password",
    "passwort",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "key",
    "test",
    "testing",
    "foo",
    "bar",
    "foobar",
    "none",
    "null",
    "nil",
    "undefined",
    "n/a",
    "na",
    "tbd",
    "empty",
    "value",
    "string",
    "s3cr3t",
    "hunter2",
    "abc",
    "abc123",
    "asdf",
    "xxx",
];

fn placeholder(value: &str) -> Option<&'static str> {
    let lower = value.to_lowercase();
    let framed = [("<", ">"), ("[", "]"), ("{", "}"), ("${", "}"), ("$(", ")"), ("%", "%"), ("__", "__")];
    if framed.iter().any(|(open, close)| {
        lower.len() > open.len() + close.len() && lower.starts_with(open) && lower.ends_with(close)
    }) && !lower.contains(':')
    {
        return Some("it is a slot that nobody filled in");
    }
    if WHOLE.contains(&&*lower) || PARTS.iter().any(|part| holds_word(&lower, part)) {
        return Some("it is a word that stands for a secret still to come");
    }
    let tail = ISSUED
        .iter()
        .map(|(prefix, ..)| *prefix)
        .chain(["sk-", "ghp_", "xoxb-"])
        .find_map(|prefix| value.strip_prefix(prefix))
        .unwrap_or(value);
    let mut chars = tail.chars();
    let first = chars.next()?;
    (tail.chars().count() >= 3 && chars.all(|c| c == first)).then_some("it is one character over and over")
}

/// Is `part` in `text` as a word of its own? Among random letters and digits it means nothing.
fn holds_word(text: &str, part: &str) -> bool {
    text.match_indices(part).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + part.len()..].chars().next();
        let open = part.ends_with(['-', '_']);
        // `EXAMPLEKEY` as vendors write it in their manuals: letters may follow, and letters may stand before.
        let short = part.len() < 6;
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        if short {
            edge(before) && (open || edge(after))
        } else {
            open || !after.is_some_and(|c| c.is_ascii_digit())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made here and now: no scanner shall find a secret in our source.
    fn random(prefix: &str, length: usize) -> String {
        prefix.to_owned() + &(0..length).map(|_| fastrand::alphanumeric()).collect::<String>()
    }

    #[test]
    fn placeholders_are_told_from_secrets() {
        for text in [
            "changeme",
            "CHANGE_ME",
            "xxx",
            "XXXXXXXX",
            "********",
            "<your key>",
            "<secret>",
            "${API_KEY}",
            "{{key}}",
            "your-key-here",
            "your_api_key",
            "sk-your-key-here",
            "todo",
            "TODO: key",
            "password",
            "secret",
            "replace_with_real_key",
            "insert-token",
            "AKIAIOSFODNN7EXAMPLE",
            "sk_test_xxxxxxxxxxxx",
            "placeholder",
            "postgres://app:changeme@db/orders",
            "Bearer <token>",
            "000000000000",
            "__API_KEY__",
            "dummy-key-1",
        ] {
            assert!(appraise(text, true).placeholder.is_some(), "{text} was taken for a secret");
        }
        for _ in 0..2000 {
            for text in [random("", 32), random("sk-ant-api03-", 40), random("postgres://a:", 20) + "@db/x"] {
                let found = appraise(&text, true);
                assert_eq!((found.placeholder, found.weak), (None, None), "{text}");
            }
        }
    }

    #[test]
    fn what_can_be_guessed_is_weak() {
        for text in [
            "hunter22",
            "Password123!",
            "postgres1",
            "12345678901234",
            "abcdefghijklmnopqrstuvwx",
            "qwertyuiop1234",
            "aB3$xY9!",
            "abababababababababab",
            "Summer2026!",
            "adminadminadmin",
            "9999999999991",
            "redis://:s3same@c/0",
        ] {
            let found = appraise(text, true);
            assert!(found.weak.is_some(), "{text} was taken for strong");
            assert!(!format!("{found:?}").contains(text), "the appraisal repeats it");
        }
        for text in [
            "correct horse battery staple",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert_eq!(appraise(text, true).weak, None, "{text}");
        }
        for _ in 0..2000 {
            let hex: String = (0..32).map(|_| format!("{:x}", fastrand::u8(..16))).collect();
            assert_eq!(appraise(&hex, true).weak, None, "{hex}");
        }
    }

    #[test]
    fn what_is_no_secret_by_name_is_not_judged_unless_it_holds_one() {
        for text in ["info", "test", "8080", "http://127.0.0.1:8000/health", "postgres://app@db/orders"] {
            assert_eq!(appraise(text, false), Appraisal::default(), "{text}");
        }
        assert!(appraise("postgres://app:abc@db/orders", false).placeholder.is_some());
    }

    #[test]
    fn a_key_says_for_what_it_was_issued() {
        let kind = |text: &str| appraise(text, false).issued.map(|issued| issued.live);
        for prefix in ["sk_live_", "pk_live_", "rk_live_", "rzp_live_", "FLWSECK-", "live_"] {
            assert_eq!(kind(&random(prefix, 24)), Some(true), "{prefix}");
        }
        for prefix in ["sk_test_", "rk_test_", "FLWSECK_TEST-", "access-sandbox-", "test_"] {
            assert_eq!(kind(&random(prefix, 24)), Some(false), "{prefix}");
        }
        for text in ["sk_live_", "test_run", "live_and learn to live", &random("", 40), &random("sk-", 40)] {
            assert_eq!(kind(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", secret: bool) {
            let _ = appraise(&text, secret);
            let _ = appraise(&format!("a://b:{text}@c"), secret);
        }
    }
}
