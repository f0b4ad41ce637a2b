//! Whose data is whose: the type that every table of clients' data is read and changed by, tried on scratch rows.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::StoreSettings,
    domain::Clients,
    readiness::{Evidence, Found, Ground, Proof, check::settle},
    store::SightFacts,
};
#[cfg(test)]
use futures_util::FutureExt;

/// What a caller's clients become before the store is asked: themselves, unless a test breaks that.
type Sight = fn(Clients) -> Clients;

pub async fn kept_apart(evidence: &Evidence) -> Found {
    exercise(&evidence.ground, |clients| clients).await
}

async fn exercise(ground: &Ground, sight: Sight) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let settings = StoreSettings { readers_min: 1, readers_max: 1, ..StoreSettings::default() };
        let store = ground.store(&plot, &settings).await?;
        let mut proof = Proof::default();
        for (who, clients, theirs) in callers() {
            let facts = store.prove_client_rows(sight(clients)).await?;
            judge(&mut proof, who, theirs, &facts);
        }
        store.close().await;
        Ok(proof.judge("own rows are there, and those of others are as if they were not"))
    };
    settle(exercise.await)
}

/// Who asks, and which of the rows 1 to 7 are theirs: of ana, Ana, o'hara, 50%_off, %, a piece of SQL, and somebody else.
fn callers() -> Vec<(&'static str, Clients, &'static [i64])> {
    let only = |ids: &[&str]| Clients::Only(ids.iter().map(|id| (*id).to_owned()).collect());
    let many = (0..5000).map(|number| format!("client-{number}")).chain(["x\") OR 1=1 --".to_owned()]);
    vec![
        ("a caller with every client", Clients::All, &[1, 2, 3, 4, 5, 6, 7]),
        ("a caller with one client", only(&["ana"]), &[1]),
        ("a caller with quotes and signs in its clients", only(&["o'hara", "50%_off"]), &[3, 4]),
        ("a caller whose client is called %", only(&["%"]), &[5]),
        ("a caller with 5,001 clients, one of them a piece of SQL", Clients::Only(many.collect()), &[6]),
        ("a caller with clients that have no rows", only(&["bo", "", "ANA"]), &[]),
        ("a caller without clients", Clients::None, &[]),
    ]
}

fn judge(proof: &mut Proof, who: &str, theirs: &[i64], facts: &SightFacts) {
    let looks = [
        ("listed", &facts.listed),
        ("found by key", &facts.found),
        ("changed", &facts.changed),
        ("changed together", &facts.changed_together),
        ("deleted", &facts.deleted),
        ("deleted together", &facts.deleted_together),
        ("added", &facts.added_for),
    ];
    let mut right = true;
    for (did, rows) in looks {
        if rows != theirs {
            right = false;
            proof.holds(false, format!("{who} {did} rows {rows:?}, and {theirs:?} are theirs"));
        }
    }
    if facts.counted != theirs.len() as u64 {
        right = false;
        proof.holds(false, format!("{who} counted {} rows, and {} are theirs", facts.counted, theirs.len()));
    }
    if facts.absent_answered {
        right = false;
        proof.holds(false, format!("{who} was answered about a row that is not there"));
    }
    if right {
        let others = 7 - theirs.len();
        proof.holds(true, format!("{who}: {} rows of their own, {others} of others absent", theirs.len()));
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-012",
    at_work: || {
        let broken: [(&'static str, Sight); 5] = [
            ("a store that forgets who asks", |_| Clients::All),
            ("a store that shows nobody anything", |_| Clients::None),
            ("clients compared without regard to case", |clients| match clients {
                Clients::Only(ids) if ids.contains("ana") => {
                    Clients::Only(["ana".to_owned(), "Ana".to_owned()].into())
                }
                other => other,
            }),
            ("a client taken for a pattern", |clients| match clients {
                Clients::Only(ids) if ids.contains("%") => Clients::All,
                other => other,
            }),
            ("a long list that is cut", |clients| match clients {
                Clients::Only(ids) => Clients::Only(ids.into_iter().take(1000).collect()),
                other => other,
            }),
        ];
        tried(exercise, (|clients| clients) as Sight, broken).boxed()
    },
};
