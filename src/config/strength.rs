//! How hard a secret is to guess: what is left of it once words, rows and repetitions are taken for one each.

/// Under this a secret can be guessed. OWASP ASVS 5.0 asks 64 bits of what authenticates a session.
pub const MIN_BITS: u32 = 64;

/// Why a secret can be guessed: its length, its characters, what remains once words and rows are taken for one each.
pub(super) fn weakness(value: &str) -> Option<String> {
    let length = value.chars().count();
    let bits = bits(value);
    (bits < f64::from(MIN_BITS)).then(|| {
        format!(
            "{length} characters worth about {bits:.0} bits, and {MIN_BITS} is the least that cannot be guessed"
        )
    })
}

/// Words that a guesser tries first.
const COMMON: &[&str] = &[
    "password",
    "passw0rd",
    "p@ssw0rd",
    "passwort",
    "letmein",
    "welcome",
    "qwertyuiop",
    "qwerty",
    "asdfgh",
    "admin",
    "administrator",
    "postgres",
    "redis",
    "mysql",
    "root",
    "secret",
    "default",
    "dragon",
    "monkey",
    "iloveyou",
    "agent",
    "agentd",
    "master",
    "login",
    "guest",
    "user",
    "pass",
    "token",
    "apikey",
    "dev",
    "prod",
    "staging",
    "local",
    "demo",
    "spring",
    "summer",
    "autumn",
    "winter",
];

/// About how many bits a guesser must search: the characters that surprise, times the bits of the set they come from.
fn bits(value: &str) -> f64 {
    let lower = value.to_lowercase();
    let mut surprising = 0_u32;
    let (mut last, mut rest) = (None::<char>, &*lower);
    while let Some(c) = rest.chars().next() {
        // A word is one choice out of a list, worth about two characters.
        if let Some(word) =
            COMMON.iter().filter(|word| rest.starts_with(**word)).max_by_key(|word| word.len())
        {
            surprising += 2;
            rest = &rest[word.len()..];
            last = None;
            continue;
        }
        let follows = last.is_some_and(|last| {
            c == last || u32::from(c) == u32::from(last) + 1 || u32::from(last) == u32::from(c) + 1
        });
        // In random text some neighbours follow each other by chance: half, so that it is not punished for it.
        surprising += if follows { 1 } else { 2 };
        last = Some(c);
        rest = &rest[c.len_utf8()..];
        if follows && run_length(&lower, lower.len() - rest.len()) >= 3 {
            surprising -= 1;
        }
    }
    let mut distinct: Vec<char> = value.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    // One that repeats few characters is short, however long it is.
    let most = u32::try_from(distinct.len()).unwrap_or(u32::MAX).saturating_mul(5);
    let halves = surprising.min(most.saturating_mul(2)).min(2 * 4096);
    (f64::from(halves) / 2.0 * pool(value).log2()).floor()
}

/// How many characters in a row, up to byte `end`, follow each other (`abc`, `321`, `aaa`).
fn run_length(text: &str, end: usize) -> usize {
    let chars: Vec<u32> = text[..end].chars().rev().take(4).map(u32::from).collect();
    let steps = chars.windows(2).map(|pair| i64::from(pair[0]) - i64::from(pair[1]));
    let mut steps = steps.peekable();
    let Some(first) = steps.peek().copied().filter(|step| step.abs() <= 1) else { return 1 };
    1 + steps.take_while(|step| *step == first).count()
}

/// How many characters there are to choose from.
fn pool(value: &str) -> f64 {
    if value.chars().all(|c| c.is_ascii_digit()) {
        return 10.0;
    }
    let one_case = !value.contains(|c: char| c.is_ascii_uppercase())
        || !value.contains(|c: char| c.is_ascii_lowercase());
    if one_case && value.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return 16.0;
    }
    let has = |class: fn(&char) -> bool| value.chars().any(|c| class(&c));
    let classes = [
        (has(char::is_ascii_lowercase), 26.0),
        (has(char::is_ascii_uppercase), 26.0),
        (has(char::is_ascii_digit), 10.0),
        (has(|c| !c.is_ascii_alphanumeric()), 32.0),
    ];
    classes.iter().filter(|(has, _)| *has).map(|(_, size)| size).sum::<f64>().max(2.0)
}
