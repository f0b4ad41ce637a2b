//! Certificates of declared endpoints: chain, name and expiry, judged for the day that is asked about. A certificate
//! of ours goes first, through the same judgement.
use super::endpoints::{self, Endpoint};
use crate::{
    domain::Fault,
    readiness::{
        Evidence, Found, Proof,
        check::settle,
        proof::blocking,
        trust::{Judge, Objection, fingerprint, roots},
    },
};
use futures_util::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// A certificate that lapses sooner is a warning: renewal is usually tried a month before.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How long one endpoint may take to show its certificate.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 16;
/// A certificate for planted.example that holds in 2026, and the authority that issued it. Their keys are nowhere.
const PLANTED: &[u8] = include_bytes!("planted.pem");

pub async fn holds(evidence: &Evidence) -> Found {
    let (endpoints, lost) = endpoints::of(&evidence.settings).await;
    let secure: Vec<_> = endpoints.into_iter().filter(|endpoint| speaks_tls(&endpoint.scheme)).collect();
    if secure.is_empty() && lost.is_empty() {
        return Found::not_applicable("no declared endpoint speaks TLS by its URL");
    }
    let store = blocking(|| roots(None).map_err(Fault::internal)).await;
    match store {
        Ok(store) => exercise(&secure, lost.len(), store, evidence.judged_at, Judge::holds).await,
        Err(fault) => fault.into(),
    }
}

/// How a chain is judged for a name on a day.
type Holds = fn(&Judge, &[CertificateDer<'_>], &ServerName<'_>, Timestamp) -> Result<(), Objection>;

async fn exercise(
    endpoints: &[Endpoint],
    lost: usize,
    store: RootCertStore,
    on: Timestamp,
    holds: Holds,
) -> Found {
    let exercise = async {
        let judge = Judge::new(store).map_err(Fault::internal)?;
        let proof = plant(&judge, holds)?;
        let looks: Vec<_> =
            endpoints.iter().map(|endpoint| look(endpoint, &judge, on, holds).boxed()).collect();
        let seen: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        Ok(tell(proof, endpoints.iter().zip(seen), lost))
    };
    settle(exercise.await)
}

fn speaks_tls(scheme: &str) -> bool {
    matches!(scheme, "https" | "wss" | "rediss")
}

fn plant(real: &Judge, holds: Holds) -> Result<Proof, Fault> {
    let broken = || Fault::internal("cannot read the planted certificate");
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(PLANTED).collect::<Result<_, _>>().map_err(|_| broken())?;
    let (authority, leaf) = chain.split_last().ok_or_else(broken)?;
    let mut store = RootCertStore::empty();
    store.add(authority.clone()).map_err(|_| broken())?;
    let own = Judge::new(store).map_err(Fault::internal)?;
    let name = |name: &'static str| ServerName::try_from(name).map_err(|_| broken());
    let (right, wrong) = (name("planted.example")?, name("other.example")?);
    let on = |seconds| Timestamp::from_second(seconds).map_err(|_| broken());
    // Noon of 1 July 2026, and of 1 July 2027.
    let (then, late) = (on(1_782_907_200)?, on(1_814_443_200)?);
    let mut proof = Proof::default();
    for (what, judge, name, on, good) in [
        ("a certificate of a believed issuer", &own, &right, then, true),
        ("the same for another name", &own, &wrong, then, false),
        ("the same a year later", &own, &right, late, false),
        ("the same of an issuer that this machine does not believe", real, &right, then, false),
    ] {
        let taken = holds(judge, leaf, name, on).is_ok();
        proof
            .holds(taken == good, format!("planted: {what} was {}", if taken { "taken" } else { "refused" }));
    }
    Ok(proof)
}

/// What an endpoint showed.
enum Shown {
    Good {
        line: String,
        print: String,
    },
    /// It holds, and not for long.
    Soon {
        line: String,
        print: String,
    },
    Bad {
        line: String,
        print: String,
    },
    /// It showed nothing.
    Nothing(String),
}

async fn look(endpoint: &Endpoint, judge: &Judge, on: Timestamp, holds: Holds) -> Shown {
    let bare = endpoint.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let Ok(name) = ServerName::try_from(bare) else { return Shown::Nothing("its name is none".into()) };
    let witness = judge.witness();
    let shaken = timeout(PATIENCE, async {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as _)
            .with_no_client_auth();
        let host = endpoint.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, endpoint.port))
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        let shaken = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
        shaken.map(drop).map_err(|error| format!("cannot shake hands: {error}"))
    });
    let why = match shaken.await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some(format!("no answer within {PATIENCE:?}")),
    };
    let chain = witness.chain();
    if let Some(why) = why {
        return Shown::Nothing(why);
    }
    let print = chain.first().map(fingerprint).unwrap_or_default();
    if let Err(objection) = holds(judge, &chain, &name, on) {
        return Shown::Bad { line: objection.told, print: format!("{print} {}", objection.word) };
    }
    let until = judge.until(&chain, &name).map_or("an unknown day".into(), |day| day.to_string());
    let line = format!("a certificate for {} that holds until {until}", name.to_str());
    match on.checked_add(SOON).map_or(Ok(()), |then| holds(judge, &chain, &name, then)) {
        Ok(()) => Shown::Good { line, print },
        Err(_) => Shown::Soon { line, print: format!("{print} soon") },
    }
}

fn tell<'a>(mut proof: Proof, seen: impl Iterator<Item = (&'a Endpoint, Shown)>, lost: usize) -> Found {
    let blind = proof.broken();
    let (mut about, mut soon, mut silent, mut bad) = (Vec::new(), Vec::new(), lost, false);
    let mut notes = Vec::new();
    let mut count = 0;
    for (endpoint, shown) in seen {
        count += 1;
        let at = format!("{} ({})", endpoint.address(), endpoint.who);
        match shown {
            Shown::Good { line, print } => {
                proof.holds(true, format!("{at}: {line}, sha256 {print}…"));
            }
            Shown::Soon { line, print } => {
                soon.push(format!("{at}: {line}"));
                about.push((endpoint.address(), print));
            }
            Shown::Bad { line, print } => {
                bad = true;
                proof.holds(false, format!("{at}: {line}"));
                about.push((endpoint.address(), print));
            }
            Shown::Nothing(why) => {
                silent += 1;
                notes.push(format!("{at}: {why}"));
            }
        }
    }
    let found = proof.judge(format!("{count} certificates are believed, fit their names and hold"));
    let found = if bad || blind {
        found
    } else if silent > 0 {
        Found {
            evidence: found.evidence,
            ..Found::error(format!("{silent} endpoints showed no certificate, so it was not judged"))
        }
    } else if let Some(first) = soon.first() {
        let summary =
            format!("{} certificates lapse within {} days: {first}", soon.len(), SOON.as_hours() / 24);
        Found { evidence: found.evidence, ..Found::warn(summary) }
    } else {
        found
    };
    let found = found.all_seen(soon).all_seen(notes);
    about.into_iter().fold(found, |found, (at, print)| found.about(format!("tls/{at}"), print))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
#[cfg(test)]
pub use tests::SABOTEUR;
