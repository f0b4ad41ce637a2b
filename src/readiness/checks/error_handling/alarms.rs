//! What the fleet's own errors say of it now.
#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{ErrorGroup, ErrorState, FaultSeverity, SpikeRule},
    readiness::{Evidence, Found},
};

/// Groups named before "and N more".
const MOST_NAMED: usize = 5;

pub async fn quiet(evidence: &Evidence) -> Found {
    let errors = &evidence.settings.errors;
    let rule = SpikeRule { minimum: errors.spike_minimum.into(), factor: errors.spike_factor };
    match evidence.store.alarming_errors(evidence.clock.now(), rule).await {
        Ok(alarming) => judge(&alarming),
        Err(error) => Found::error(error.to_string()),
    }
}

fn judge(alarming: &[ErrorGroup]) -> Found {
    let grave = |group: &&ErrorGroup| group.alike.severity == FaultSeverity::Critical;
    let count = alarming.iter().filter(grave).count();
    let found = match (alarming.len(), count) {
        (0, _) => return Found::pass("no error group spikes or has come back"),
        (all, 0) => Found::warn(format!("{all} error groups spike or have come back, none of them critical")),
        (_, critical) => Found::fail(format!("{critical} critical error groups spike or have come back")),
    };
    let found = found.all_seen(alarming.iter().take(MOST_NAMED).map(sentence));
    let found = match alarming.len().saturating_sub(MOST_NAMED) {
        0 => found,
        more => found.seen(format!("and {more} more")),
    };
    // Void when it fails in another way than the one that somebody answered for.
    alarming.iter().fold(found, |found, group| {
        found.about(format!("error/{}", group.alike.fingerprint), group.state.as_str())
    })
}

fn sentence(group: &ErrorGroup) -> String {
    let how = match (&group.spike, group.state) {
        (_, ErrorState::Regressed) => "came back after it was resolved".to_owned(),
        (Some(spike), _) => format!("{} in an hour where {:.0} are usual", spike.count, spike.usual),
        (None, state) => state.to_string(),
    };
    format!("error {} ({}): {how}: {}", group.id, group.alike.severity, group.message)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "EH-026",
    at_work: || {
        use crate::{domain::hour_of, readiness::checks::tried, store::ErrorBounds};
        use futures_util::FutureExt;
        use jiff::SignedDuration;
        use std::sync::Arc;

        type Fleet = Option<(FaultSeverity, bool)>;
        async fn exercise(ground: &crate::readiness::Ground, fleet: Fleet) -> Found {
            let plot = ground.plot().expect("a plot");
            let store = ground.store(&plot, &crate::config::StoreSettings::default()).await.expect("a store");
            let now = ground.clock().now();
            if let Some((severity, spikes)) = fleet {
                let mut tally = super::counting::tally("cannot write", now, 40);
                tally.alike.severity = severity;
                let mut tallies = vec![tally.clone()];
                let earlier = (2..12).map(|hours| {
                    let at = now - SignedDuration::from_hours(hours);
                    let count = if spikes { 2 } else { 39 };
                    crate::domain::Tally {
                        first_at: at,
                        last_at: at,
                        count,
                        hours: [(hour_of(at), count)].into(),
                        ..tally.clone()
                    }
                });
                tallies.extend(earlier);
                let bounds = ErrorBounds { samples: 5, groups: 100 };
                store.keep_failures(Arc::new(tallies), bounds).await.expect("kept");
            }
            let rule = SpikeRule { minimum: 10, factor: 5.0 };
            let found = judge(&store.alarming_errors(now, rule).await.expect("read"));
            store.close().await;
            found
        }
        async fn sound(ground: &crate::readiness::Ground, fleet: Fleet) -> Found {
            exercise(ground, fleet).await
        }
        tried(
            sound,
            Some((FaultSeverity::Critical, false)),
            [
                ("a critical error that spikes", Some((FaultSeverity::Critical, true))),
                ("an error that spikes", Some((FaultSeverity::Medium, true))),
            ],
        )
        .boxed()
    },
};
