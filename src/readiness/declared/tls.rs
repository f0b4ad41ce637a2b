//! `tls`: the chain must be believed, for this name, on the day judged for and some days after it.
use super::{
    kind::{Look, problem},
    scene::{Scene, found},
};
use crate::{
    config::OptionProblem,
    domain::{Fault, Period},
    health::connect,
    readiness::{
        Found,
        proof::blocking,
        trust::{Judge, Objection, Witness, fingerprint, roots},
    },
};
use jiff::SignedDuration;
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};
use tokio_rustls::TlsConnector;

/// Looks at the certificate that a server shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TlsCheckOptions")]
pub struct Options {
    /// Where it answers: a name or an address.
    host: String,
    /// Default 443.
    #[serde(default = "https")]
    #[schemars(range(min = 1))]
    port: u16,
    /// The name that it must be valid for; default `host`.
    #[serde(default)]
    name: Option<String>,
    /// How long it must still hold: `30d`.
    #[serde(default = "fortnight")]
    expires_after: Period,
    /// A PEM file of the authorities that are believed; default those of this machine.
    #[serde(default)]
    ca: Option<PathBuf>,
}

fn https() -> u16 {
    443
}
fn fortnight() -> Period {
    Period::secs(14 * 86400)
}

pub struct Tls {
    host: String,
    port: u16,
    name: ServerName<'static>,
    expires_after: Period,
    ca: Option<PathBuf>,
}

impl Look for Tls {
    const NAME: &'static str = "tls";
    const ABOUT: &'static str = "looks at a server's certificate: chain, name, and how long it still holds";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let Options { host, port, name, expires_after, ca } = options;
        let (key, wanted) = name.as_ref().map_or(("/host", &host), |name| ("/name", name));
        let bare = wanted.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| problems.push(problem(key, "is neither a host name nor an address", None)));
        if host.is_empty() {
            problems.push(problem("/host", "names nobody", None));
        }
        if port == 0 {
            problems.push(problem("/port", "port 0 cannot be asked", None));
        }
        if ca.as_ref().is_some_and(|path| !path.is_absolute()) {
            problems.push(problem("/ca", "is not absolute, and the daemon may run anywhere", None));
        }
        match name {
            Ok(name) if problems.is_empty() => Ok(Self { host, port, name, expires_after, ca }),
            _ => Err(problems),
        }
    }

    fn resource(&self) -> String {
        format!("tls/{}:{}", self.host, self.port)
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        self.ask(scene).await.unwrap_or_else(|unfinished| unfinished)
    }
}

impl Tls {
    /// Err holds what ended the look early.
    async fn ask(&self, scene: &Scene<'_>) -> Result<Found, Found> {
        let ca = self.ca.clone();
        let judge =
            blocking(move || roots(ca.as_deref()).and_then(Judge::new).map_err(Fault::internal)).await?;
        let witness = judge.witness();
        self.shake_hands(&witness).await?;

        let chain = witness.chain();
        let object = |objection, when: &str| fails(&objection, self.resource(), chain.first(), when);
        let today = scene.judged_at;
        judge.holds(&chain, &self.name, today).map_err(|objection| object(objection, ""))?;
        let ahead = SignedDuration::try_from(self.expires_after.0).unwrap_or(SignedDuration::MAX);
        let then = today.checked_add(ahead).unwrap_or(jiff::Timestamp::MAX);
        let when = format!(", and must hold until {then:.0}");
        judge.holds(&chain, &self.name, then).map_err(|objection| object(objection, &when))?;

        let until = judge.until(&chain, &self.name).map_or("an unknown day".into(), |day| day.to_string());
        let print = chain.first().map(fingerprint).unwrap_or_default();
        Ok(Found::pass(format!("a certificate for {} that holds until {until}", self.name.to_str()))
            .seen(format!("{} certificates in the chain; the first is sha256 {print}…", chain.len())))
    }

    /// As any client would, and sends nothing more.
    async fn shake_hands(&self, witness: &Arc<Witness>) -> Result<(), Found> {
        let stream = connect(&self.host, self.port).await.map_err(|miss| found(Err(miss)))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Found::error(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(witness) as _)
            .with_no_client_auth();
        let shaken = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await;
        // One that asks for a certificate of ours may close at once; what it showed of itself counts all the same.
        match shaken {
            Err(error) if witness.chain().is_empty() => {
                Err(Found::fail(format!("{}:{} does not speak TLS: {error}", self.host, self.port)))
            }
            Err(error) => {
                Err(Found::fail(format!("the handshake with {}:{} failed: {error}", self.host, self.port)))
            }
            Ok(_) => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;

/// What an objection amounts to, about this resource; another certificate there is another matter.
fn fails(objection: &Objection, resource: String, leaf: Option<&CertificateDer<'_>>, when: &str) -> Found {
    let print = leaf.map_or_else(String::new, |leaf| fingerprint(leaf));
    Found::fail(format!("{}{when}", objection.told)).about(resource, format!("{print} {}", objection.word))
}
