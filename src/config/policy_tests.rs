//! What a policy comes to, and which are refused.
use super::*;
use crate::config::{Sources, fake::*};

fn said(text: &str) -> String {
    load_text(text).err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn what_is_written_beats_what_ships_and_default_is_the_base_of_names_of_ones_own() {
    let text = "[policy.default]\nattempts = 7\n[policy.database]\ntimeout = \"2s\"\n[policy.crm]\nqueue = 3\n\
                [[dependency]]\nname = \"crm\"\nkind = \"postgres\"\noptions = { url = \"env:X\" }\n";
    let settings = load_text(text).expect("holds").settings;
    let (default, database, crm) =
        (settings.policy("default", None), settings.policy("database", None), settings.policy("crm", None));
    assert_eq!((default.attempts, default.timeout), (7, Duration::from_secs(30)));
    assert_eq!((database.attempts, database.timeout), (3, Duration::from_secs(2)));
    assert_eq!((crm.attempts, crm.queue), (7, 3));
    assert_eq!(settings.policy_of(&settings.dependencies[0]), "crm");
    let none = Settings::default().policy("default", None);
    assert_eq!((none.attempts, none.failures, none.concurrency), (3, 5, 10));
    assert_eq!((none.open_for, none.retry_budget), (Duration::from_secs(30), 0.2));
    let looked_at = Settings::default().policy("database", Some(Duration::from_secs(1)));
    assert_eq!(looked_at.open_for, Duration::from_millis(900));
}

#[test]
fn nothing_that_ships_contradicts_itself() {
    for name in SHIPPED {
        let said = said(&format!("[policy.{name}]\nqueue = 7\n"));
        assert_eq!(said, "", "{name}");
    }
}

#[test]
fn a_policy_that_contradicts_itself_is_refused_and_its_sound_neighbour_is_not() {
    let sound =
        "[policy.default]\nattempts = 2\ntimeout = \"5s\"\ndeadline = \"20s\"\nbackoff = \"1s..5s\"\n";
    assert_eq!(said(sound), "");
    for (wrong, told) in [
        ("timeout = \"30s\"\ndeadline = \"20s\"", "longer than all of them together"),
        ("backoff = \"5s..1s\"", "is not a backoff"),
        ("backoff = \"20s..30s\"\ntimeout = \"5s\"\ndeadline = \"20s\"", "nothing is ever tried again"),
        ("retry_budget = 0.0", "the retry budget allows one"),
        ("breaker = { failures = 0 }", "never opens"),
        ("attempts = 0", "1"),
        ("jitter = 1.5", "1"),
        ("atempts = 3", "attempts"),
        ("breaker = { open_for = \"0s\" }", "longer than nothing"),
        ("growth = \"geometric\"", "exponential"),
    ] {
        let said = said(&format!("[policy.default]\n{wrong}\n"));
        assert!(said.contains(told), "{wrong}: {said}");
    }
    assert_eq!(said("[policy.default]\nattempts = 1\nretry_budget = 0.0\n"), "");
    assert_eq!(said("[policy.default]\nbreaker = { failures = 0, rate = 0.5 }\n"), "");
}

#[test]
fn a_name_that_leads_nowhere_and_a_policy_of_nobody_are_refused() {
    let check = |more: &str| {
        format!(
            "[[check]]\nid = \"APP-1\"\ntitle = \"t\"\nkind = \"sql\"\ncategory = \"database\"\n\
             options = {{ url = \"env:X\" }}\n{more}\n"
        )
    };
    let dependency =
        "[[dependency]]\nname = \"orders-db\"\nkind = \"postgres\"\noptions = { url = \"env:X\" }\n";
    assert_eq!(said(&check("policy = \"database\"")), "");
    assert_eq!(said(&(check("policy = \"orders-db\"") + dependency)), "");
    assert!(said(&check("policy = \"databse\"")).contains("did you mean `database`?"));
    assert!(said(&check("policy = \"database\"\nretries = 2")).contains("a policy or `retries`"));
    assert!(
        said(&check("policy = \"database\"\nretry_delay = \"2s\"")).contains("a policy or `retry_delay`")
    );
    // What is shown names every default, and still loads to the same.
    let written = "[policy.database]\ngrowth = \"decorrelated\"\nbreaker = { rate = 0.5 }\n".to_owned();
    let loaded = load_text(&(written + &check("policy = \"database\""))).expect("holds");
    let again = load_text(&loaded.view(true)).expect("the view holds");
    assert_eq!(again.settings, loaded.settings);
    assert!(said(&(dependency.to_owned() + "policy = \"orders-db\"\n")).contains("no policy `orders-db`"));
    assert!(said("[policy.crm]\nqueue = 3\n").contains("no dependency and no check has policy `crm`"));
}

#[test]
fn the_variables_of_document_001_set_the_default_policy() {
    let variables =
        [("AGENT_RETRY_ATTEMPTS", "5"), ("AGENT_TIMEOUT_SECONDS", "12"), ("AGENT_MAX_CONCURRENT", "4")];
    let sources = |variables: &[(&str, &str)]| Sources {
        variables: variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..Sources::default()
    };
    let settings = load_text_with("", sources(&variables)).expect("holds").settings;
    let policy = settings.policy("default", None);
    assert_eq!((policy.attempts, policy.timeout, policy.concurrency), (5, Duration::from_secs(12), 4));
    for wrong in
        [("AGENT_RETRY_ATTEMPTS", "many"), ("AGENT_RETRY_ATTEMPTS", "0"), ("AGENT_TIMEOUT_SECONDS", "-3")]
    {
        assert!(load_text_with("", sources(&[wrong])).is_err(), "{wrong:?}");
    }
}
