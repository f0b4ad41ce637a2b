//! `attest`: what no machine can check. Only a word that is in force counts, and nobody's word is no pass.
use super::kind::{Around, Look, problem};
use crate::{
    config::OptionProblem,
    domain::{Attestation, Period, Standing, moment, one_line},
    readiness::{Evidence, Found},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

/// A word that lapsed is shown so long, so that nobody wonders where it is.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Asks for somebody's word.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "AttestItemOptions")]
pub struct Options {
    /// How long a word for it holds that says nothing itself; default `valid_for` under [checklist].
    pub expires: Option<Period>,
    /// A word for it must come with a file that shows it.
    pub evidence: bool,
}

pub struct Attest(Options);

impl Look for Attest {
    const NAME: &'static str = "attest";
    const ABOUT: &'static str = "asks for the word of a person, which expires";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if options.expires.is_some_and(|period| period.0.is_zero()) {
            return Err(vec![problem("/expires", "is no time at all", Some("write it like 7d"))]);
        }
        Ok(Self(options))
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let at = evidence.judged_at;
        match evidence.store.attestations(evidence.clock.now().checked_sub(REMEMBERED).ok()).await {
            Ok(all) => self.judge(&all, &evidence.settings.environment, around, at),
            Err(error) => Found::error(error.to_string()),
        }
    }
}

impl Attest {
    /// Of several that are in force, the one that holds longest is told first.
    fn judge(&self, all: &[Attestation], environment: &str, around: &Around, at: Timestamp) -> Found {
        let release = around.release.as_deref();
        let mut mine: Vec<_> = all
            .iter()
            .filter(|word| word.item.eq_ignore_ascii_case(&around.item) && word.environment == environment)
            .map(|word| (word, word.standing(Some(&around.fingerprint), at)))
            .collect();
        mine.sort_by_key(|(word, _)| std::cmp::Reverse((word.expires_at, word.id)));
        let counts = |(word, standing): &&(&Attestation, Standing)| {
            *standing == Standing::InForce
                && word.is_for(&around.item, environment, release)
                && (!self.0.evidence || word.evidence.is_some())
        };
        let lines: Vec<String> =
            mine.iter().map(|(word, standing)| self.line(word, *standing, release)).collect();
        let found = match (mine.iter().find(counts), mine.len()) {
            (Some((word, _)), _) => {
                let (by, until) = (one_line(&word.by), moment(word.expires_at));
                Found::pass(format!("{by} answers for it until {until}"))
            }
            (None, 0) => Found::skipped("nobody answers for it"),
            (None, many) => Found::skipped(format!("nobody answers for it: none of {many} words counts")),
        };
        found.all_seen(lines)
    }

    fn line(&self, word: &Attestation, standing: Standing, release: Option<&str>) -> String {
        let of = match &word.release {
            Some(of) if Some(of.as_str()) != release => format!(", for release {of} alone"),
            Some(of) => format!(", for release {of}"),
            None => String::new(),
        };
        let shown = match &word.evidence {
            Some(file) => {
                format!(", shows {} of {} bytes, sha256 {}", one_line(&file.name), file.bytes, file.sha256)
            }
            None if self.0.evidence => ", shows no file, and must".into(),
            None => String::new(),
        };
        let standing = match standing {
            Standing::Void => "void, for the item reads differently now",
            standing => standing.as_str(),
        };
        format!(
            "attestation {} of {} ({}, uid {}) until {}: {standing}{of}: {}{shown}",
            word.id,
            one_line(&word.by),
            word.principal,
            word.uid,
            moment(word.expires_at),
            one_line(&word.note)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deploy::checklist::fixture::{around, word},
        domain::{EvidenceFile, Outcome},
    };

    fn judged(words: &[Attestation], release: Option<&str>, evidence: bool) -> Found {
        let around = Around { release: release.map(Into::into), ..around("restore-read") };
        let attest = Attest(Options { expires: None, evidence });
        attest.judge(words, "staging", &around, Timestamp::UNIX_EPOCH + SignedDuration::from_mins(30))
    }

    #[test]
    fn a_word_in_force_passes_and_any_other_is_shown_and_counts_for_nothing() {
        let sound = word();
        let shown = EvidenceFile { name: "a\x1b[2J".into(), sha256: "ab".into(), bytes: 3 };
        let with_file = Attestation { evidence: Some(shown), ..word() };
        let of_release = Attestation { release: Some("r1".into()), ..word() };
        let table = [
            (vec![], None, false, "nobody answers for it"),
            (vec![Attestation { fingerprint: "other".into(), ..word() }], None, false, "void"),
            (vec![Attestation { expires_at: Timestamp::UNIX_EPOCH, ..word() }], None, false, "expired"),
            (vec![Attestation { revoked_at: Some(Timestamp::UNIX_EPOCH), ..word() }], None, false, "revoked"),
            (vec![of_release.clone()], None, false, "for release r1 alone"),
            (vec![of_release.clone()], Some("r2"), false, "for release r1 alone"),
            (vec![Attestation { environment: "production".into(), ..word() }], None, false, "nobody"),
            (vec![sound.clone()], None, true, "shows no file"),
        ];
        for (words, release, evidence, told) in table {
            let found = judged(&words, release, evidence);
            assert_eq!(found.outcome, Outcome::Skipped, "{found:?}");
            assert!(format!("{} {:?}", found.summary, found.evidence).contains(told), "{told}: {found:?}");
        }
        for (words, release, evidence) in [
            (vec![sound.clone()], None, false),
            (vec![sound], Some("r9"), false),
            (vec![of_release], Some("r1"), false),
            (vec![with_file], None, true),
        ] {
            let found = judged(&words, release, evidence);
            assert!(found.outcome == Outcome::Pass && found.summary.starts_with("ana answers"), "{found:?}");
            assert!(!found.evidence.concat().contains('\x1b'), "{found:?}");
        }
    }
}
