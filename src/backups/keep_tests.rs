//! What stays and what goes: the schedule, retention, releases that refer to a backup, fleets that share a shelf.
use super::{tests::Scene, *};
use crate::{
    config::BackupKeep,
    domain::{BackupId, FaultKind, Period, SCHEDULE},
    resilience::Clock,
};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn the_schedule_makes_one_at_once_and_again_in_time_and_retention_keeps_the_newest() {
    let scene = Scene::with(|settings| {
        settings.backups.every = Some(Period::millis(300));
        settings.backups.keep = BackupKeep { hourly: 1, daily: 0, weekly: 0, by_hand: 0 };
    })
    .await;
    let by_hand = scene.made().await;
    let schedule = tokio::spawn(scene.backups.clone().keep_schedule());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..600 {
        seen.extend(scene.backups.list().await.expect("listed").into_iter().map(|entry| entry.id));
        if seen.len() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.backups.close();
    schedule.await.expect("it ended");
    assert!(seen.len() >= 4 && seen.contains(&by_hand.id), "{seen:?}");
    let left = scene.backups.list().await.expect("listed");
    assert!(left.len() <= 2, "{} are left", left.len());
    let newest = left.last().expect("one").manifest.as_ref().expect("one");
    assert_eq!(newest.by, SCHEDULE);
    let trail = scene.store.audit_events(0, 99).await.expect("read");
    let told = |action: &str| trail.iter().filter(|row| row.action == action).count();
    assert!(told("backups/create") >= 3 && told("backups/delete") >= 2, "{trail:?}");
}

#[tokio::test]
async fn one_that_a_release_refers_to_is_not_deleted_and_nothing_goes_when_that_is_not_known() {
    use crate::domain::Fault;
    use futures_util::future::BoxFuture;
    use std::collections::BTreeSet;

    struct Told(std::sync::Mutex<Option<BTreeSet<BackupId>>>);
    impl References for Told {
        fn backups(&self) -> BoxFuture<'_, Result<BTreeSet<BackupId>, Fault>> {
            let told = self.0.lock().expect("whole").clone();
            Box::pin(async move { told.ok_or_else(|| Fault::internal("cannot say")) })
        }
    }
    let scene = Scene::with(|settings| {
        settings.backups.keep = BackupKeep { hourly: 0, daily: 0, weekly: 0, by_hand: 0 };
    })
    .await;
    let (first, second, third) = (scene.made().await, scene.made().await, scene.made().await);
    let told = Arc::new(Told(std::sync::Mutex::new(None)));
    let parts = scene.backups.parts();
    let backups = Backups::new(BackupsParts {
        settings: scene.settings.subscribe(),
        config_file: None,
        paths: parts.paths.clone(),
        store: scene.store.clone(),
        clock: Clock::system(),
        errors: parts.errors.clone(),
        parse: Arc::clone(&parts.parse),
        references: Some(Arc::clone(&told) as _),
    });
    backups.retain().await.expect_err("it went without knowing");
    backups.delete(first.id.clone()).await.expect_err("it went without knowing");
    *told.0.lock().expect("whole") = Some([first.id.clone()].into());
    let fault = backups.delete(first.id.clone()).await.expect_err("deleted");
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(backups.retain().await.expect("retained"), [second.id]);
    *told.0.lock().expect("whole") = Some(BTreeSet::new());
    backups.delete(first.id.clone()).await.expect("nobody needs it");
    let left = backups.list().await.expect("listed");
    assert_eq!(left.iter().map(|entry| &entry.id).collect::<Vec<_>>(), [&third.id]);
    assert_eq!(backups.delete(first.id).await.expect_err("deleted twice").kind, FaultKind::NotFound);
}

#[tokio::test]
async fn backups_of_another_fleet_on_the_same_shelf_are_neither_counted_nor_deleted() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let shared = scene.home.path().join("shared");
    let keep = BackupKeep { hourly: 0, daily: 0, weekly: 0, by_hand: 0 };
    for of in [&scene, &other] {
        of.settings.send_modify(|settings| {
            let settings = Arc::make_mut(settings);
            (settings.backups.dir, settings.backups.keep) = (Some(shared.clone()), keep);
        });
    }
    let (first, foreign, second) = (scene.made().await, other.made().await, scene.made().await);
    assert_eq!(other.backups.standing().await.expect("read").newest.map(|entry| entry.id), Some(foreign.id));
    assert_eq!(scene.backups.retain().await.expect("retained"), [first.id]);
    assert_eq!(scene.backups.list().await.expect("listed").len(), 2);
    assert_eq!(scene.backups.standing().await.expect("read").newest.map(|entry| entry.id), Some(second.id));
}
