//! What is taken for a secret, and what only looks like one.
use super::*;

#[test]
fn nothing_issued_is_too_short_to_be_searched() {
    for (prefix, at_least) in PREFIXES.iter().filter(|(prefix, _)| !prefix.starts_with('-')) {
        assert!(prefix.len() + at_least >= SHORTEST_ISSUED, "{prefix}");
    }
    assert!(value_is_secret("-----BEGINKEY"));
}

#[test]
fn every_name_holds_a_root() {
    for name in NAMES.iter().chain(ENDINGS) {
        assert!(ROOTS.iter().any(|root| name.contains(root)), "{name}");
    }
}

#[test]
fn names_of_secrets_are_told_from_names_about_them() {
    for name in ["API_KEY", "apiKey", "DB_PASSWORD", "PGPASSWORD", "sentry-dsn", "AUTHTOKEN", "Authorization"]
    {
        assert!(name_is_secret(name), "{name}");
    }
    for name in
        ["KEYBOARD", "MAX_TOKENS", "TOKEN_TTL", "PUBLIC_KEY", "SECRET_FILE", "MONKEY", "PATH", "", "ORDER_ID"]
    {
        assert!(!name_is_secret(name), "{name}");
    }
}

#[test]
fn values_of_secrets_are_told_from_plain_ones() {
    for value in [
        "sk-proj-4f8a9c2e1b7d6a5f",
        "sk_live_51HxYzAbc",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "xoxb-1234-5678-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "postgres://app:hunter2@db/orders",
        "https://hook?x=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0",
        "postgres://db/orders?sslmode=require&password=hunter2",
        "-----BEGIN PRIVATE KEY-----",
    ] {
        assert!(value_is_secret(value), "{value}");
    }
    for value in [
        "task-queue-for-the-orders",
        "sk-",
        "postgres://app@db/orders",
        "http://127.0.0.1:8000/orders?x=a@b",
        "http://127.0.0.1:8000/orders?key_type=rsa&token=&keys=17",
        "AKIA",
        "env:API_KEY",
        "risk-management-and-more-words",
    ] {
        assert!(!value_is_secret(value), "{value}");
    }
}

#[test]
fn a_masked_line_keeps_its_length_and_loses_the_secret() {
    let cases = [
        (r#"API_KEY = "hunter2""#, r#"API_KEY = "*******""#),
        (r#"env = { A = "x", DB_PASSWORD = "hunter2" }"#, r#"env = { A = "x", DB_PASSWORD = "*******" }"#),
        (r"environment.API_KEY = 'hunter2' # why", r"environment.API_KEY = '*******' # why"),
        (r#"API_KEY = "hunter2"#, r#"API_KEY = "*******"#),
        ("API_KEY = hunter2", "API_KEY = *******"),
        (r#"url = "postgres://a:hunter2@db/x""#, r#"url = "postgres://a:*******@db/x""#),
        (
            r#"url = "postgres://a:hunter2@db/x?password=hunter3&a=b""#,
            r#"url = "postgres://a:*******@db/x?password=*******&a=b""#,
        ),
        (r#"API_KEY = "env:API_KEY""#, r#"API_KEY = "env:API_KEY""#),
        (r#"KEYS = ["hunter2", "b"], a = "c""#, r#"KEYS = ["*******", "*"], a = "c""#),
        (r#"a = ["--api-key=hunter2", "x"]"#, r#"a = ["--api-key=*******", "x"]"#),
        (r#"name = "orders""#, r#"name = "orders""#),
    ];
    for (line, want) in cases {
        assert_eq!(mask_line(line), want);
        assert_eq!(mask_line(line).len(), line.len());
    }
}

proptest::proptest! {
    #[test]
    fn masking_never_panics_and_never_changes_the_length(line in ".{0,80}", key in "[A-Z_]{0,6}KEY") {
        for text in [line.clone(), format!("{key} = \"{line}"), format!("{key}='{line}' ,")] {
            proptest::prop_assert_eq!(mask_line(&text).len(), text.len());
            let _ = mask(&text);
        }
    }
}
