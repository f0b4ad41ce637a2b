//! The databases of the applications: does each answer as declared, now?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{DependencySettings, ProbeSettings},
    domain::{Fault, ProbeResult, ProbeRole},
    health::{Target, look},
    readiness::{Found, Ground, Proof, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::net::TcpListener;

/// Kinds of dependencies that are databases.
const KINDS: [&str; 3] = ["postgres", "sqlite", "redis"];
/// One look that fails is repeated: a server may be closing a connection just now.
const LOOKS: u32 = 2;

pub async fn reachable(ground: &Ground, dependencies: &[DependencySettings]) -> Found {
    let databases: Vec<_> = dependencies.iter().filter(|d| KINDS.contains(&d.kind.as_str())).collect();
    if databases.is_empty() {
        return Found::not_applicable("the manifest declares no database of an application");
    }
    let exercise = async {
        let mut proof = Proof::default();
        let seen = join_all(databases.iter().map(|d| asked(ground, d, &d.options))).await;
        let mut down = Vec::new();
        for (database, (result, looks)) in databases.iter().zip(seen) {
            let said = format!(
                "{} ({}): {} after {:.1} ms, look {looks} of {LOOKS}",
                database.name, database.kind, result.detail, result.took_ms
            );
            proof.holds(result.ok, said);
            if !result.ok {
                down.push((format!("dependency/{}", database.name), result.detail));
            }
        }
        for kind in KINDS {
            let Some(like) = databases.iter().find(|database| database.kind == kind) else { continue };
            let (nobody, _) = asked(ground, like, &nowhere(ground, kind)?).await;
            proof
                .holds(!nobody.ok, format!("counter-proof, {kind} where nothing answers: {}", nobody.detail));
        }
        let found = proof.judge(format!("{} databases answer as declared", databases.len()));
        Ok(down.into_iter().fold(found, |found, (name, detail)| found.about(name, detail)))
    };
    settle(exercise.await)
}

/// The last of as many looks as it took, and how many that was.
async fn asked(ground: &Ground, like: &DependencySettings, options: &Value) -> (ProbeResult, u32) {
    let settings = ProbeSettings {
        name: like.name.clone(),
        role: ProbeRole::Readiness,
        kind: like.kind.clone(),
        every: like.every,
        deadline: like.deadline,
        failure_threshold: 1,
        success_threshold: 1,
        options: options.clone(),
    };
    let target = Target::local(&like.name, None);
    let mut looks = 1;
    loop {
        let result = look(&settings, &target, &ground.clock()).await;
        if result.ok || looks == LOOKS {
            return (result, looks);
        }
        looks += 1;
    }
}

/// Options of that kind that lead to no database.
fn nowhere(ground: &Ground, kind: &str) -> Result<Value, Fault> {
    if kind == "sqlite" {
        return Ok(json!({ "path": ground.plot()?.path().join("absent.db") }));
    }
    // A port that was free a moment ago: nobody listens there.
    let port = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Fault::internal(format!("cannot find a free port: {error}")))?
        .port();
    let scheme = if kind == "postgres" { "postgresql" } else { kind };
    Ok(json!({ "url": format!("{scheme}://127.0.0.1:{port}/0") }))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-011",
    at_work: || {
        use crate::store::foreign::tests::{COUNT, NONE, make};
        type Options = fn(&std::path::Path) -> Value;
        async fn exercise(ground: &Ground, options: Options) -> Found {
            let plot = ground.plot().expect("a plot");
            let file = plot.path().join("app.db");
            make(&file);
            let dependency = json!({ "name": "app-db", "kind": "sqlite", "options": options(&file) });
            let dependency = serde_json::from_value(dependency).expect("settings");
            reachable(ground, &[dependency]).await
        }
        let sound: Options = |file| json!({ "path": file, "query": COUNT, "expect": 2 });
        let broken: [(_, Options); 3] = [
            ("a file that is gone", |file| json!({ "path": file.with_extension("gone") })),
            ("an answer without a row", |file| json!({ "path": file, "query": NONE, "expect": 1 })),
            (
                "an answer that is not the one wanted",
                |file| json!({ "path": file, "query": COUNT, "expect": 3 }),
            ),
        ];
        tried(exercise, sound, broken).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, readiness::checks::scratch_ground};

    #[tokio::test]
    async fn each_database_that_is_down_is_named_and_none_is_not_applicable() {
        let (_base, ground) = scratch_ground();
        assert_eq!(reachable(&ground, &[]).await.outcome, Outcome::NotApplicable);
        let dead = |kind: &str| {
            let options = nowhere(&ground, kind).expect("options");
            let dependency = json!({ "name": format!("{kind}-db"), "kind": kind, "options": options });
            serde_json::from_value(dependency).expect("settings")
        };
        let all: Vec<DependencySettings> = KINDS.iter().map(|kind| dead(kind)).collect();
        let found = reachable(&ground, &all).await;
        let named: Vec<_> = found.affected.iter().map(|affected| affected.resource.as_str()).collect();
        assert_eq!(
            (found.outcome, named),
            (Outcome::Fail, vec!["dependency/postgres-db", "dependency/sqlite-db", "dependency/redis-db"]),
        );
    }
}
