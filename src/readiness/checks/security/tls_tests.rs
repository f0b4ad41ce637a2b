//! Certificates made by the `openssl` program, shown by a real TLS server on a free port.
use super::*;
use crate::readiness::tls_fixture::{authority, server};
use crate::{
    domain::Outcome,
    readiness::checks::{Saboteur, Tried},
};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-009",
    at_work: || {
        async {
            let dir = authority();
            let (port, task) = server(dir.path()).await;
            let now = Timestamp::now();
            let day = SignedDuration::from_hours(24);
            let broken = vec![
                (
                    "a certificate that has lapsed",
                    ask(&dir, "ca", "localhost", port, now + day * 31, Judge::holds).await,
                ),
                (
                    "one that lapses within two weeks",
                    ask(&dir, "ca", "localhost", port, now + day * 20, Judge::holds).await,
                ),
                ("one for another name", ask(&dir, "ca", "127.0.0.1", port, now, Judge::holds).await),
                ("one of a stranger", ask(&dir, "other", "localhost", port, now, Judge::holds).await),
                (
                    "a judgement that takes all",
                    ask(&dir, "ca", "localhost", port, now, |_, _, _, _| Ok(())).await,
                ),
                ("a judgement that looks at no name", {
                    let holds: Holds = |judge, chain, _, on| {
                        let any =
                            if on.as_second() == 1_782_907_200 { "planted.example" } else { "localhost" };
                        judge.holds(chain, &ServerName::try_from(any).expect("a name"), on)
                    };
                    ask(&dir, "ca", "localhost", port, now, holds).await
                }),
            ];
            let sound = vec![ask(&dir, "ca", "localhost", port, now, Judge::holds).await];
            task.abort();
            Tried { sound, broken }
        }
        .boxed()
    },
};

#[tokio::test]
async fn an_endpoint_that_shows_nothing_is_no_pass() {
    let dir = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let found = ask(&dir, "ca", "localhost", port, Timestamp::now(), Judge::holds).await;
    assert_eq!(found.outcome, Outcome::Error, "{found:?}");
    assert!(found.evidence.iter().any(|line| line.contains("cannot connect")), "{found:?}");
}

async fn ask(dir: &TempDir, ca: &str, host: &str, port: u16, on: Timestamp, holds: Holds) -> Found {
    let endpoint = Endpoint {
        host: host.into(),
        port,
        scheme: "https".into(),
        encrypted: true,
        who: "dependency api".into(),
    };
    let store = roots(Some(&dir.path().join(format!("{ca}.pem")))).expect("roots");
    exercise(&[endpoint], 0, store, on, holds).await
}
