//! Counts that are exact, states that turn when they must, and bounds that hold.
use super::keep::ErrorBounds;
use crate::{
    domain::{
        Act, Alike, Caller, ErrorFilter, ErrorGroup, ErrorState, FaultCategory, FaultKind, FaultSeverity,
        Fingerprint, Identity, Ignored, Occurrence, PatternBy, Role, SpikeRule, Tally, hour_of,
    },
    store::{StoreErrorKind, scratch::Scratch},
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

const BOUNDS: ErrorBounds = ErrorBounds { samples: 5, groups: 100 };
const RULE: SpikeRule = SpikeRule { minimum: 10, factor: 5.0 };

fn tally(message: &str, at: Timestamp, count: u64) -> Tally {
    let (category, kind) = (FaultCategory::Database, FaultKind::Internal);
    let sample = Occurrence {
        at,
        instance: None,
        client: Some("user:0".into()),
        correlation: None,
        message: message.into(),
        causes: vec!["disk".into()],
        context: String::new(),
    };
    Tally {
        alike: Alike {
            fingerprint: Fingerprint::of(category, kind, "prune", None, message),
            category,
            severity: FaultSeverity::High,
            kind,
            operation: "prune".into(),
            agent: None,
            retryable: false,
        },
        hint: None,
        first_at: at,
        last_at: at,
        count,
        hours: [(hour_of(at), count)].into(),
        samples: [sample].into(),
    }
}

fn act() -> Act {
    let identity = Identity { uid: 0, gid: 0, pid: None };
    Act::new(&Caller::by_socket(identity, Role::Admin, None), "errors/resolve", "")
}

impl Scratch {
    async fn fails(&self, tallies: Vec<Tally>) {
        self.keep_failures(Arc::new(tallies), BOUNDS).await.expect("kept");
    }

    async fn groups(&self) -> Vec<ErrorGroup> {
        let filter = ErrorFilter { all: true, ..ErrorFilter::default() };
        self.error_groups(filter, Timestamp::now(), RULE, 1000).await.expect("read")
    }

    async fn state(&self) -> ErrorState {
        self.groups().await[0].state
    }
}

#[tokio::test]
async fn counts_are_exact_and_samples_are_the_newest() {
    let store = Scratch::new();
    let now = Timestamp::now();
    for number in 0..12 {
        store
            .fails(vec![tally(&format!("cannot write row {number}"), now, 3), tally("cannot read", now, 1)])
            .await;
    }
    let groups = store.reopen().await;
    let all = groups.groups().await;
    assert_eq!(all.iter().map(|group| group.count).collect::<Vec<_>>(), [12, 36]);
    let (group, samples) =
        groups.error_group(all[1].id, now, RULE).await.expect("read").expect("there is one");
    assert_eq!((group.message.as_str(), group.hours.last()), ("cannot write row 11", Some(&36)));
    let said: Vec<_> = samples.iter().map(|sample| sample.message.as_str()).collect();
    assert_eq!(said.len(), 5, "{said:?}");
    assert_eq!((said[0], said[4]), ("cannot write row 11", "cannot write row 7"));
    assert_eq!(samples[0].causes, ["disk"]);
    assert!(groups.error_group(99, now, RULE).await.expect("read").is_none());
}

#[tokio::test]
async fn what_is_resolved_and_comes_back_has_regressed_and_what_was_late_has_not() {
    let store = Scratch::new();
    let before = Timestamp::now() - SignedDuration::from_secs(90);
    store.fails(vec![tally("cannot write", before, 1)]).await;
    let id = store.groups().await[0].id;
    assert!(store.resolve_error(id, "disk replaced".into(), act()).await.expect("written"));
    assert!(!store.resolve_error(99, String::new(), act()).await.expect("written"));
    let again = store.resolve_error(id, String::new(), act()).await.map_err(|error| error.kind);
    assert_eq!(again, Err(StoreErrorKind::Conflict));
    let resolution = store.groups().await[0].resolution.clone().expect("resolved");
    assert!(resolution.took_s >= 89 && resolution.note == "disk replaced" && resolution.by == "user:0");
    // It happened before, and was only written now.
    store.fails(vec![tally("cannot write", before, 1)]).await;
    assert_eq!(store.state().await, ErrorState::Resolved);
    store.fails(vec![tally("cannot write", Timestamp::now(), 1)]).await;
    let group = store.groups().await.remove(0);
    assert_eq!((group.state, group.regressions, group.count), (ErrorState::Regressed, 1, 3));
    assert!(group.opened_at > before && group.is_alarming());
    let alarm = store.error_alarm(Timestamp::now(), RULE).await.expect("read").expect("an alarm");
    assert_eq!((alarm.regressed, alarm.spiking, alarm.worst), (1, 0, id));
    let rows = store.audit_events(0, 9).await.expect("read");
    assert_eq!(rows.iter().map(|row| row.object.as_str()).collect::<Vec<_>>(), ["error/1"], "{rows:?}");
}

#[tokio::test]
async fn what_is_ignored_stays_so_until_its_time_or_number() {
    let store = Scratch::new();
    let now = Timestamp::now();
    store.fails(vec![tally("cannot write", now, 10)]).await;
    let id = store.groups().await[0].id;
    let ignored = |until, more| Ignored { until, until_count: more, note: "known".into() };
    store.ignore_error(id, ignored(None, None), act()).await.expect("written");
    store.fails(vec![tally("cannot write", now, 1_000_000)]).await;
    assert_eq!(store.state().await, ErrorState::Ignored);
    assert!(store.error_alarm(now, RULE).await.expect("read").is_none());
    store.reopen_error(id, act()).await.expect("written");
    let twice = store.reopen_error(id, act()).await.map_err(|error| error.kind);
    assert_eq!((store.state().await, twice), (ErrorState::Open, Err(StoreErrorKind::Conflict)));
    store.ignore_error(id, ignored(None, Some(3)), act()).await.expect("written");
    store.fails(vec![tally("cannot write", now, 2)]).await;
    assert_eq!(store.state().await, ErrorState::Ignored);
    store.fails(vec![tally("cannot write", now, 1)]).await;
    assert_eq!(store.state().await, ErrorState::Open);
    let later = now + SignedDuration::from_secs(60);
    store.ignore_error(id, ignored(Some(later), None), act()).await.expect("written");
    store.fails(vec![tally("cannot write", now, 1)]).await;
    assert_eq!(store.state().await, ErrorState::Ignored);
    store.fails(vec![tally("cannot write", later, 1)]).await;
    let group = store.groups().await.remove(0);
    assert_eq!((group.state, group.ignored), (ErrorState::Open, None));
    store.assign_error(id, Some("ana".into()), act()).await.expect("written");
    assert_eq!(store.groups().await[0].assignee.as_deref(), Some("ana"));
}

#[tokio::test]
async fn different_ones_are_bounded_and_none_goes_uncounted() {
    let store = Scratch::new();
    let now = Timestamp::now();
    let words =
        |n: u32| -> String { (0..8).map(|bit| if n >> bit & 1 == 1 { "yes " } else { "no " }).collect() };
    let many: Vec<_> = (0..250).map(|n| tally(&format!("cannot {}", words(n)), now, 2)).collect();
    store.fails(many.clone()).await;
    store.fails(many).await;
    let groups = store.groups().await;
    assert_eq!(groups.len(), 101, "the groups and the other one");
    assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 1000);
    let other = groups.iter().find(|group| group.alike.fingerprint == Fingerprint::other()).expect("other");
    assert!(other.count == 600 && other.message.contains("counted together"), "{other:?}");
}

#[tokio::test]
async fn a_spike_is_against_its_own_history_and_filters_filter() {
    let store = Scratch::new();
    let now = Timestamp::now();
    let ago = |hours| now - SignedDuration::from_hours(hours);
    store.fails((2..40).map(|hours| tally("cannot write", ago(hours), 4)).collect()).await;
    assert_eq!(store.groups().await[0].spike, None);
    store.fails(vec![tally("cannot write", now, 90), tally("cannot read", now, 90)]).await;
    let groups = store.groups().await;
    let spiking: Vec<_> =
        groups.iter().filter(|group| group.spike.is_some()).map(|g| g.message.as_str()).collect();
    assert_eq!(spiking, ["cannot write"], "what is new has no history to spike against");
    let hours = &groups.iter().find(|group| group.spike.is_some()).expect("one").hours;
    assert!(hours.len() == 24 && hours[23] == 90 && hours[0] == 4, "{hours:?}");
    let count =
        async |filter: ErrorFilter| store.error_groups(filter, now, RULE, 9).await.expect("read").len();
    let any = ErrorFilter::default;
    for (filter, want) in [
        (any(), 2),
        (ErrorFilter { category: Some(FaultCategory::Api), ..any() }, 0),
        (ErrorFilter { category: Some(FaultCategory::Database), ..any() }, 2),
        (ErrorFilter { severity: Some(FaultSeverity::Critical), ..any() }, 0),
        (ErrorFilter { severity: Some(FaultSeverity::Medium), ..any() }, 2),
        (ErrorFilter { operation: Some("prune".into()), ..any() }, 2),
        (ErrorFilter { operation: Some("pru".into()), ..any() }, 0),
        (ErrorFilter { agent: Some("orders".into()), ..any() }, 0),
        (ErrorFilter { state: Some(ErrorState::Resolved), ..any() }, 0),
        (ErrorFilter { since: Some(now + SignedDuration::from_secs(1)), ..any() }, 0),
    ] {
        assert_eq!(count(filter.clone()).await, want, "{filter:?}");
    }
    let patterns = store.error_patterns(PatternBy::Operation, ago(3), now).await.expect("read");
    assert_eq!((patterns.len(), patterns[0].groups), (1, 2));
    assert_eq!((patterns[0].count, patterns[0].before), (188, 16), "{patterns:?}");
    assert!((patterns[0].share - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn what_nobody_sees_any_more_goes_with_its_hours_and_occurrences() {
    let store = Scratch::new();
    let now = Timestamp::now();
    let old = now - SignedDuration::from_hours(72);
    store
        .fails(vec![
            tally("cannot write", old, 3),
            tally("cannot read", old, 3),
            tally("cannot read", now, 1),
        ])
        .await;
    let day = crate::domain::Period::secs(86_400);
    let retention = crate::config::RetentionSettings { errors: day, ..Default::default() };
    assert_eq!(store.prune(retention).await.expect("pruned"), 5, "two occurrences, two hours and a group");
    let groups = store.groups().await;
    assert_eq!(
        groups.iter().map(|g| (g.message.as_str(), g.count)).collect::<Vec<_>>(),
        [("cannot read", 4)]
    );
    let (_, kept) = store.error_group(groups[0].id, now, RULE).await.expect("read").expect("there");
    assert_eq!(kept.len(), 1);
}
