//! Certificates made by the `openssl` program, shown by a real TLS server on a free port.
use super::super::scene::refused;
use super::*;
use crate::domain::{FleetSnapshot, Outcome};
use crate::readiness::tls_fixture::{authority, server};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn on(day: Timestamp, options: Value) -> Found {
    let tls = Tls::compile(serde_json::from_value(options.clone()).expect("options"));
    let tls = tls.unwrap_or_else(|problems| panic!("{options}: {problems:?}"));
    let fleet = FleetSnapshot::default();
    tls.look(&Scene { check: "APP-tls", judged_at: day, fleet: &fleet, agents: &[], said: Mutex::default() })
        .await
}

#[tokio::test]
async fn chain_name_and_expiry_are_told_apart_and_a_later_day_is_judged_for() {
    let dir = authority();
    let (port, task) = server(dir.path()).await;
    let with = |key: &str, value: Value| {
        let mut options =
            json!({"host": "127.0.0.1", "port": port, "name": "localhost", "ca": dir.path().join("ca.pem")});
        options[key] = value;
        options
    };
    let sound = || with("port", json!(port));
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    for (days, options, outcome, told) in [
        (0, with("name", json!("shop.example")), Outcome::Fail, "is not for shop.example"),
        (0, with("name", json!("127.0.0.1")), Outcome::Fail, "is not for 127.0.0.1"),
        (0, with("ca", json!(dir.path().join("other.pem"))), Outcome::Fail, "issuer is not believed"),
        (0, with("expires_after", json!("31d")), Outcome::Fail, "and must hold until"),
        (17, sound(), Outcome::Fail, "and must hold until"),
        (31, sound(), Outcome::Fail, "lapses on"),
        (-2, sound(), Outcome::Fail, "is not valid before"),
        (0, with("ca", json!(dir.path().join("none.pem"))), Outcome::Error, "cannot read"),
        (0, with("ca", json!(dir.path().join("a.key"))), Outcome::Error, "no certificate"),
        (0, with("host", json!("no-such-host.invalid")), Outcome::Error, "cannot find the address"),
        (0, sound(), Outcome::Pass, "holds until"),
        (15, sound(), Outcome::Pass, "holds until"),
    ] {
        let found = on(now + day * days, options.clone()).await;
        assert!(found.outcome == outcome && found.summary.contains(told), "{days} {options}: {found:?}");
        if outcome == Outcome::Fail {
            assert_eq!(
                found.affected[0].resource,
                format!("tls/{}:{port}", options["host"].as_str().expect("text"))
            );
        }
    }
    let (name, expiry) = (on(now, with("name", json!("x.example"))).await, on(now + day * 31, sound()).await);
    assert_ne!(
        name.affected[0].fingerprint, expiry.affected[0].fingerprint,
        "one waiver would speak for both"
    );
    task.abort();
    let _ = task.await;
    let found = on(now, sound()).await;
    assert!(found.outcome == Outcome::Fail && found.summary.contains("refused"), "{found:?}");
}

#[tokio::test]
async fn what_does_not_speak_tls_fails_and_one_that_hangs_up_too() {
    let dir = authority();
    for words in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(words).await;
        });
        let options = json!({"host": "127.0.0.1", "port": port, "ca": dir.path().join("ca.pem")});
        let found = on(Timestamp::now(), options).await;
        assert!(found.outcome == Outcome::Fail && found.summary.contains("does not speak TLS"), "{found:?}");
        task.await.expect("served");
    }
}

#[test]
fn what_is_no_name_or_no_place_is_a_problem() {
    assert_eq!(refused("tls", json!({"host": "a b"})), ["/host"]);
    assert_eq!(
        refused("tls", json!({"host": "a", "name": "*.b c", "port": 0, "ca": "ca.pem"})),
        ["/name", "/port", "/ca"]
    );
}
