//! Between releases: switched and switched back, blessed, and gone when nobody needs them.
use super::{
    Before,
    record::directory_of,
    tests::{Bench, ONE, caller},
};
use crate::{
    domain::{Act, FaultKind, ReleaseId, ReleaseState},
    store::act,
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

#[tokio::test]
async fn a_switch_moves_link_and_configuration_together_can_be_repeated_and_undone() {
    let bench = Bench::new().await;
    let file = bench.path("agentd.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("a mode");
    bench.create().await.expect("made");
    let text = |name: &str| format!("schema = 1\nenvironment = \"{name}\"\n");
    fs::write(&file, text("two")).expect("written");
    let two = bench.create().await.expect("made").standing.release.id;
    assert_eq!(bench.releases.current().await.expect("asked"), None);
    let inode = || fs::metadata(&file).expect("there").ino();
    let now = || fs::read_to_string(&file).expect("read");
    let same = inode();
    let first = bench.releases.switch_to(two).await.expect("switched");
    assert_eq!((first.from, inode()), (None, same), "the text was the same, and was written all the same");
    let before = bench.releases.switch_to(ONE).await.expect("switched");
    assert_eq!((before.from, now().as_str()), (Some(two), "schema = 1\n"));
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640);
    assert_eq!(bench.releases.current().await.expect("asked"), Some(ONE));
    assert_eq!(bench.releases.switch_to(ONE).await.expect("repeated"), before);
    // Cut off between the text and the link: what was before is known all the same.
    fs::remove_file(bench.path("releases/current")).expect("removed");
    symlink("r-2", bench.path("releases/current")).expect("linked");
    assert_eq!(bench.releases.switch_to(ONE).await.expect("finished"), before);

    assert!(bench.releases.undo_switch(first).await.is_err(), "another came after it");
    bench.releases.undo_switch(before.clone()).await.expect("undone");
    bench.releases.undo_switch(before).await.expect("undone already");
    assert_eq!((now(), bench.releases.current().await.expect("asked")), (text("two"), Some(two)));
    // What somebody wrote by hand comes back too.
    fs::write(&file, text("by hand")).expect("written");
    let by_hand: Before = bench.releases.switch_to(ONE).await.expect("switched");
    bench.releases.undo_switch(by_hand).await.expect("undone");
    assert_eq!(now(), text("by hand"));
    // Where it cannot be put back nothing moves.
    fs::remove_file(&file).expect("removed");
    let fault = bench.releases.switch_to(ONE).await.expect_err("switched");
    assert_eq!((fault.kind, bench.releases.current().await.expect("asked")), (FaultKind::Refused, Some(two)));
}

#[tokio::test]
async fn only_what_runs_or_is_on_trial_is_blessed() {
    let bench = Bench::new().await;
    let bless = |id| {
        let releases = bench.releases.clone();
        async move { releases.bless(id, "good".into(), &caller(), act()).await }
    };
    bench.create().await.expect("made");
    fs::write(bench.path("code/sub/data"), "not what runs").expect("written");
    let fault = bless(ONE).await.expect_err("blessed");
    assert!(fault.kind == FaultKind::Refused && fault.message.contains("not what runs"), "{fault}");
    fs::write(bench.path("code/sub/data"), "1").expect("written");
    assert_eq!(bless(ONE).await.expect("it runs").standing.state, ReleaseState::Stable);
    assert_eq!(bless(ONE).await.expect_err("twice").kind, FaultKind::Conflict);
    assert_eq!(bless(ReleaseId(9)).await.expect_err("nothing").kind, FaultKind::NotFound);
    let two = bench.next().await;
    bench.releases.switch_to(ONE).await.expect("switched");
    assert_eq!(bless(two).await.expect_err("it has not run").kind, FaultKind::Refused);
    bench.bring(two, ReleaseState::OnTrial).await;
    assert_eq!(bench.releases.previous_stable().await.expect("asked"), None);
    bench.releases.switch_to(two).await.expect("switched");
    assert_eq!(bench.releases.previous_stable().await.expect("asked"), Some(ONE));
    bless(two).await.expect("on trial");
    assert_eq!(bench.releases.get(ONE).await.expect("known").standing.state, ReleaseState::Superseded);
    assert_eq!(bench.releases.previous_stable().await.expect("asked"), Some(ONE));
    assert_eq!(bless(ONE).await.expect_err("it is superseded").kind, FaultKind::Refused);
}

#[tokio::test]
async fn what_is_needed_stays_and_the_oldest_of_the_rest_go() {
    use ReleaseState::{OnTrial, Stable};
    let bench = Bench::new().await;
    bench.create().await.expect("made");
    bench.bring(ONE, Stable).await;
    let two = bench.next().await;
    bench.bring(two, OnTrial).await;
    bench.bring(two, Stable).await;
    bench.releases.switch_to(two).await.expect("switched");
    // `keep` is 2: of the candidates the newest two stay.
    for _ in 0..3 {
        bench.next().await;
    }
    assert_eq!(bench.ids().await, [5, 4, 2, 1]);
    assert_eq!(bench.on_disk().iter().filter(|name| name.starts_with("r-")).count(), 4);
    let delete = |id| {
        let releases = bench.releases.clone();
        async move { releases.delete(ReleaseId(id), Act::of_daemon(0, "test", "releases/delete")).await }
    };
    assert_eq!(delete(2).await.expect_err("it is stable").kind, FaultKind::Refused);
    assert_eq!(delete(9).await.expect_err("there is none").kind, FaultKind::NotFound);
    bench.releases.switch_to(ReleaseId(5)).await.expect("switched");
    assert!(delete(5).await.expect_err("it is current").message.contains("current"));
    delete(1).await.expect("deleted");
    assert!(!directory_of(&bench.path("releases"), ONE).exists());
    assert_eq!(bench.ids().await, [5, 4, 2]);
}

#[tokio::test]
async fn a_switch_waits_for_a_change_that_is_under_way() {
    let bench = Bench::new().await;
    bench.create().await.expect("made");
    let turn = bench.releases.turn("clear up").expect("nobody else's");
    let switch = bench.releases.switch_to(ONE);
    tokio::pin!(switch);
    let early = futures_util::poll!(&mut switch);
    assert!(early.is_pending(), "{early:?}");
    drop(turn);
    switch.await.expect("switched");
}
