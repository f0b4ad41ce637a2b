//! Is the file of the version that this program knows, and what becomes of one that is not?
use crate::{
    config::StoreSettings,
    domain::Fault,
    readiness::{Found, Ground, Proof, check::settle, proof::blocking},
    resilience::Clock,
    store::{self, BackupFacts, Store, StoreError, VersionFacts},
};
#[cfg(test)]
use crate::{
    readiness::checks::{Saboteur, tried},
    store::Flaw,
};
#[cfg(test)]
use futures_util::FutureExt;
use std::path::Path;

/// How scratch files are opened; a test spoils it.
pub type Opening = fn(&Path, &StoreSettings, &Clock) -> Result<VersionFacts, StoreError>;

pub const AS_DAEMON: Opening = store::prove_versions;

pub async fn at_head(ground: &Ground, store: &Store, settings: &StoreSettings, opening: Opening) -> Found {
    let exercise = async {
        let live = store.version().await?;
        let plot = ground.plot()?;
        let (home, settings, clock) = (plot.path().to_owned(), settings.clone(), ground.clock());
        let asked = store.clone();
        let (facts, backup) = blocking(move || {
            let facts = opening(&home, &settings, &clock).map_err(Fault::from)?;
            Ok((facts, asked.newest_backup()))
        })
        .await?;
        Ok(judge(live, &facts, backup.as_ref()))
    };
    settle(exercise.await)
}

fn judge(live: (i64, u32), facts: &VersionFacts, backup: Option<&BackupFacts>) -> Found {
    let (version, head) = live;
    let head_is = i64::from(head);
    let mut proof = Proof::default();
    proof.holds(
        version == head_is && facts.head == head,
        format!("the daemon's own file is of version {version}, this program's newest is {head}"),
    );
    proof.holds(
        facts.newer_refused.is_some(),
        match &facts.newer_refused {
            Some(said) => format!("a scratch file of version {} was refused: {said}", head + 1),
            None => format!("a scratch file of version {} was opened", head + 1),
        },
    );
    proof.holds(
        facts.newer_untouched,
        if facts.newer_untouched { "it was not changed by that" } else { "it was changed by that" },
    );
    proof.holds(
        facts.older_became == head_is,
        format!("a scratch file of version {} became version {}", head_is - 1, facts.older_became),
    );
    // One that could not be read has no version to be told by.
    let of_the_older = facts.copies.iter().find(|copy| copy.version == head_is - 1);
    let copied = of_the_older.or_else(|| facts.copies.iter().find(|copy| copy.problem.is_some()));
    proof.holds(
        copied.is_some_and(|copy| copy.problem.is_none()),
        match copied {
            Some(BackupFacts { name, problem: None, .. }) => format!("it was copied first, whole: {name}"),
            Some(BackupFacts { name, problem: Some(problem), .. }) => format!("its copy {name}: {problem}"),
            None => "it was not copied first".into(),
        },
    );
    match backup {
        Some(BackupFacts { name, problem: Some(problem), .. }) => {
            proof.holds(false, format!("the newest backup, {name}, is not sound: {problem}"))
        }
        Some(BackupFacts { name, .. }) => proof.holds(true, format!("the newest backup, {name}, is whole")),
        None => proof.holds(true, "the daemon's own file was never migrated, so there is no backup"),
    };
    proof
        .judge(format!("version {version} is the newest; a newer file is refused, an older one copied first"))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-009",
    at_work: || {
        async fn exercise(ground: &Ground, opening: Opening) -> Found {
            let (_plot, store) = super::opened(ground, &StoreSettings::default(), None);
            let found = at_head(ground, &store, &StoreSettings::default(), opening).await;
            store.close().await;
            found
        }
        let takes_newer: Opening =
            |home, settings, clock| store::prove_flawed(home, settings, clock, Flaw::TakesNewer);
        let no_copy: Opening =
            |home, settings, clock| store::prove_flawed(home, settings, clock, Flaw::NoCopy);
        let broken = [("a newer file that is opened", takes_newer), ("a migration without a copy", no_copy)];
        tried(exercise, AS_DAEMON, broken).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_file_that_is_not_at_head_and_a_backup_that_is_not_sound_are_found() {
        let copy = BackupFacts { name: "agentd-v1-x.db".into(), version: 1, problem: None };
        let sound = VersionFacts {
            head: 2,
            newer_refused: Some("cannot open".into()),
            newer_untouched: true,
            older_became: 2,
            copies: vec![copy.clone()],
        };
        let torn = BackupFacts { problem: Some("malformed".into()), ..copy.clone() };
        let judge = |live, change: fn(&mut VersionFacts), backup| {
            let mut facts = sound.clone();
            change(&mut facts);
            judge(live, &facts, backup).outcome
        };
        assert_eq!(judge((2, 2), |_| {}, None), Outcome::Pass);
        assert_eq!(judge((2, 2), |_| {}, Some(&copy)), Outcome::Pass);
        assert_eq!(judge((2, 2), |_| {}, Some(&torn)), Outcome::Fail);
        for version in [1, 3] {
            assert_eq!(judge((version, 2), |_| {}, None), Outcome::Fail, "{version}");
        }
        assert_eq!(judge((2, 2), |f| f.newer_untouched = false, None), Outcome::Fail);
        assert_eq!(judge((2, 2), |f| f.older_became = 1, None), Outcome::Fail);
        assert_eq!(judge((2, 2), |f| f.copies.clear(), None), Outcome::Fail);

        let unreadable = BackupFacts { version: 0, problem: Some("disk is full".into()), ..copy };
        let found = super::judge((2, 2), &VersionFacts { copies: vec![unreadable], ..sound.clone() }, None);
        assert_eq!(found.summary, "its copy agentd-v1-x.db: disk is full");
    }
}
