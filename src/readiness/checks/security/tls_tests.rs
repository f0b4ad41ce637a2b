//! Certificates made by the `openssl` program, shown by a real TLS server on a free port.
use super::*;
use crate::{
    domain::Outcome,
    readiness::checks::{Saboteur, Tried},
};
use futures_util::FutureExt;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

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
                    ask(&dir, "ca", "localhost", port, now + day * 41, Judge::holds).await,
                ),
                (
                    "one that lapses within two weeks",
                    ask(&dir, "ca", "localhost", port, now + day * 30, Judge::holds).await,
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

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run openssl: {error}"));
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `ca.pem`, a certificate `a` of it for localhost that holds 40 days, and a stranger's authority `other.pem`.
fn authority() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for name in ["ca", "other"] {
        openssl(
            dir.path(),
            &format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 3650 -subj /CN={name}"),
        );
    }
    openssl(dir.path(), &format!("req -new {key} -keyout a.key -out a.csr -subj /CN=a"));
    fs::write(dir.path().join("a.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .expect("a file");
    openssl(
        dir.path(),
        "x509 -req -in a.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 40 -extfile a.ext -out a.pem",
    );
    dir
}

async fn server(dir: &Path) -> (u16, JoinHandle<()>) {
    let chain = CertificateDer::pem_file_iter(dir.join("a.pem")).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(dir.join("a.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read_u8().await;
                }
            });
        }
    });
    (port, task)
}
