//! What every open connection of a store promises to the disk, asked of the connections themselves.
use super::Exercise;
#[cfg(test)]
use crate::{
    config::StoreSettings,
    readiness::checks::Saboteur,
    store::Flaw::{NoForeignKeys, ReadersWrite, SynchronousOff},
};
use crate::{
    readiness::{Found, Proof},
    store::DurabilityFacts,
};
use futures_util::FutureExt;

pub const ASKED: Exercise = |store| {
    async move {
        // So that at least one reader is open.
        store.runs(1).await?;
        Ok(judge(&store.prove_durability_settings().await?))
    }
    .boxed()
};

fn judge(facts: &DurabilityFacts) -> Found {
    if facts.connections.len() < 2 {
        return Found::error("there was no writer and reader to ask");
    }
    let mut proof = Proof::default();
    for (index, c) in facts.connections.iter().enumerate() {
        let writer = index == 0;
        let sound = c.journal_mode.eq_ignore_ascii_case("wal")
            && c.synchronous >= 2
            && c.foreign_keys
            && c.busy_timeout_ms > 0
            && (writer || c.query_only);
        proof.holds(
            sound,
            format!(
                "{}: journal {}, synchronous {} (2 is FULL), foreign keys {}, busy timeout {} ms, {}",
                c.who,
                c.journal_mode,
                c.synchronous,
                if c.foreign_keys { "on" } else { "off" },
                c.busy_timeout_ms,
                if c.query_only { "refuses to write" } else { "may write" }
            ),
        );
    }
    let new_enough = at_least(&facts.sqlite_version, [3, 51, 3]);
    proof.holds(new_enough, format!("SQLite {}, 3.51.3 or newer is needed", facts.sqlite_version));
    proof.judge(format!("all {} open connections are durable and checked", facts.connections.len()))
}

fn at_least(version: &str, wanted: [u32; 3]) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.as_slice() >= &wanted[..])
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-006",
    at_work: || {
        let flaws = [
            ("synchronous OFF", SynchronousOff),
            ("foreign keys OFF", NoForeignKeys),
            ("readers that may write", ReadersWrite),
        ];
        super::on_flawed(StoreSettings::default(), ASKED, flaws).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, store::ConnectionFacts};

    fn sound(who: &str) -> ConnectionFacts {
        ConnectionFacts {
            who: who.into(),
            journal_mode: "wal".into(),
            synchronous: 2,
            foreign_keys: true,
            busy_timeout_ms: 5000,
            query_only: who != "writer",
        }
    }

    #[test]
    fn one_careless_connection_is_found_among_many() {
        let judge = |connections: Vec<ConnectionFacts>, version: &str| {
            super::judge(&DurabilityFacts { sqlite_version: version.into(), connections }).outcome
        };
        let with = |change: fn(&mut ConnectionFacts)| {
            let mut odd = sound("reader 2");
            change(&mut odd);
            vec![sound("writer"), sound("reader 1"), odd]
        };
        assert_eq!(judge(with(|_| {}), "3.51.3"), Outcome::Pass);
        assert_eq!(judge(with(|_| {}), "3.52.0"), Outcome::Pass);
        assert_eq!(judge(with(|_| {}), "3.50.9"), Outcome::Fail);
        assert_eq!(judge(with(|_| {}), "unknown"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.synchronous = 1), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.journal_mode = "delete".into()), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.foreign_keys = false), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.busy_timeout_ms = 0), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.query_only = false), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(vec![], "3.51.3"), Outcome::Error);
    }
}
