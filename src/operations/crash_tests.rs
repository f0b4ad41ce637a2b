//! Cut off before and after every entry, and with the disk refusing each: the next engine over the same directory brings
//! the operation to its end, and nothing is done again whose result was written.
use super::{
    Operations, Registry,
    scene::{Fate, Life, Scene, Shared, Way, ana, blueprint, kept},
    seam::{Cut, Moment},
};
use crate::{
    config::ErrorSettings,
    domain::{FaultKind, Operation, OperationId, OperationState as O, StepState as S},
    errors::Errors,
    resilience::Clock,
};
use std::{collections::BTreeMap, fs, process::Command, time::Duration};
use tokio::time::sleep;

const FIRST: OperationId = OperationId(1);
const SWITCH: &str = "op-1/switch";

/// How it is to end whatever cuts it off, and what is present then.
struct Case {
    ways: &'static [(&'static str, Way)],
    cancel: bool,
    end: O,
    present: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { ways: &[], cancel: false, end: O::Succeeded, present: &["drain", "start", "switch"] },
    Case { ways: &[("start", Way::Fails)], cancel: false, end: O::Unwound, present: &[] },
    Case {
        ways: &[("start", Way::Fails), ("drain", Way::UndoFails)],
        cancel: false,
        end: O::Stopped,
        present: &["drain"],
    },
    Case { ways: &[("switch", Way::WaitsForCancel)], cancel: true, end: O::Cancelled, present: &[] },
    Case { ways: &[("switch", Way::WaitsAndGoesOn)], cancel: true, end: O::Cancelled, present: &[] },
];

impl Case {
    fn scene(&self) -> Scene {
        let world = Shared::default();
        world.look().ways.extend(self.ways.iter().copied());
        Scene::new(world)
    }

    /// To its end, called off where this case is, unless the fate of this life comes first.
    fn begin(&self, scene: &Scene, life: &Life) -> Option<Operation> {
        life.block_on(async {
            life.operations.recover().await.expect("read");
            let work = async {
                let id = life.operations.begin(blueprint(), ana()).await.expect("begun");
                self.settle(scene, life, id, 0).await
            };
            tokio::select! {
                biased;
                () = life.fate.notified() => None,
                end = work => Some(end),
            }
        })
    }

    /// What another engine over the same directory makes of it; none where it was never begun.
    fn go_on(&self, scene: &Scene) -> Option<Operation> {
        let called = scene.world.called(SWITCH);
        let life = scene.life(None);
        life.block_on(async {
            let recovered = life.operations.recover().await.expect("read");
            assert_eq!(recovered.damaged, 0);
            if life.operations.list(1).is_empty() {
                return None;
            }
            Some(self.settle(scene, &life, FIRST, called).await)
        })
    }

    async fn settle(&self, scene: &Scene, life: &Life, id: OperationId, called: usize) -> Operation {
        let call_off = async {
            while !self.cancel || scene.world.called(SWITCH) == called {
                sleep(Duration::from_millis(1)).await;
            }
            let _ = life.operations.cancel(id, ana()).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = life.operations.settled(id) => end.expect("it ends"),
            () = call_off => unreachable!("it waits for ever"),
        }
    }

    fn check(&self, scene: &Scene, end: Operation, what: &str) {
        let world = scene.world.look();
        assert_eq!(world.wrong, Vec::<String>::new(), "{what}");
        assert_eq!(end.state, self.end, "{what}: {:?}", end.why);
        assert_eq!(
            world.present.iter().collect::<Vec<_>>(),
            self.present.iter().collect::<Vec<_>>(),
            "{what}"
        );
        let mut counts: BTreeMap<&String, u32> = BTreeMap::new();
        world.calls.iter().for_each(|call| *counts.entry(call).or_default() += 1);
        let again: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(again.len() <= 1 && counts.values().all(|count| *count <= 2), "{what}: {again:?}");
        let read = scene.journal(FIRST);
        assert!(read.damage.is_none() && !read.torn, "{what}: {read:?}");
        assert_eq!(read.operation.map(kept), Some(kept(end)), "{what}");
    }
}

#[test]
fn cut_off_before_or_after_any_entry_it_comes_to_the_same_end_and_nothing_is_done_again() {
    for (number, case) in CASES.iter().enumerate() {
        let mut cuts = 0;
        for entry in 0.. {
            let mut over = false;
            for moment in [Moment::Before, Moment::After] {
                let what = format!("case {number}, {moment:?} entry {entry}");
                let scene = case.scene();
                let life = scene.life(Some(Fate { entry, moment, cut: Cut::Off, always: true }));
                if let Some(end) = case.begin(&scene, &life) {
                    case.check(&scene, end, &what);
                    over = true;
                    continue;
                }
                if moment == Moment::Before && entry > 0 {
                    // What is shown is what is written, at every point.
                    let shown = life.block_on(life.operations.show(FIRST, 0)).expect("shown");
                    assert_eq!(scene.journal(FIRST).operation.map(kept), Some(kept(shown)), "{what}");
                }
                drop(life);
                cuts += 1;
                if let Some(end) = case.go_on(&scene) {
                    case.check(&scene, end, &what);
                } else {
                    assert_eq!((entry, moment), (0, Moment::Before), "it is gone");
                    assert!(scene.world.look().calls.is_empty());
                }
            }
            if over {
                break;
            }
        }
        assert!(cuts >= 14, "case {number} was cut off only {cuts} times");
    }
}

#[test]
fn where_an_entry_cannot_be_written_the_step_does_not_run_and_it_stops() {
    // A wish that is refused is told to who asked, and tried elsewhere.
    for case in CASES.iter().filter(|case| !case.cancel) {
        for entry in 0.. {
            let (once, always) = (refused(case, entry, false), refused(case, entry, true));
            if !once && !always {
                assert!(entry >= 7, "it was refused only {entry} entries");
                break;
            }
        }
    }
}

/// False where there is no such entry.
fn refused(case: &Case, entry: usize, always: bool) -> bool {
    let what = format!("entry {entry}, always {always}");
    let scene = case.scene();
    let life = scene.life(Some(Fate { entry, moment: Moment::Before, cut: Cut::Fail, always }));
    let mut told = None;
    let end = life.block_on(async {
        life.operations.recover().await.expect("read");
        let id = life
            .operations
            .begin(blueprint(), ana())
            .await
            .inspect_err(|fault| told = Some(fault.clone()))
            .ok()?;
        Some(case.settle(&scene, &life, id, 0).await)
    });
    let Some(end) = end else {
        let fault = told.expect("a fault");
        assert!(entry == 0 && fault.kind == FaultKind::Internal && fault.hint.is_some(), "{what}: {fault}");
        assert_eq!(fs::read_dir(&scene.dir).expect("read").count(), 0, "{what}");
        assert!(scene.world.look().calls.is_empty() && life.operations.list(9).is_empty());
        return true;
    };
    let stopped = end.state == O::Stopped
        && end.why.as_ref().is_some_and(|why| why.message.contains("to the journal of op-1"));
    if !stopped {
        assert_eq!(end.state, case.end, "{what}: {:?}", end.why);
        return false;
    }
    let word = end.why.as_ref().map(|why| why.message.clone()).unwrap_or_default();
    let (calls, intents) = {
        let world = scene.world.look();
        assert_eq!(world.wrong, Vec::<String>::new(), "{what}");
        let intents = world.written.iter().filter(|entry| entry.contains("intended")).count();
        (world.calls.len(), intents)
    };
    assert_eq!(calls, intents, "{what}: a step ran whose intent is not written: {word}");
    // Somebody may want to put it right meanwhile.
    life.block_on(async { assert!(life.operations.list(1)[0].state.is_terminal()) });
    if always {
        drop(life);
        let end = case.go_on(&scene).expect("it was begun");
        assert_eq!(end.state, case.end, "{what}");
        assert_eq!(scene.world.look().wrong, Vec::<String>::new(), "{what}");
    } else {
        // That it stopped is written as soon as anything can be.
        let written = async {
            while scene.journal(FIRST).operation.is_none_or(|operation| operation.state != O::Stopped) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        life.block_on(written);
        drop(life);
        assert_eq!(case.go_on(&scene).map(|end| end.state), Some(O::Stopped), "{what}");
        assert_eq!(scene.world.look().calls.len(), calls, "{what}: it went on by itself");
    }
    true
}

#[test]
fn a_line_that_was_cut_off_is_overwritten_and_the_journal_is_whole_again() {
    let case = &CASES[1];
    let scene = case.scene();
    let life = scene.life(None);
    case.begin(&scene, &life).expect("it ends");
    drop(life);
    let whole = fs::read(scene.file(FIRST)).expect("read");
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for end in &ends[..ends.len() - 1] {
        // Short, long, and with the zeros that a file has that grew before it was filled.
        for tail in [&whole[*end..end + 9], &whole[*end..end + 90], &[0; 5000][..]] {
            fs::write(scene.file(FIRST), [&whole[..*end], tail].concat()).expect("written");
            scene.world.look().written.clear();
            let ended = case.go_on(&scene).expect("it is there");
            assert_eq!(ended.state, case.end, "{end}");
            let read = scene.journal(FIRST);
            assert!(read.damage.is_none() && !read.torn, "{read:?}");
        }
    }
}

#[tokio::test]
async fn a_journal_that_was_moved_away_is_missed_at_once() {
    let scene = Scene::new(Shared::default().with("switch", Way::WaitsForCancel));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    scene.world.has_called(SWITCH).await;
    let aside = scene.dir.join("aside");
    fs::rename(scene.file(id), &aside).expect("moved");
    let fault = operations.cancel(id, ana()).await.expect_err("refused");
    assert!(fault.message.contains("cannot write `cancel-asked` to the journal of op-1"), "{fault}");
    assert_eq!(operations.show(id, 0).await.expect("shown").cancel, None, "it was called off all the same");
    fs::rename(&aside, scene.file(id)).expect("moved");
    let whole = fs::read(scene.file(id)).expect("read");
    fs::write(scene.file(id), &whole[..whole.len() - 5]).expect("written");
    assert!(operations.cancel(id, ana()).await.expect_err("refused").message.contains("shorter"));
    fs::write(scene.file(id), &whole).expect("written");
    operations.cancel(id, ana()).await.expect("called off");
    assert_eq!(operations.settled(id).await.expect("it ends").state, O::Cancelled);
}

#[tokio::test]
async fn at_the_end_of_the_daemon_a_step_is_left_and_the_next_start_goes_on_with_it() {
    let scene = Scene::new(Shared::default().with("switch", Way::Hangs));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    scene.world.has_called(SWITCH).await;
    let waiting = tokio::spawn({
        let operations = operations.clone();
        async move { operations.settled(id).await }
    });
    tokio::task::yield_now().await;
    operations.shutdown().await;
    let fault = waiting.await.expect("no panic").expect_err("it did not end");
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert_eq!(operations.begin(blueprint(), ana()).await.expect_err("refused").kind, FaultKind::Unavailable);
    assert_eq!(operations.cancel(id, ana()).await.expect_err("refused").kind, FaultKind::Unavailable);
    scene.world.look().ways.clear();
    let end = scene.engine().await.settled(id).await.expect("it ends");
    assert_eq!((end.state, end.steps[1].attempts, end.steps[0].attempts), (O::Succeeded, 2, 1));
    let events = scene.store.events(0, 99).await.expect("read");
    let resumed = events.iter().find(|event| event.kind == crate::domain::EventKind::OperationResumed);
    assert_eq!(
        resumed.map(|event| event.text.as_str()),
        Some("op-1 rollback: running after a restart of agentd")
    );
}

#[test]
fn what_cannot_be_judged_or_is_not_known_any_more_stops_and_so_does_what_was_believed_over() {
    // It cannot be told whether it happened.
    let case = &CASES[0];
    for entry in [2, 4] {
        let scene = Scene::new(Shared::default().with("switch", Way::Unclear));
        let life = scene.life(Some(Fate { entry, moment: Moment::Before, cut: Cut::Off, always: true }));
        assert!(case.begin(&scene, &life).is_none());
        drop(life);
        let calls = scene.world.look().calls.len();
        let end = case.go_on(&scene).expect("it is there");
        // Entry 4 is the result of `switch`; 2 that of `drain`, which may be repeated.
        assert_eq!(end.state == O::Stopped, entry == 4, "{:?}", end.why);
        if entry == 4 {
            let said = end.why.expect("a reason").message;
            assert!(
                said.contains("cannot tell whether `switch` happened") && said.contains("the bank"),
                "{said}"
            );
            assert_eq!((scene.world.look().calls.len(), end.steps[1].state), (calls, S::Running));
        }
    }
    // Another version of agentd.
    let scene = case.scene();
    let life = scene.life(Some(Fate { entry: 4, moment: Moment::Before, cut: Cut::Off, always: true }));
    assert!(case.begin(&scene, &life).is_none());
    let cut_off = fs::read(scene.file(FIRST)).expect("read");
    drop(life);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let end = runtime.block_on(async {
        let errors = Errors::open(&ErrorSettings::default(), scene.store.clone(), Clock::system());
        let operations = Operations::new(scene.dir.clone(), Registry::default(), Clock::system(), errors);
        operations.recover().await.expect("read");
        operations.settled(FIRST).await.expect("it ends")
    });
    let said = end.why.expect("a reason").message;
    assert_eq!(
        (end.state, said.as_str()),
        (O::Stopped, "cannot go on: this agentd has no step called `switch`")
    );
    // A later one on the same resource was begun while this could not say that it had stopped.
    let life = scene.life(None);
    life.block_on(async {
        life.operations.recover().await.expect("read");
        scene.world.look().written.clear();
        let id = life.operations.begin(blueprint(), ana()).await.expect("begun");
        life.operations.settled(id).await.expect("it ends");
    });
    drop(life);
    fs::write(scene.file(FIRST), cut_off).expect("written");
    let calls = scene.world.look().calls.len();
    let end = case.go_on(&scene).expect("it is there");
    assert_eq!(
        end.why.map(|why| why.message).as_deref(),
        Some("cannot go on: op-2 was begun on the fleet after it")
    );
    assert_eq!((end.state, scene.world.look().calls.len()), (O::Stopped, calls));
}

#[tokio::test]
async fn what_lies_in_the_directory_and_is_no_journal_of_ours_does_no_harm() {
    let scene = Scene::new(Shared::default());
    fs::create_dir_all(&scene.dir).expect("made");
    let elsewhere = scene.home().join("elsewhere");
    fs::write(&elsewhere, "not ours\n").expect("written");
    std::os::unix::fs::symlink(&elsewhere, scene.file(OperationId(3))).expect("linked");
    let fifo = Command::new("mkfifo").arg(scene.file(OperationId(4))).status().expect("it runs");
    assert!(fifo.success());
    fs::create_dir(scene.file(OperationId(5))).expect("made");
    fs::write(scene.file(OperationId(6)), "").expect("written");
    fs::write(scene.dir.join("op-7.new"), "half").expect("written");
    for foreign in ["notes.txt", "op-x.jsonl", "8.jsonl", "op-08.jsonl"] {
        fs::write(scene.dir.join(foreign), "x").expect("written");
    }
    let operations = scene.engine().await;
    let list = operations.list(99);
    let seen: Vec<_> = list.iter().map(|operation| (operation.id.0, operation.state)).collect();
    assert_eq!(seen, [6, 5, 4, 3].map(|id| (id, O::Stopped)), "damaged, and seen so");
    let said = list[0].why.clone().expect("a reason");
    assert!(
        said.message.contains("cannot trust the journal of op-6: it has no whole line")
            && said.hint.is_some()
    );
    assert!(!scene.dir.join("op-7.new").exists() && scene.dir.join("notes.txt").exists());
    assert_eq!(fs::read_to_string(&elsewhere).expect("read"), "not ours\n");
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    assert_eq!(id, OperationId(7));
    operations.settled(id).await.expect("it ends");
    assert_eq!(operations.prune(1).await.expect("pruned"), 0, "what is damaged is left for a person");
}
