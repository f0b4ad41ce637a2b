//! Looks must not come in step: what starts together would be asked together for ever.
use super::stage::{PATIENCE, dependency, millis, server, watch};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried, scratch_ground};
use crate::readiness::{
    Found, Ground, Proof,
    check::settle,
    faults::{FaultServer, Manner},
    proof::poll,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const TARGETS: usize = 12;
const ROUNDS: usize = 5;
const EVERY: Duration = Duration::from_millis(800);
/// First looks are within 20 ms of each other. With a tenth of jitter either way, twelve targets are some 300 ms apart
/// after four more rounds; without, as near as they were, and what a busy machine adds is less than this.
const APART: Duration = Duration::from_millis(120);

pub async fn of_looks(ground: &Ground) -> Found {
    let exercise = async {
        let mut targets = Vec::new();
        for _ in 0..TARGETS {
            targets.push(server(Manner::Healthy).await?);
        }
        let probe = |(number, target)| {
            let mut probe = dependency(&format!("target-{number}"), target, 3, json!({}));
            probe["every"] = json!(millis(EVERY));
            probe
        };
        let fleet = watch(ground, targets.iter().enumerate().map(probe).collect()).await?;
        let found = judge_spread(&targets).await;
        fleet.finish().await;
        Ok(found)
    };
    settle(exercise.await)
}

/// Waits until each was asked `ROUNDS` times, then judges how far apart the looks of a round were.
async fn judge_spread(targets: &[FaultServer]) -> Found {
    let all = || targets.iter().all(|target| target.hits().len() >= ROUNDS).then_some(());
    if poll(PATIENCE, all).await.is_none() {
        return Found::error(format!("not every target was asked {ROUNDS} times within {PATIENCE:?}"));
    }
    let hits: Vec<Vec<Instant>> = targets.iter().map(FaultServer::hits).collect();
    let width = |round: usize| {
        let of_round = || hits.iter().filter_map(|hits| hits.get(round));
        of_round().max().zip(of_round().min()).map_or(Duration::ZERO, |(last, first)| *last - *first)
    };
    // A machine that stalls brings the looks of one round together, but hardly those of two.
    let widest = (ROUNDS - 2..ROUNDS).map(width).max().unwrap_or_default();
    let mut proof = Proof::default();
    proof.holds(
        widest >= APART,
        format!(
            "after {ROUNDS} rounds the looks at {TARGETS} targets are {:.0} ms apart, {} ms are the least",
            widest.as_secs_f64() * 1e3,
            APART.as_millis()
        ),
    );
    proof.judge("looks that began together drift apart").seen(format!(
        "scratch interval {} ms, shortened for the proof; the first looks were {:.0} ms apart",
        EVERY.as_millis(),
        width(0).as_secs_f64() * 1e3
    ))
}

/// Asks all of them at each stroke, as a monitor without jitter would.
#[cfg(test)]
async fn metronome() -> Found {
    use tokio::io::AsyncWriteExt;
    let mut targets = Vec::new();
    for _ in 0..TARGETS {
        targets.push(server(Manner::Healthy).await.expect("a server"));
    }
    let mut stroke = tokio::time::interval(EVERY);
    for _ in 0..ROUNDS {
        stroke.tick().await;
        for target in &targets {
            let mut link = tokio::net::TcpStream::connect(target.address).await.expect("a link");
            link.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.expect("asked");
        }
    }
    judge_spread(&targets).await
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "HM-013",
    at_work: || {
        async {
            let (_base, ground) = scratch_ground();
            let sound = vec![of_looks(&ground).await];
            Tried { sound, broken: vec![("looks that come in step", metronome().await)] }
        }
        .boxed()
    },
};
