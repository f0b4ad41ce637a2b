//! The way back to a backup of the database: what is known of that backup, and, pure, what it comes to.
use super::plan::{Outline, every_step};
use crate::{
    backups::{Backups, DatabaseFate, fates},
    config::Settings,
    deploy::steps,
    domain::{
        BackupEntry, BackupId, BackupManifest, ByteSize, CourseBackup, Fault, Part, Period, WayBackup,
        WayKind, moment,
    },
    store::{Since, Store, needed_to_replace},
};
use jiff::Timestamp;
use std::{fs, path::Path, time::Duration};
use tokio::task::spawn_blocking;

/// How many are named where none was.
const NAMED: usize = 3;

/// Where it is looked at from.
pub struct Looked<'a> {
    pub backups: &'a Backups,
    pub store: &'a Store,
    pub settings: &'a Settings,
    pub database: &'a Path,
    pub now: Timestamp,
}

/// A backup, and what there is now.
#[derive(Clone, Debug)]
pub struct Returned {
    pub manifest: BackupManifest,
    pub verified_at: Option<Timestamp>,
    /// What its last verification found, or how its files differ in length from what they were.
    pub problems: Vec<String>,
    pub is_ours: bool,
    /// The version of the database now.
    pub version: i64,
    pub fates: Vec<(String, DatabaseFate)>,
    pub since: Since,
    pub age: Duration,
    /// In the state directory, and how much may be needed there.
    pub free: u64,
    pub needed: u64,
}

impl Looked<'_> {
    /// Refused where none is named, with the newest that could be.
    pub async fn at(&self, id: Option<BackupId>) -> Result<Returned, Fault> {
        let Some(id) = id else { return Err(self.unnamed().await?) };
        let (BackupEntry { manifest, damage, verified, .. }, _) = self.backups.show(id.clone()).await?;
        let Some(manifest) = manifest else {
            let why = damage.unwrap_or_else(|| "it has no manifest".into());
            return Err(Fault::new(
                crate::domain::FaultKind::Refused,
                format!("cannot return to {id}: {why}"),
            )
            .hint("`agentctl backup list` names the others; nothing was changed"));
        };
        let mut problems = verified.as_ref().map(|verified| verified.problems.clone()).unwrap_or_default();
        problems.extend(self.backups.missing(&manifest).await?);
        let (database, live) = (self.database.to_owned(), self.store.size());
        let room = spawn_blocking(move || free(database.parent().unwrap_or(Path::new("/")))).await;
        let free = room.map_err(|panic| Fault::internal(format!("cannot ask for room: {panic}")))?.map_err(
            |error| Fault::internal(format!("cannot ask for the room in the state directory: {error}")),
        )?;
        let bytes = |wanted: fn(Part) -> bool| -> u64 {
            manifest.files.iter().filter(|file| wanted(file.part)).map(|file| file.bytes).sum()
        };
        let (own, rest) = (bytes(|part| part == Part::Database), bytes(|part| part != Part::Database));
        let (version, _) = self.store.version().await?;
        Ok(Returned {
            verified_at: verified.filter(|seen| seen.problems.is_empty()).map(|seen| seen.at),
            problems,
            is_ours: manifest.fleet_id == self.store.fleet_id(),
            version,
            fates: fates(&self.settings.backups.databases, &manifest),
            since: self.store.since(manifest.at).await?,
            age: self.now.duration_since(manifest.at).try_into().unwrap_or_default(),
            free,
            needed: needed_to_replace(own, live).saturating_add(rest),
            manifest,
        })
    }

    async fn unnamed(&self) -> Result<Fault, Fault> {
        let fleet = self.store.fleet_id();
        let listed = self.backups.list().await?;
        let sound = listed.iter().rev().filter(|entry| entry.is_verified() && entry.is_of(fleet));
        let newest: Vec<String> = sound
            .filter_map(|entry| entry.manifest.as_ref())
            .take(NAMED)
            .map(|manifest| format!("{} of {}", manifest.id, moment(manifest.at)))
            .collect();
        let fault = Fault::usage("cannot put the database back: no backup is named");
        Ok(if newest.is_empty() {
            fault.hint("there is none that was verified: `agentctl backup create` makes one of now")
        } else {
            fault.hint(format!("name one with --backup; the newest verified: {}", newest.join(", ")))
        })
    }
}

impl Returned {
    pub fn course(&self) -> CourseBackup {
        CourseBackup { id: self.manifest.id.clone(), seal: self.manifest.seal, databases: self.restored() }
    }

    pub fn shown(&self) -> WayBackup {
        let BackupManifest { id, at, .. } = &self.manifest;
        WayBackup { id: id.clone(), at: *at, verified_at: self.verified_at, databases: self.restored() }
    }

    pub fn outline(&self) -> Outline {
        let mut outline = Outline {
            steps: every_step(WayKind::Database).to_vec(),
            lost: self.lost(),
            against: self.against(),
            doubts: Vec::new(),
        };
        if self.restored().is_empty() {
            outline.steps.retain(|step| *step != steps::RESTORE_EXTERNAL);
        }
        for (name, fate) in &self.fates {
            if *fate == DatabaseFate::Undeclared {
                outline.doubts.push(format!(
                    "database {name} was dumped into it and is declared no more: its dump stays where it is"
                ));
            }
        }
        outline
    }

    fn lost(&self) -> Vec<String> {
        let at = moment(self.manifest.at);
        let age = Period::secs(self.age.as_secs());
        let Since { events, probe_changes, failures, keys, sessions, waivers } = self.since;
        let counted: Vec<String> =
            [(events, "events"), (probe_changes, "changes of probes"), (failures, "occurrences of failures")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
        let written =
            if counted.is_empty() { String::new() } else { format!(", among it {}", counted.join(", ")) };
        let mut lost =
            vec![format!("what was written since {at}, {age} ago{written}, and the metrics since then")];
        let ended: Vec<String> = [(keys, "keys"), (sessions, "sessions"), (waivers, "waivers")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !ended.is_empty() {
            lost.push(format!("{} made since then are in force no more", ended.join(", ")));
        }
        lost.extend(
            self.restored().iter().map(|name| format!("what database {name} was written since {at}")),
        );
        lost
    }

    fn against(&self) -> Vec<String> {
        let id = &self.manifest.id;
        let mut against = Vec::new();
        if !self.is_ours {
            against.push(format!("{id} is of another fleet"));
        }
        if self.manifest.content.version > self.version {
            let theirs = self.manifest.content.version;
            against.push(format!(
                "{id} is of a newer agentd: its database has version {theirs}, and this one knows {}",
                self.version
            ));
        }
        match self.problems.first() {
            Some(problem) => against.push(format!("{id} is not as it was made: {problem}")),
            None if self.verified_at.is_none() => {
                against.push(format!("{id} was never verified: `agentctl backup verify {id}`"));
            }
            None => {}
        }
        for (name, fate) in &self.fates {
            if let DatabaseFate::Stuck(why) = fate {
                against.push(format!("database {name} cannot be put back: {why}"));
            }
        }
        if self.free < self.needed {
            let (free, needed) = (ByteSize(self.free), ByteSize(self.needed));
            against.push(format!("the state directory has {free} free, and it may take {needed}"));
        }
        against
    }

    fn restored(&self) -> Vec<String> {
        let restored = self.fates.iter().filter(|(_, fate)| *fate == DatabaseFate::Restored);
        restored.map(|(name, _)| name.clone()).collect()
    }
}

fn free(dir: &Path) -> std::io::Result<u64> {
    let seen = rustix::fs::statvfs(&fs::canonicalize(dir)?)?;
    Ok(seen.f_bavail.saturating_mul(seen.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Content, Digest};

    fn sound() -> Returned {
        let at: Timestamp = "2026-11-21T15:22:30Z".parse().expect("a time");
        let content = Content {
            version: 6,
            schema: Digest([0; 32]),
            tables: std::collections::BTreeMap::default(),
            digest: Digest([0; 32]),
        };
        let manifest = BackupManifest {
            key: String::new(),
            schema_version: 1,
            id: BackupId::new(at, 1),
            at,
            by: "schedule".into(),
            note: String::new(),
            agentd: "1".into(),
            fleet_id: "f".into(),
            content,
            trail_whole: true,
            configuration_sound: true,
            files: Vec::new(),
            not_included: Vec::new(),
            encryption: None,
            seal: Digest([1; 32]),
        };
        Returned {
            manifest,
            verified_at: Some(at),
            problems: Vec::new(),
            is_ours: true,
            version: 6,
            fates: vec![("orders".into(), DatabaseFate::Restored)],
            since: Since { events: 12, keys: 2, ..Since::default() },
            age: Duration::from_secs(7260),
            free: 10,
            needed: 10,
        }
    }

    #[test]
    fn it_says_what_is_lost_and_goes_in_this_order() {
        let outline = sound().outline();
        assert_eq!(outline.against, Vec::<String>::new());
        assert_eq!(
            outline.steps,
            ["target", "backup", "off", "quiescent", "restore-external", "restore", "on", "verify", "record"]
        );
        let lost = outline.lost.join("\n");
        for said in ["12 events", "2 keys", "database orders"] {
            assert!(lost.contains(said), "{said}: {lost}");
        }
        let alone = Returned { fates: Vec::new(), ..sound() };
        assert!(!alone.outline().steps.contains(&steps::RESTORE_EXTERNAL));
    }

    #[test]
    fn each_thing_that_stands_in_the_way_is_said_and_nothing_else_is() {
        let stuck = DatabaseFate::Stuck("the backup has no dump of it");
        let mut newer = sound();
        newer.manifest.content.version = 7;
        for (spoilt, said) in [
            (Returned { is_ours: false, ..sound() }, "another fleet"),
            (newer, "newer agentd"),
            (Returned { verified_at: None, ..sound() }, "never verified"),
            (Returned { problems: vec!["agentd.db is missing".into()], ..sound() }, "agentd.db is missing"),
            (Returned { fates: vec![("orders".into(), stuck)], ..sound() }, "orders cannot be put back"),
            (Returned { free: 9, ..sound() }, "9B free"),
        ] {
            let against = spoilt.outline().against;
            assert!(against.len() == 1 && against[0].contains(said), "{said}: {against:?}");
        }
        let undeclared = Returned { fates: vec![("old".into(), DatabaseFate::Undeclared)], ..sound() };
        let outline = undeclared.outline();
        assert_eq!((outline.against.len(), outline.doubts.len()), (0, 1));
    }
}
