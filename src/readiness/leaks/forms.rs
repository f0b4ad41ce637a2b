//! What secrets look like. A pass over the text looks for how they begin; only what begins so is looked at closely.
use super::entropy;
use regex::bytes::Regex;
use std::{ops::Range, sync::LazyLock};

/// A stretch that is a secret, and what kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub at: Range<usize>,
    pub what: &'static str,
}

/// How an issued secret begins, of what and how much it goes on, and what else must hold.
struct Form {
    prefix: &'static str,
    what: &'static str,
    /// Characters beside letters and digits.
    also: &'static [u8],
    length: Range<usize>,
    proof: Proof,
}

enum Proof {
    /// The prefix and the length are peculiar enough, if the rest is random.
    Random,
    /// Six characters of base 62 at the end are the CRC-32 of what is before them.
    /// https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
    Crc32,
    /// Capitals and 2 to 7, as base 32 has them.
    Base32,
    /// Header and payload are JSON in base64url, and the header names an algorithm: RFC 7519.
    Jwt,
}

const fn form(
    prefix: &'static str,
    what: &'static str,
    also: &'static [u8],
    length: Range<usize>,
    proof: Proof,
) -> Form {
    Form { prefix, what, also, length, proof }
}

const FORMS: &[Form] = &[
    form("ghp_", "a GitHub token", b"", 36..37, Proof::Crc32),
    form("gho_", "a GitHub OAuth token", b"", 36..37, Proof::Crc32),
    form("ghu_", "a GitHub user token", b"", 36..37, Proof::Crc32),
    form("ghs_", "a GitHub server token", b"", 36..37, Proof::Crc32),
    form("ghr_", "a GitHub refresh token", b"", 36..37, Proof::Crc32),
    form("github_pat_", "a GitHub token", b"_", 60..100, Proof::Random),
    form("glpat-", "a GitLab token", b"_-", 20..64, Proof::Random),
    form("AKIA", "an AWS access key id", b"", 16..17, Proof::Base32),
    form("ASIA", "an AWS access key id", b"", 16..17, Proof::Base32),
    form("AIza", "a Google API key", b"_-", 35..36, Proof::Random),
    form("sk-ant-", "an Anthropic API key", b"_-", 32..160, Proof::Random),
    form("sk-proj-", "an OpenAI API key", b"_-", 32..220, Proof::Random),
    form("sk-", "an API key", b"", 32..64, Proof::Random),
    form("sk_live_", "a Stripe live key", b"", 16..128, Proof::Random),
    form("rk_live_", "a Stripe live key", b"", 16..128, Proof::Random),
    form("sk_test_", "a Stripe test key", b"", 16..128, Proof::Random),
    form("whsec_", "a webhook secret", b"+/=", 24..64, Proof::Random),
    form("xoxb-", "a Slack token", b"-", 20..120, Proof::Random),
    form("xoxp-", "a Slack token", b"-", 20..120, Proof::Random),
    form("xapp-", "a Slack token", b"-", 20..160, Proof::Random),
    form("hf_", "a Hugging Face token", b"", 30..48, Proof::Random),
    form("npm_", "an npm token", b"", 36..37, Proof::Random),
    form("SG.", "a SendGrid key", b"_-.", 60..72, Proof::Random),
    form("agc_", "an agentd API key", b"_", 62..63, Proof::Crc32),
    form("ags_", "an agentd session", b"_", 62..63, Proof::Crc32),
    form("eyJ", "a JSON Web Token", b"_-.", 40..8192, Proof::Jwt),
];

/// Longest first where one begins another.
static BEGINNINGS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let mut prefixes: Vec<String> = FORMS.iter().map(|form| regex::escape(form.prefix)).collect();
    prefixes.extend(["-----BEGIN ".to_owned(), "://".to_owned()]);
    Regex::new(&format!("(?-u){}", prefixes.join("|"))).ok()
});

/// Names that say of what follows that it is secret.
static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        "(?i-u)secret|token|passw|passphrase|credential|api_?key|api-key|(?:access|private|signing)_?key",
    )
    .ok()
});

/// More in one text are the same finding, and to hold each against each takes long.
const MOST: usize = 500;

/// What in a text is a secret, up to 500 of them. False if this build cannot look (never seen).
pub fn find(text: &[u8], hits: &mut Vec<Hit>) -> bool {
    let (Some(beginnings), Some(names)) = (&*BEGINNINGS, &*NAMES) else { return false };
    for found in beginnings.find_iter(text) {
        if hits.len() >= MOST {
            return true;
        }
        let at = found.start();
        match found.as_bytes() {
            b"-----BEGIN " => hits.extend(private_key(text, at)),
            b"://" => hits.extend(password(text, found.end())),
            _ => hits.extend(issued(text, at)),
        }
    }
    let mut end = 0;
    for found in names.find_iter(text) {
        if hits.len() >= MOST {
            break;
        }
        if found.start() >= end
            && let Some(hit) = entropy::assigned(text, found.range())
        {
            end = hit.at.end;
            if !hits.iter().any(|known| known.at.start < hit.at.end && hit.at.start < known.at.end) {
                hits.push(hit);
            }
        }
    }
    true
}

fn issued(text: &[u8], at: usize) -> Option<Hit> {
    // Inside a word (`task-…`, `disk-…`) it is no beginning.
    if at > 0 && (text[at - 1].is_ascii_alphanumeric() || text[at - 1] == b'_') {
        return None;
    }
    let rest = &text[at..];
    FORMS.iter().filter(|form| rest.starts_with(form.prefix.as_bytes())).find_map(|form| {
        let body = &rest[form.prefix.len()..];
        let longest = form.length.end.min(body.len());
        let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || form.also.contains(byte);
        let length = body[..longest].iter().take_while(|byte| goes_on(byte)).count();
        let body = &body[..length];
        let proved = match form.proof {
            Proof::Random => entropy::is_random(body),
            Proof::Crc32 => checksum(body),
            Proof::Base32 => {
                body.iter().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte))
                    && !body.ends_with(b"EXAMPLE")
                    && entropy::is_random(body)
            }
            Proof::Jwt => is_jwt(&rest[..form.prefix.len() + length]),
        };
        let fits = form.length.contains(&length) && proved;
        fits.then(|| Hit { at: at..at + form.prefix.len() + length, what: form.what })
    })
}

/// Do the last six characters hold the CRC-32 of those before them, in base 62?
fn checksum(token: &[u8]) -> bool {
    token.split_last_chunk::<6>().is_some_and(|(random, check)| crate::auth::checksum(random) == *check)
}

fn is_jwt(token: &[u8]) -> bool {
    let mut parts = token.splitn(3, |byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let json = |part: &[u8]| {
        let bytes = base64url(part)?;
        serde_json::from_slice::<serde_json::Value>(&bytes).ok().filter(serde_json::Value::is_object)
    };
    json(header).is_some_and(|header| header.get("alg").is_some_and(serde_json::Value::is_string))
        && json(payload).is_some()
        && signature.len() >= 20
}

/// Base64 with `-` and `_`, without padding: RFC 4648, section 5.
fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

/// A PEM block of a private key with a body; the first line alone is what a program looks for, or a manual shows.
fn private_key(text: &[u8], at: usize) -> Option<Hit> {
    const LABEL: usize = 48;
    const LEAST: usize = 64;
    let rest = &text[at..];
    let line = &rest[..rest.len().min(LABEL)];
    let end = line
        .windows(16)
        .position(|part| part == b"PRIVATE KEY-----")
        .or_else(|| line.windows(22).position(|part| part == b"PRIVATE KEY BLOCK-----"))?;
    let (label, body) = (&line[b"-----BEGIN ".len()..end], &rest[end..]);
    let body = &body[body.iter().position(|byte| *byte == b'\n' || *byte == b'\\')?..];
    // Newlines may be written out, as in a JSON file or an environment variable.
    let key = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n\\ \t".contains(byte);
    let length = body.iter().take_while(|byte| key(byte)).count();
    let solid = body[..length].iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    let random = body[..length].split(|byte| !byte.is_ascii_alphanumeric()).any(|word| word.len() >= 24);
    let what = match label {
        b"ENCRYPTED " => "an encrypted private key",
        b"PGP " => "a PGP private key",
        _ => "a private key",
    };
    (solid >= LEAST && random).then(|| Hit { at: at..at + end + length.min(4096), what })
}

/// `scheme://user:password@host` with a password that is no placeholder and cannot be guessed. `from` is behind `://`.
fn password(text: &[u8], from: usize) -> Option<Hit> {
    const LONGEST: usize = 300;
    let tail = &text[from..text.len().min(from + LONGEST)];
    let end = tail.iter().position(|byte| byte.is_ascii_whitespace() || b"/?#\"'`<>\\,;()".contains(byte));
    let authority = &tail[..end.unwrap_or(tail.len())];
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority[..at].iter().position(|byte| *byte == b':')?;
    let word = &authority[colon + 1..at];
    let literal =
        !word.iter().any(|byte| b"${}%*".contains(byte)) || word.windows(2).any(|two| two[0] == b'%');
    (literal && entropy::is_strong(word))
        .then(|| Hit { at: from + colon + 1..from + at, what: "a password in a URL" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(length: usize) -> String {
        (0..length).map(|_| fastrand::alphanumeric()).collect()
    }

    fn kinds(text: &str) -> Vec<&'static str> {
        let mut hits = Vec::new();
        assert!(find(text.as_bytes(), &mut hits));
        hits.iter().map(|hit| hit.what).collect()
    }

    #[test]
    fn a_checksum_is_that_of_github() {
        // Revoked long ago, and published as an example of the form.
        assert!(checksum(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"));
        assert!(!checksum(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18"));
        assert!(!checksum(b"") && !checksum(b"000000000000000000000000000000000000"));
    }

    #[test]
    fn what_is_issued_is_found_and_what_only_looks_like_it_is_not() {
        for (text, what) in [
            (format!("key = sk-ant-api03-{}", random(60)), "an Anthropic API key"),
            (format!("\"sk-proj-{}\"", random(50)), "an OpenAI API key"),
            (format!("OPENAI=sk-{}", random(48)), "an API key"),
            (format!("rk_live_{}", random(24)), "a Stripe live key"),
            (format!("x AKIA{} y", "Q3EGRIXOMPA5ZBKT"), "an AWS access key id"),
            (format!("-----BEGIN {}PRIVATE KEY-----\n{}\n{}\n", "RSA ", random(64), random(64)), "a private key"),
            (format!("{{\"k\": \"-----BEGIN {}KEY-----\\n{}\\n{}\"}}", "PRIVATE ", random(64), random(9)), "a private key"),
            (format!("postgres://app:{}@db/orders", random(24)), "a password in a URL"),
            (
                "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U".into(),
                "a JSON Web Token",
            ),
        ] {
            assert_eq!(kinds(&text), [what], "{text}");
        }
        for text in [
            format!("ghp_{}0", random(35)), // a checksum that is right by chance comes once in 2^32
            "AKIAIOSFODNN7EXAMPLE".into(),
            "sk-your-key-here-sk-your-key-here-and-more".into(),
            "risk-abcdefghijklmnopqrstuvwxyz0123456789abcdef".into(),
            format!("-----BEGIN {}-----", "PRIVATE KEY"),
            format!(
                "if line == '-----BEGIN {}-----': parse the key and then go on with the rest of it",
                "PRIVATE KEY"
            ),
            format!("-----BEGIN CERTIFICATE-----\n{}\n{}", random(64), random(64)),
            "postgres://app:${PASSWORD}@db/orders postgres://app:app@db/x https://a.example/x@y:z".into(),
            "eyJub3QiOiJhIHRva2VuIn0.eyJzdWIiOiIxMjM0NTY3ODkwIn0.short".into(),
            "sk_live_ AIza hf_ SG. xoxb-".into(),
        ] {
            assert_eq!(kinds(&text), Vec::<&str>::new(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), form in 0..FORMS.len()) {
            let mut text = FORMS[form].prefix.as_bytes().to_vec();
            text.extend(&bytes);
            let _ = find(&text, &mut Vec::new());
            let _ = find(&[b"-----BEGIN PRIVATE KEY-----".as_slice(), &bytes].concat(), &mut Vec::new());
            let _ = find(&[b"a://".as_slice(), &bytes].concat(), &mut Vec::new());
            let _ = find(&[b"my_secret = ".as_slice(), &bytes].concat(), &mut Vec::new());
        }
    }
}
