//! Attestations asked for: for which items, by whom, for how long, with what to show; and how those that there are stand.
use super::{
    attest::Options,
    item::{fingerprint, is_attested, sha256},
    service::{Checklists, is_here, release_name},
};
use crate::{
    config::{ItemSettings, Settings, read_options},
    domain::{
        Act, Attestation, Caller, EvidenceFile, Fault, FaultKind, Period, Standing, moment, nearest, one_line,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What is shown with an attestation; its content travels in one request.
pub const LARGEST_EVIDENCE: usize = 640 << 10;
const LONGEST_NAME: usize = 200;
const LONGEST_NOTE: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestRequest {
    /// An id of the checklist, whatever its case.
    pub item: String,
    pub by: String,
    pub note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Shown>,
    /// Either this or `expires_in`, or neither: as the item says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Period>,
    /// For this one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The environment that the caller believes this to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// A file as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Without its directory.
    pub name: String,
    /// In base64.
    pub content: String,
}

/// An attestation and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationEntry {
    #[serde(flatten)]
    pub attestation: Attestation,
    pub standing: Standing,
}

impl Shown {
    pub fn of(name: String, content: &[u8]) -> Self {
        Self { name, content: STANDARD.encode(content) }
    }

    /// Refuses what is larger than any evidence may be.
    pub fn bytes(&self) -> Result<Vec<u8>, Fault> {
        let bytes = STANDARD.decode(&self.content).ok().filter(|bytes| bytes.len() <= LARGEST_EVIDENCE);
        bytes.ok_or_else(|| {
            refused(&format!("its evidence is not base64 of at most {} KiB", LARGEST_EVIDENCE >> 10))
        })
    }
}

impl Checklists {
    /// Keeps a word. Whose it is, is what the kernel says of the caller; `by` is a name beside it.
    pub async fn attest(
        &self,
        request: AttestRequest,
        caller: &Caller,
        act: Act,
    ) -> Result<Attestation, Fault> {
        refuse_agents(caller)?;
        let settings = self.parts.settings.borrow().clone();
        is_here("attest", request.environment.as_deref(), &settings)?;
        let item = item(&settings, &request.item)?;
        let options: Options = read_options(&item.options).map_err(|_| {
            Fault::new(FaultKind::Config, format!("cannot attest {}: it is misconfigured", item.id))
        })?;
        let by = said("--by", &request.by, LONGEST_NAME)?;
        let note = said("--note", &request.note, LONGEST_NOTE)?;
        let content = request.evidence.as_ref().map(Shown::bytes).transpose()?;
        if options.evidence && content.is_none() {
            return Err(refused(&format!("{} wants a file that shows it", item.id))
                .hint("name it with --evidence FILE"));
        }
        let evidence = request.evidence.zip(content.as_ref()).map(|(shown, content)| EvidenceFile {
            name: one_line(&shown.name).chars().take(LONGEST_NAME).collect(),
            sha256: sha256(content),
            bytes: content.len() as u64,
        });
        let attested_at = self.parts.clock.now();
        let usual = options.expires.unwrap_or(settings.checklist.valid_for);
        let expires_at = expiry(
            request.expires_at,
            request.expires_in.unwrap_or(usual),
            attested_at,
            settings.checklist.valid_max,
        )?;
        let attestation = Attestation {
            id: 0,
            item: item.id.clone(),
            fingerprint: fingerprint(item),
            environment: settings.environment.clone(),
            release: request.release.map(|name| release_name("attest", name)).transpose()?,
            by,
            principal: caller.principal.clone(),
            uid: caller.identity.uid,
            note,
            evidence,
            attested_at,
            expires_at,
            revoked_at: None,
        };
        let kept = self.parts.store.add_attestation(act, attestation, content).await?;
        tracing::info!(attestation = kept.id, item = kept.item, uid = kept.uid, "attestation kept");
        Ok(kept)
    }

    /// Ends one before its time.
    pub async fn revoke(&self, id: u64, caller: &Caller, act: Act) -> Result<Attestation, Fault> {
        let revoked = self.parts.store.revoke_attestation(act, id).await?;
        let revoked = revoked.ok_or_else(|| missing(id))?;
        tracing::info!(attestation = id, uid = caller.identity.uid, "attestation revoked");
        Ok(revoked)
    }

    /// Those in force, or all that are kept; each held against its item as it reads now.
    pub async fn attestations(&self, all: bool) -> Result<Vec<AttestationEntry>, Fault> {
        let now = self.parts.clock.now();
        let words = self.parts.store.attestations((!all).then_some(now)).await?;
        let settings = self.parts.settings.borrow().clone();
        let entries = words.into_iter().map(|attestation| {
            let print = settings.item(&attestation.item).map(fingerprint);
            let standing = attestation.standing(print.as_deref(), now);
            AttestationEntry { attestation, standing }
        });
        Ok(entries.collect())
    }

    /// The file that was shown with one.
    pub async fn evidence(&self, id: u64) -> Result<Shown, Fault> {
        let (attestation, content) = self.parts.store.attestation(id).await?.ok_or_else(|| missing(id))?;
        match (attestation.evidence, content) {
            (Some(file), Some(content)) => Ok(Shown::of(file.name, &content)),
            _ => {
                Err(Fault::not_found(format!("cannot show evidence of attestation {id}: none came with it")))
            }
        }
    }
}

/// Whatever an agent shows: its process stays an agent's.
fn refuse_agents(caller: &Caller) -> Result<(), Fault> {
    let refusal =
        || Fault::new(FaultKind::Forbidden, "cannot keep an attestation: no agent answers for its fleet");
    if caller.agent.is_some() { Err(refusal()) } else { Ok(()) }
}

/// One that a person may answer for.
fn item<'a>(settings: &'a Settings, id: &str) -> Result<&'a ItemSettings, Fault> {
    let of_people =
        || settings.checklist.items.iter().filter(|item| is_attested(item)).map(|item| item.id.as_str());
    let hint = |near: Option<&str>| match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if of_people().next().is_none() => "the checklist has no item of kind attest".into(),
        None => format!("those are {}", of_people().take(12).collect::<Vec<_>>().join(", ")),
    };
    match settings.item(id) {
        Some(item) if is_attested(item) => Ok(item),
        Some(item) => Err(Fault::new(
            FaultKind::Refused,
            format!(
                "cannot attest {}: it is measured (kind {}), and nobody's word is taken for it",
                item.id, item.kind
            ),
        )
        .hint(format!("`agentctl deploy-check --only {}` measures it; {}", item.id, hint(None)))),
        None => Err(Fault::not_found(format!(
            "cannot find an item called `{}`",
            one_line(id).chars().take(80).collect::<String>()
        ))
        .hint(hint(nearest(id, of_people())))),
    }
}

fn expiry(
    at: Option<Timestamp>,
    within: Period,
    now: Timestamp,
    longest: Period,
) -> Result<Timestamp, Fault> {
    let after = |period: Period| {
        let period = SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
        now.checked_add(period).unwrap_or(Timestamp::MAX)
    };
    let hint = format!("--expires takes a date like 2027-01-31 or a time like 7d, at most {longest} ahead");
    let asked = at.unwrap_or_else(|| after(within));
    if asked <= now {
        return Err(refused("it would have expired already").hint(hint));
    }
    if asked > after(longest) {
        return Err(refused(&format!("{} is too far ahead", moment(asked))).hint(hint));
    }
    Ok(asked)
}

/// Text that somebody wrote on purpose, on one line.
fn said(flag: &str, text: &str, longest: usize) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(refused(&format!("{flag} is blank, and somebody must answer for it")));
    }
    if text.chars().count() > longest {
        return Err(refused(&format!("{flag} is longer than {longest} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(refused(&format!("{flag} has control characters in it")));
    }
    Ok(text.to_owned())
}

fn refused(why: &str) -> Fault {
    Fault::usage(format!("cannot keep an attestation: {why}"))
}

fn missing(id: u64) -> Fault {
    Fault::not_found(format!("cannot find attestation {id}"))
        .hint("`agentctl deploy-check attest list --all` shows them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Identity, Role};
    use serde_json::json;

    #[test]
    fn only_what_a_person_answers_for_can_be_attested() {
        let settings: Settings = serde_json::from_value(json!({"checklist": {"item": [
            {"id": "restore-read", "title": "t", "kind": "attest", "group": "database"},
            {"id": "secrets", "title": "t", "kind": "checks", "group": "security", "options": {"ids": ["CF-010"]}},
        ]}}))
        .expect("settings");
        assert_eq!(item(&settings, "Restore-READ").expect("an item").id, "restore-read");
        let measured = item(&settings, "secrets").expect_err("refused");
        assert!(
            measured.kind == FaultKind::Refused && measured.message.contains("is measured"),
            "{measured:?}"
        );
        let unknown = item(&settings, "restore-raed").expect_err("refused");
        assert_eq!(unknown.kind, FaultKind::NotFound);
        assert!(unknown.hint.as_deref().is_some_and(|hint| hint.contains("`restore-read`")), "{unknown:?}");
        assert!(!item(&settings, "\x1b[2J").expect_err("refused").message.contains('\x1b'));
    }

    #[test]
    fn no_agent_answers_for_its_fleet_whatever_role_it_shows() {
        let identity = Identity { uid: 1000, gid: 1000, pid: Some(1) };
        let person = Caller::by_socket(identity, Role::Operator, None);
        assert!(refuse_agents(&person).is_ok());
        let agent = Caller::by_socket(identity, Role::Admin, "orders".parse().ok());
        assert_eq!(refuse_agents(&agent).expect_err("refused").kind, FaultKind::Forbidden);
    }

    #[test]
    fn a_word_expires_and_not_too_late() {
        let now = Timestamp::UNIX_EPOCH;
        let hours = |hours: u64| Period::secs(hours * 3600);
        let at = |hours| Some(now + SignedDuration::from_hours(hours));
        assert_eq!(expiry(None, hours(7), now, hours(9)).ok(), at(7));
        assert_eq!(expiry(at(8), hours(7), now, hours(9)).ok(), at(8));
        for (given, within) in [(at(0), 7), (at(-1), 7), (at(10), 7), (None, 10), (None, 0)] {
            assert!(expiry(given, hours(within), now, hours(9)).is_err(), "{given:?} {within}");
        }
    }

    #[test]
    fn what_is_shown_is_bounded_and_comes_back_as_it_was() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(Shown::of("a".into(), &bytes).bytes().expect("decoded"), bytes);
        assert!(Shown::of("a".into(), &vec![0; LARGEST_EVIDENCE]).bytes().is_ok());
        assert!(Shown::of("a".into(), &vec![0; LARGEST_EVIDENCE + 1]).bytes().is_err());
        assert!(Shown { name: "a".into(), content: "%%".into() }.bytes().is_err());
        for text in ["", "  ", "a\x1b[2J", &"x".repeat(LONGEST_NOTE + 1)] {
            assert!(said("--note", text, LONGEST_NOTE).is_err(), "{text:?}");
        }
    }
}
