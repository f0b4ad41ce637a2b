//! Is the daemon's own file whole, and would damage be seen?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::StoreSettings,
    domain::Fault,
    readiness::{Found, Ground, Proof, check::settle, proof::blocking},
    store::{Damage, IntegrityFacts, Store, StoreErrorKind, damage},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::fs;

/// Rows in a scratch file, so that it has pages to damage.
const ROWS: usize = 200;

pub async fn whole(ground: &Ground, store: &Store) -> Found {
    let exercise = async {
        let facts = store.integrity().await?;
        let bytes = store.stats().file_bytes;
        let mut proof = Proof::default();
        judge(&mut proof, &facts, bytes);
        for (how, what) in [
            (Damage::Pages, "noise in its pages"),
            (Damage::Index, "an index that its table does not match"),
            (Damage::Dangling, "a row that refers to nothing"),
        ] {
            let said = damaged(ground, how).await?;
            proof.holds(
                said.is_some(),
                match said {
                    Some(said) => format!("counter-proof, a scratch file with {what}: {said}"),
                    None => format!("a scratch file with {what} was taken for whole"),
                },
            );
        }
        Ok(proof.judge(format!("{bytes} bytes without damage or a reference to nothing; damage is seen")))
    };
    settle(exercise.await)
}

fn judge(proof: &mut Proof, facts: &IntegrityFacts, bytes: u64) {
    let read = if facts.full { "integrity_check" } else { "quick_check, it is too large for more" };
    match facts.damage.as_slice() {
        [] => proof.holds(true, format!("{read}: no damage in {bytes} bytes")),
        [first, ..] => {
            proof.holds(false, format!("SQLite complains of {} things: {first}", facts.damage.len()))
        }
    };
    proof.holds(facts.dangling == 0, format!("foreign_key_check: {} rows refer to nothing", facts.dangling));
}

/// What is said of a damaged scratch file; none if nothing is.
async fn damaged(ground: &Ground, how: Damage) -> Result<Option<String>, Fault> {
    let plot = ground.plot()?;
    let settings = StoreSettings { readers_min: 1, readers_max: 1, ..StoreSettings::default() };
    let store = ground.store(&plot, &settings).await?;
    let written = store.time_writes(ROWS, ROWS).await;
    store.close().await;
    written?;
    let file = plot.path().join("scratch.db");
    if fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
        return Err(Fault::internal("cannot damage a scratch file: it is empty"));
    }
    blocking(move || Ok(damage(&file, how)?)).await?;
    let (path, backups, clock) =
        (plot.path().join("scratch.db"), plot.path().join("backups"), ground.clock());
    let opened = blocking(move || Ok(Store::open(&path, &backups, &settings, clock))).await?;
    let unusable = |error: crate::store::StoreError| {
        if error.kind == StoreErrorKind::Unusable { Ok(Some(error.message)) } else { Err(Fault::from(error)) }
    };
    let store = match opened {
        Ok(store) => store,
        Err(error) => return unusable(error),
    };
    let facts = store.integrity().await;
    store.close().await;
    match facts {
        Ok(IntegrityFacts { damage, dangling: 0, .. }) => Ok(damage.into_iter().next()),
        Ok(IntegrityFacts { dangling, .. }) => Ok(Some(format!("{dangling} rows refer to nothing"))),
        Err(error) => unusable(error),
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-005",
    at_work: || {
        /// The store whose file was damaged, if so, before it was opened.
        async fn exercise(ground: &Ground, how: Option<Damage>) -> Found {
            let plot = ground.plot().expect("a plot");
            let open = async || ground.store(&plot, &StoreSettings::default()).await.expect("a store");
            let store = open().await;
            store.time_writes(ROWS, ROWS).await.expect("rows");
            store.close().await;
            if let Some(how) = how {
                damage(&plot.path().join("scratch.db"), how).expect("damaged");
            }
            let store = open().await;
            let found = whole(ground, &store).await;
            store.close().await;
            found
        }
        let broken = [
            ("an index that its table does not match", Some(Damage::Index)),
            ("a row that refers to nothing", Some(Damage::Dangling)),
        ];
        tried(exercise, None, broken).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn damage_is_found_and_said() {
        let found = |damage: &[&str], dangling| {
            let damage = damage.iter().map(ToString::to_string).collect();
            let mut proof = Proof::default();
            judge(&mut proof, &IntegrityFacts { damage, dangling, full: true }, 4096);
            proof.judge("whole")
        };
        assert_eq!(found(&[], 0).outcome, Outcome::Pass);
        assert_eq!(found(&[], 1).outcome, Outcome::Fail);
        let damaged = found(&["row 3 missing", "more"], 0);
        assert_eq!((damaged.outcome, damaged.summary.contains("row 3 missing")), (Outcome::Fail, true));
    }
}
