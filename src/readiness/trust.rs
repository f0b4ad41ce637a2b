//! Which certificates are believed, and what one presented to us is worth on a given day.
use jiff::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// No file of certificates is larger.
const LARGEST: u64 = 4 << 20;

/// Certificates that are believed: those of a file, or the machine's. It blocks.
pub fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let certificates = match ca {
        Some(path) => from_file(path).map_err(|why| format!("cannot read {}: {why}", path.display()))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = store.add_parsable_certificates(certificates);
    match (added, ca) {
        (0, Some(path)) => Err(format!("{} holds no certificate", path.display())),
        (0, None) => Err("this machine has no certificates that it believes: name a `ca`".into()),
        _ => Ok(store),
    }
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let plain = fs::metadata(path).map_err(|error| error.to_string())?;
    // Opening a FIFO would wait for a writer.
    if !plain.is_file() || plain.len() > LARGEST {
        return Err("it is no file of certificates".into());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Judges chains by what is believed here.
pub struct Judge {
    by: Arc<WebPkiServerVerifier>,
}

/// What is wrong with a chain on a day: a word that stays the same, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Objection {
    pub word: &'static str,
    pub told: String,
}

impl Judge {
    pub fn new(roots: RootCertStore) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        built.map(|by| Self { by }).map_err(|error| error.to_string())
    }

    /// One that keeps what it is shown, for a connection over which nothing is sent.
    pub fn witness(&self) -> Arc<Witness> {
        Arc::new(Witness { by: Arc::clone(&self.by), chain: Mutex::default() })
    }

    /// Is this chain good for this name on that day?
    pub fn holds(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        on: Timestamp,
    ) -> Result<(), Objection> {
        let Some((leaf, between)) = chain.split_first() else {
            return Err(Objection { word: "none", told: "it showed no certificate".into() });
        };
        let judged = self.by.verify_server_cert(leaf, between, name, &[], unix(on));
        judged.map(|_| ()).map_err(|error| objection(&error, name))
    }

    /// Until when the certificate holds, if it does today.
    pub fn until(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> Option<Timestamp> {
        let (leaf, between) = chain.split_first()?;
        match self.by.verify_server_cert(leaf, between, name, &[], unix(Timestamp::MAX)) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                stamp(not_after)
            }
            _ => None,
        }
    }
}

fn objection(error: &Error, name: &ServerName<'_>) -> Objection {
    let shown = |time: UnixTime| stamp(time).map_or_else(|| "an unknown day".into(), |at| at.to_string());
    let Error::InvalidCertificate(why) = error else {
        return Objection { word: "invalid", told: error.to_string() };
    };
    let (word, told) = match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            ("expired", format!("the certificate lapses on {}", shown(*not_after)))
        }
        CertificateError::Expired => ("expired", "the certificate has lapsed".into()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            ("early", format!("the certificate is not valid before {}", shown(*not_before)))
        }
        CertificateError::NotValidYet => ("early", "the certificate is not valid yet".into()),
        CertificateError::UnknownIssuer => ("issuer", "its issuer is not believed here".into()),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("name", format!("the certificate is not for {}", name.to_str()))
        }
        other => ("invalid", other.to_string()),
    };
    Objection { word, told }
}

pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)))
}

fn stamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok()
}

/// Believes any chain for the length of a handshake and keeps it, so that it can be judged for more than one day.
/// That who shows it also has its key is proved as ever.
#[derive(Debug)]
pub struct Witness {
    by: Arc<WebPkiServerVerifier>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Witness {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(leaf).chain(between);
        let kept = all.map(|certificate| certificate.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by.supported_verify_schemes()
    }
}
