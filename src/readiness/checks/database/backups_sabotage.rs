use super::*;
use crate::{
    domain::{BackupEntry, BackupManifest, Content, Digest, Drill, Outcome, Verified},
    readiness::checks::{Saboteur, Tried, tried},
};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;

/// A shelf that keeps one copy as it is made by the store, and what it is to be held against beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fake {
    Sound,
    /// What it hands out lacks a row.
    LosesRow,
    /// It promises what it keeps, and keeps less than there was.
    LosesRowAndKnows,
    /// It finds nothing wrong with anything.
    Blind,
    /// It hands out what it found to be wrong.
    HandsOut,
}

fn lose_a_row(dir: &Path) {
    crate::store::lose_event(&AuditFiles::of(dir).database, 100);
}

fn promised(dir: &Path) -> Option<(Content, Vec<(String, u64)>)> {
    let text = fs::read_to_string(dir.join("manifest.json")).ok()?;
    let (sum, rest) = text.strip_prefix("{\"sha256\": \"")?.split_once('\n')?;
    (sum == hash(rest)).then(|| serde_json::from_str(rest).ok()).flatten()
}

fn hash(text: &str) -> String {
    ring::digest::digest(&ring::digest::SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

impl Fake {
    fn problems(dir: &Path) -> Vec<String> {
        let Some((content, _)) = promised(dir) else { return vec!["its manifest was changed".into()] };
        match inspect_copy(&AuditFiles::of(dir).database) {
            Err(error) => vec![error.message],
            Ok(facts) => content.differences(&facts.content).into_iter().chain(facts.damage).collect(),
        }
    }
}

impl Safekeeping for Fake {
    fn standing(&self) -> BoxFuture<'_, Result<BackupStanding, Fault>> {
        async { Ok(BackupStanding::default()) }.boxed()
    }

    fn make(&self, store: Store, shelf: PathBuf) -> BoxFuture<'_, Result<(PathBuf, Content), Fault>> {
        async move {
            let dir = shelf.join("one");
            fs::create_dir_all(&dir).expect("made");
            let mut content = store.copy_to(dir.clone(), Box::new(|_, _| true)).await?.content;
            if *self == Self::LosesRowAndKnows {
                lose_a_row(&dir);
                content = inspect_copy(&AuditFiles::of(&dir).database)?.content;
            }
            let rest = serde_json::to_string(&(&content, Vec::<(String, u64)>::new())).expect("json");
            fs::write(dir.join("manifest.json"), format!("{{\"sha256\": \"{}\n{rest}", hash(&rest)))
                .expect("written");
            Ok((dir, content))
        }
        .boxed()
    }

    fn verify(&self, shelf: PathBuf) -> BoxFuture<'_, Result<Vec<String>, Fault>> {
        let blind = *self == Self::Blind;
        async move { Ok(if blind { Vec::new() } else { Self::problems(&shelf.join("one")) }) }.boxed()
    }

    fn unpack(&self, shelf: PathBuf, to: PathBuf) -> BoxFuture<'_, Result<(), Fault>> {
        let fake = *self;
        async move {
            let dir = shelf.join("one");
            let problems = Self::problems(&dir);
            if fake != Self::HandsOut && fake != Self::Blind && !problems.is_empty() {
                return Err(Fault::internal(problems.concat()));
            }
            fs::create_dir(&to).expect("made");
            for file in fs::read_dir(&dir).expect("read").flatten() {
                fs::copy(file.path(), to.join(file.file_name())).expect("copied");
            }
            if fake == Self::LosesRow {
                lose_a_row(&to);
            }
            Ok(())
        }
        .boxed()
    }
}

pub const SABOTEUR_OF_RETURNS: Saboteur = Saboteur {
    of: "DB-014",
    at_work: || {
        async fn exercise(ground: &Ground, fake: Fake) -> Found {
            returns(ground, &StoreSettings::default(), Some(Arc::new(fake))).await
        }
        let broken = [
            ("a copy that lost a row on its way back", Fake::LosesRow),
            ("a copy that lost a row and promises no more", Fake::LosesRowAndKnows),
            ("a shelf that finds nothing wrong", Fake::Blind),
            ("a shelf that hands out what is wrong", Fake::HandsOut),
        ];
        tried(exercise, Fake::Sound, broken).boxed()
    },
};

fn standing(hours_old: i64, problems: &[&str], drill: Option<(i64, &[&str])>) -> BackupStanding {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
    let ago = |hours: i64| now - SignedDuration::from_hours(hours);
    let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let id: crate::domain::BackupId = "bk-19710101T000000Z-1".parse().expect("an id");
    let digest = Digest::default();
    let manifest = BackupManifest {
        schema_version: 1,
        id: id.clone(),
        at: ago(hours_old),
        by: "schedule".into(),
        note: String::new(),
        key: String::new(),
        agentd: "1".into(),
        fleet_id: "f".into(),
        content: Content { version: 5, schema: digest, tables: std::collections::BTreeMap::new(), digest },
        trail_whole: true,
        configuration_sound: true,
        files: Vec::new(),
        not_included: Vec::new(),
        encryption: None,
        seal: digest,
    };
    let verified = Verified { at: ago(hours_old), by: "schedule".into(), problems: texts(problems) };
    let newest =
        BackupEntry { id: id.clone(), manifest: Some(manifest), damage: None, verified: Some(verified) };
    let last_drill = drill.map(|(hours, problems)| Drill {
        id: 1,
        backup: id,
        at: ago(hours),
        by: "user:0".into(),
        rpo: Period::secs(60),
        rto: Period::secs(1),
        problems: texts(problems),
    });
    BackupStanding { newest: Some(newest), last_drill }
}

fn judged(standing: &BackupStanding, every: Option<Period>, development: bool) -> Found {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
    let settings = BackupSettings { every, ..BackupSettings::default() };
    judge(standing, &settings, now, development)
}

pub const SABOTEUR_OF_FRESH: Saboteur = Saboteur {
    of: "DB-013",
    at_work: || {
        async {
            let hourly = Some(Period::secs(3600));
            let none = BackupStanding::default();
            Tried {
                sound: vec![judged(&standing(1, &[], Some((24, &[]))), hourly, false)],
                broken: vec![
                    ("a fleet without a backup", judged(&none, hourly, false)),
                    ("a fleet without a schedule", judged(&standing(1, &[], Some((24, &[]))), None, false)),
                    ("an old backup", judged(&standing(27, &[], Some((24, &[]))), hourly, false)),
                    ("a damaged backup", judged(&standing(1, &["torn"], Some((24, &[]))), hourly, false)),
                    ("a backup that was never tried out", judged(&standing(1, &[], None), hourly, false)),
                    ("an old drill", judged(&standing(1, &[], Some((24 * 31, &[]))), hourly, false)),
                    ("a drill that failed", judged(&standing(1, &[], Some((24, &["torn"]))), hourly, false)),
                ],
            }
        }
        .boxed()
    },
};

#[test]
fn in_development_it_is_a_warning_and_elsewhere_a_failure() {
    let none = BackupStanding::default();
    assert_eq!(judged(&none, None, true).outcome, Outcome::Warn);
    assert_eq!(judged(&none, None, false).outcome, Outcome::Fail);
    let unverified = {
        let mut standing = standing(1, &[], Some((24, &[])));
        standing.newest.as_mut().expect("one").verified = None;
        standing
    };
    assert_eq!(judged(&unverified, Some(Period::secs(3600)), false).outcome, Outcome::Fail);
}
