//! The chain of the trail: tampering with a scratch one is found; the live one is whole, its key private, its anchors
//! fresh.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{Paths, StoreSettings},
    domain::{Act, AuditBreak, AuditOutcome, AuditVerdict, Fault},
    readiness::{Evidence, Found, Ground, Proof, check::settle, proof::blocking},
    store::{AuditFiles, Store, StoreError, Tampering, tamper, verify_audit_files},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{fs, io, os::unix::fs::MetadataExt, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// Enough for an anchor before the last.
const ROWS: usize = 120;
/// How long the anchor of a hundred rows may take.
const ANCHORED: Duration = Duration::from_secs(2);
/// Within which the first row that is not anchored has to be, and a little for the clock.
const FRESH_S: i64 = 65;
const MOST_UNANCHORED: u64 = 100;

/// How files are verified; a test spoils it.
type Verifying = fn(&AuditFiles) -> Result<AuditVerdict, StoreError>;

pub async fn tampering_is_found(ground: &Ground) -> Found {
    tampered(ground, verify_audit_files).await
}

async fn tampered(ground: &Ground, verifying: Verifying) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let store = ground.store(&plot, &small()).await?;
        write(&store).await?;
        store.close().await;
        let home = plot.path().to_owned();
        blocking(move || {
            let mut proof = Proof::default();
            let sound = verifying(&copy(&home, "sound")?).map_err(Fault::from)?;
            proof.holds(sound.whole, said("a scratch trail of 120 rows", &sound, None));
            for how in Tampering::ALL {
                let files = copy(&home, how.as_str())?;
                let first = tamper(&files, *how).map_err(Fault::from)?;
                let seen = verifying(&files).map_err(Fault::from)?;
                let found = seen.breaks.first().map(|found| found.seq);
                proof.holds(!seen.whole && found == Some(first), said(how.as_str(), &seen, Some(first)));
            }
            Ok(proof.judge("seven ways to tamper with a trail were found, each at its row"))
        })
        .await
    };
    settle(exercise.await)
}

pub async fn live_is_whole(store: &Store) -> Found {
    let verdict = match store.verify_audit().await {
        Ok(verdict) => verdict,
        Err(error) => return Fault::from(error).into(),
    };
    let mut proof = Proof::default();
    proof.holds(verdict.whole, said("the trail", &verdict, None));
    // This very run is in it.
    proof.holds(verdict.rows > 0, format!("{} rows are in it", verdict.rows));
    let anchored = verdict.anchored_to.map_or("none yet".into(), |to| format!("up to row {to}"));
    proof
        .judge("the audit trail is as it was written")
        .seen(format!("anchored: {anchored}; {} rows since are held by the key alone", verdict.unanchored))
}

pub async fn key_and_anchors(evidence: &Evidence) -> Found {
    kept(&evidence.store, &evidence.paths.database).await
}

async fn kept(store: &Store, database: &Path) -> Found {
    let (key, anchors) = (Paths::audit_key_beside(database), Paths::audit_anchors_beside(database));
    let exercise = async {
        let mut proof = Proof::default();
        let own = rustix::process::geteuid().as_raw();
        for (what, path, forbidden) in [("key", &key, 0o177), ("file of anchors", &anchors, 0o022)] {
            match fs::symlink_metadata(path) {
                Ok(about) => {
                    let mode = about.mode() & 0o7777;
                    proof.holds(
                        about.is_file() && about.uid() == own && mode & forbidden == 0,
                        format!("the {what} is of uid {} and has mode {mode:04o}", about.uid()),
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    proof.holds(false, format!("the {what}, {}, is not there", path.display()));
                }
                Err(error) => return Err(Fault::internal(format!("cannot look at the {what}: {error}"))),
            }
        }
        let (newest, anchored) = lag(store).await?;
        let behind = newest.saturating_sub(anchored);
        proof.holds(
            behind <= MOST_UNANCHORED,
            format!("{behind} rows are not anchored, at most {MOST_UNANCHORED} may be"),
        );
        let oldest = store.audit_page(anchored, 1).await?.entries.into_iter().next();
        if let Some(oldest) = oldest {
            let age = store.now().duration_since(oldest.event.at).as_secs();
            proof.holds(age <= FRESH_S, format!("the first of them is {age} s old, 60 may it be"));
        }
        Ok(proof.judge("the key of the trail is private, and its newest rows are anchored in time"))
    };
    settle(exercise.await)
}

/// The newest row and the newest anchored, given a moment to catch up.
async fn lag(store: &Store) -> Result<(u64, u64), Fault> {
    let deadline = Instant::now() + ANCHORED;
    loop {
        let (newest, anchored) = store.audit_heads().await?;
        if newest.saturating_sub(anchored) <= MOST_UNANCHORED || Instant::now() >= deadline {
            return Ok((newest, anchored));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn small() -> StoreSettings {
    StoreSettings { readers_min: 1, readers_max: 1, ..StoreSettings::default() }
}

async fn write(store: &Store) -> Result<(), Fault> {
    let own = rustix::process::geteuid().as_raw();
    let rows = (0..ROWS).map(|number| {
        let act = Act::of_daemon(own, "scratch", "scratch/act").on(format!("row/{number}"));
        store.record_act(act, AuditOutcome::Done, String::new())
    });
    futures_util::future::try_join_all(rows).await?;
    Ok(())
}

/// A copy of its own in the plot.
fn copy(home: &Path, name: &str) -> Result<AuditFiles, Fault> {
    let dir = home.join(name.replace(' ', "-"));
    let files = AuditFiles::of(&dir);
    let copied = fs::create_dir(&dir)
        .and_then(|()| fs::copy(home.join("scratch.db"), &files.database))
        .and_then(|_| fs::copy(Paths::audit_key_beside(&home.join("scratch.db")), &files.key))
        .and_then(|_| fs::copy(Paths::audit_anchors_beside(&home.join("scratch.db")), &files.anchors));
    copied.map_err(|error| Fault::internal(format!("cannot copy a scratch trail: {error}")))?;
    Ok(files)
}

fn said(what: &str, verdict: &AuditVerdict, first: Option<u64>) -> String {
    let due = first.map_or(String::new(), |first| format!(" (row {first})"));
    match verdict.breaks.first() {
        None => format!("{what}{due}: {} rows verify, up to row {}", verdict.rows, verdict.last.unwrap_or(0)),
        Some(AuditBreak { seq, kind, what: why }) => {
            format!("{what}{due}: {} at row {seq}: {why}", kind.as_str())
        }
    }
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "AU-022",
        at_work: || {
            use crate::domain::BreakKind;
            fn without(files: &AuditFiles, kinds: &[BreakKind]) -> Result<AuditVerdict, StoreError> {
                let mut verdict = verify_audit_files(files)?;
                verdict.breaks.retain(|found| !kinds.contains(&found.kind));
                verdict.whole = verdict.breaks.is_empty();
                Ok(verdict)
            }
            let broken: [(&'static str, Verifying); 5] = [
                ("a verifier that believes what the end of the table says", |files| {
                    without(files, &[BreakKind::Truncated])
                }),
                ("a verifier that does not look at hashes", |files| {
                    without(files, &[BreakKind::Edited, BreakKind::Recomputed, BreakKind::Reordered])
                }),
                ("a verifier that does not hold rows against anchors", |files| {
                    let mut verdict = verify_audit_files(files)?;
                    verdict.breaks.retain(|found| !found.what.contains("anchored"));
                    verdict.whole = verdict.breaks.is_empty();
                    Ok(verdict)
                }),
                ("a verifier that finds something wrong with every row", |files| {
                    let verdict = verify_audit_files(files)?;
                    Ok(AuditVerdict { whole: false, ..verdict })
                }),
                ("a verifier that does not say where", |files| {
                    let mut verdict = verify_audit_files(files)?;
                    verdict.breaks.iter_mut().for_each(|found| found.seq = 0);
                    Ok(verdict)
                }),
            ];
            let sound: Verifying = verify_audit_files;
            tried(tampered, sound, broken).boxed()
        },
    },
    Saboteur {
        of: "AU-023",
        at_work: || {
            async fn exercise(ground: &Ground, how: Option<Tampering>) -> Found {
                let plot = ground.plot().expect("a plot");
                let store = ground.store(&plot, &small()).await.expect("a store");
                write(&store).await.expect("written");
                store.close().await;
                let files =
                    AuditFiles { database: plot.path().join("scratch.db"), ..AuditFiles::of(plot.path()) };
                if let Some(how) = how {
                    tamper(&files, how).expect("tampered with");
                }
                let store = ground.store(&plot, &small()).await.expect("a store");
                let found = live_is_whole(&store).await;
                store.close().await;
                found
            }
            tried(exercise, None, Tampering::ALL.iter().map(|how| (how.as_str(), Some(*how)))).boxed()
        },
    },
    Saboteur {
        of: "AU-024",
        at_work: || {
            use crate::store::{Flaw, open_flawed};
            use std::os::unix::fs::PermissionsExt;
            type Spoil = fn(&AuditFiles);
            async fn exercise(ground: &Ground, (spoil, flaw): (Spoil, Option<Flaw>)) -> Found {
                let plot = ground.plot().expect("a plot");
                let files = AuditFiles::of(plot.path());
                let backups = plot.path().join("backups");
                let store = match flaw {
                    Some(flaw) => open_flawed(&files.database, &backups, &small(), ground.clock(), flaw),
                    None => Store::open(&files.database, &backups, &small(), ground.clock()),
                };
                let store = store.expect("opens");
                write(&store).await.expect("written");
                spoil(&files);
                let found = kept(&store, &files.database).await;
                store.close().await;
                found
            }
            let widen: Spoil = |files| {
                fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).expect("widened");
            };
            let lose: Spoil = |files| fs::remove_file(&files.anchors).expect("removed");
            let keyless: Spoil = |files| fs::remove_file(&files.key).expect("removed");
            let nothing: Spoil = |_| {};
            let broken = [
                ("a key that a group may read", (widen, None)),
                ("anchors that are gone", (lose, None)),
                ("a key that is gone", (keyless, None)),
                ("a store that does not anchor", (nothing, Some(Flaw::NoAnchors))),
            ];
            tried(exercise, (nothing, None), broken).boxed()
        },
    },
];
