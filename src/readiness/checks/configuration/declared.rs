//! The operator's own checks: each kind must object to what is not so, or every check of theirs is a blind one.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{CheckSettings, StoreSettings},
    domain::{Category, Fault, FleetSnapshot, Outcome, Period, Severity},
    readiness::{
        Found, Ground, Proof,
        check::settle,
        declared::{self, Scene},
        faults::{FaultServer, Manner},
    },
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{fs, io, net::Ipv4Addr, time::Duration};
use tokio::net::TcpSocket;

/// How a declared check is asked.
pub type Asking = fn(CheckSettings, Ground) -> BoxFuture<'static, Found>;

pub const AS_DECLARED: Asking = |settings, ground| {
    async move {
        let fleet = FleetSnapshot::default();
        let judged_at = ground.clock().now();
        declared::ask(&settings, &Scene::without_agents(&settings.id, judged_at, &fleet)).await
    }
    .boxed()
};

pub async fn object(ground: &Ground, asking: Asking) -> Found {
    settle(exercise(ground, asking).await)
}

async fn exercise(ground: &Ground, asking: Asking) -> Result<Found, Fault> {
    let plot = ground.plot()?;
    let file = plot.path().join("present");
    fs::write(&file, "present").map_err(|error| Fault::internal(format!("cannot write: {error}")))?;
    let store = ground.store(&plot, &StoreSettings { readers_min: 1, ..StoreSettings::default() }).await?;
    let database = plot.path().join("scratch.db");
    let serve = |manner| async move {
        FaultServer::start(manner)
            .await
            .map_err(|error| Fault::internal(format!("cannot start a fault server: {error}")))
    };
    let (well, ill) = (serve(Manner::Healthy).await?, serve(Manner::Failing).await?);
    let open = well.address.port();
    // Held, and nobody listens there: no other program can take it meanwhile.
    let (closed, _held) =
        closed().map_err(|error| Fault::internal(format!("cannot hold a port: {error}")))?;
    let unset = "AGENTCTL_NO_SUCH_VARIABLE";
    let cases = [
        ("http", json!({"url": well.url()}), json!({"url": ill.url()})),
        ("tcp", json!({"port": open}), json!({"port": closed})),
        ("port", json!({"port": open}), json!({"port": open, "listening": false})),
        (
            "sql",
            json!({"path": database, "tables": ["events"]}),
            json!({"path": database, "tables": ["lacking"]}),
        ),
        ("command", json!({"command": ["sh", "-c", "exit 0"]}), json!({"command": ["sh", "-c", "exit 1"]})),
        ("file", json!({"path": file}), json!({"path": plot.path().join("lacking")})),
        ("env", json!({"variable": unset, "absent": true}), json!({"variable": unset})),
    ];
    let mut proof = Proof::default();
    for (kind, so, not_so) in cases {
        let found = asking(check(kind, so), ground.clone()).await;
        let told = format!("{kind} passes what is so: {} {}", found.outcome.as_str(), found.summary);
        proof.holds(found.outcome == Outcome::Pass, told);
        let found = asking(check(kind, not_so), ground.clone()).await;
        let told = format!("{kind} objects to what is not: {} {}", found.outcome.as_str(), found.summary);
        proof.holds(found.outcome == Outcome::Fail, told);
    }
    store.close().await;
    Ok(proof.judge("seven kinds of declared check passed what is so and objected to what is not"))
}

fn closed() -> io::Result<(u16, TcpSocket)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok((socket.local_addr()?.port(), socket))
}

fn check(kind: &str, options: Value) -> CheckSettings {
    CheckSettings {
        id: format!("scratch-{kind}"),
        title: "scratch".into(),
        kind: kind.into(),
        category: Category::Configuration,
        severity: Severity::Blocker,
        weight: 1,
        hint: None,
        why: None,
        retries: 0,
        retry_delay: Period(Duration::ZERO),
        policy: None,
        timeout: Period::secs(5),
        options,
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-018",
    at_work: || {
        async fn all(ground: &Ground, asking: Asking) -> Found {
            object(ground, asking).await
        }
        let blind: Asking = |_, _| async { Found::pass("as wanted") }.boxed();
        let sour: Asking = |_, _| async { Found::fail("not as wanted") }.boxed();
        let shy: Asking = |settings, ground| {
            async move {
                let found = AS_DECLARED(settings, ground).await;
                if found.outcome == Outcome::Fail { Found::error(found.summary) } else { found }
            }
            .boxed()
        };
        let broken = [
            ("a check that never looks", blind),
            ("a check that always objects", sour),
            ("a check that cannot tell wrong from unseen", shy),
        ];
        tried(all, AS_DECLARED, broken).boxed()
    },
};
