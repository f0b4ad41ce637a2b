//! A certificate authority and a server that shows a certificate of it, for tests.
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{fs, path::Path, process::Command, sync::Arc};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

fn openssl(dir: &Path, arguments: &str) {
    let run = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output();
    let output = run.unwrap_or_else(|error| {
        panic!("cannot run openssl ({error}): `.ci/test` installs it, or `apt-get install openssl`")
    });
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `ca.pem`, a certificate `a` of it for localhost that holds 30 days, and a stranger's authority `other.pem`.
pub fn authority() -> TempDir {
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
        "x509 -req -in a.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 30 -extfile a.ext -out a.pem",
    );
    dir
}

/// Serves that certificate until it is dropped.
pub async fn server(dir: &Path) -> (u16, JoinHandle<()>) {
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
