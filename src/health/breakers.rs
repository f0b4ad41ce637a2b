//! Breakers between the policies and the store: how they stood is read before the first call, and written at each change.
use crate::{
    domain::{BreakerRecord, BreakerState, BreakerTrip, Fault},
    resilience::{BreakerKept, Phase, Policies, Policy, Tripped},
    store::Store,
};
use tokio_util::sync::CancellationToken;

/// Writes until `closing`, and once more then. One that could not be written is written with the next change.
pub async fn keep_breakers(policies: Policies, store: Store, closing: CancellationToken) {
    let mut changes = policies.changes();
    changes.mark_changed();
    loop {
        let ended = tokio::select! {
            changed = changes.changed() => changed.is_err(),
            () = closing.cancelled() => true,
        };
        for record in policies.all().iter().filter_map(record) {
            let name = record.name.clone();
            if let Err(error) = store.keep_breaker(record).await {
                tracing::warn!(%name, %error, "how a breaker stands was not written down");
            }
        }
        if ended {
            return;
        }
    }
}

/// Reads how they stood, for policies that are applied later.
pub async fn restore_breakers(policies: &Policies, store: &Store) -> Result<(), Fault> {
    for record in store.breakers().await? {
        let phase = if record.state == BreakerState::Closed { Phase::Closed } else { Phase::Open };
        let tripped = record.tripped.map(|trip| Tripped { by: trip.by, reason: trip.reason });
        let BreakerRecord { since, opened_at, why, opened, .. } = record;
        let kept = BreakerKept { phase, since, opened_at, why, tripped, opened };
        policies.remember(record.name, kept);
    }
    Ok(())
}

/// None where it has always been closed.
fn record(policy: &Policy) -> Option<BreakerRecord> {
    let kept = policy.breaker().kept()?;
    Some(BreakerRecord {
        name: policy.name().to_string(),
        // One on trial is open until that went well.
        state: if kept.phase == Phase::Closed { BreakerState::Closed } else { BreakerState::Open },
        since: kept.since,
        opened_at: kept.opened_at,
        why: kept.why,
        tripped: kept.tripped.map(|tripped| BreakerTrip { by: tripped.by, reason: tripped.reason }),
        opened: kept.opened,
    })
}
