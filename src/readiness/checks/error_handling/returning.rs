//! What comes back after somebody said that it was mended, and what somebody said to leave alone.
use super::counting::{SOUND, Scratch, Seam, unavailable};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::ErrorSettings,
    domain::{Act, Caller, ErrorState, Fault, Identity, Ignored, Role},
    readiness::{Evidence, Found, Ground, Proof, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;

pub async fn regressed(evidence: &Evidence) -> Found {
    exercise(&evidence.ground, SOUND).await
}

async fn exercise(ground: &Ground, record: Seam) -> Found {
    let exercise = async {
        let scratch = Scratch::open(ground, &ErrorSettings::default()).await?;
        let fails =
            |n: u32| record(&scratch.errors, unavailable(format!("cannot reach `db` in {n} ms: refused")));
        let mut proof = Proof::default();
        fails(1);
        let id = scratch.groups(ground).await?.first().map(|group| group.id);
        let Some(id) = id else {
            scratch.close().await;
            return Ok(Found::fail("a failure was not recorded"));
        };
        scratch.store.resolve_error(id, "rehearsed".into(), act()).await?;
        shows(&mut proof, &scratch, ground, ErrorState::Resolved, "once resolved").await?;
        fails(2);
        shows(&mut proof, &scratch, ground, ErrorState::Regressed, "when it failed again").await?;
        let ignored = Ignored { until: None, until_count: Some(3), note: String::new() };
        scratch.store.ignore_error(id, ignored, act()).await?;
        (3..5).for_each(fails);
        shows(&mut proof, &scratch, ground, ErrorState::Ignored, "ignored until three more, after two")
            .await?;
        fails(5);
        shows(&mut proof, &scratch, ground, ErrorState::Open, "ignored until three more, after three")
            .await?;
        scratch.close().await;
        Ok(proof.judge("what returns after it was resolved has regressed, and what is ignored is left alone"))
    };
    settle(exercise.await)
}

/// There is one group, and it stands like that.
async fn shows(
    proof: &mut Proof,
    scratch: &Scratch,
    ground: &Ground,
    wanted: ErrorState,
    when: &str,
) -> Result<(), Fault> {
    let groups = scratch.groups(ground).await?;
    let states: Vec<_> = groups.iter().map(|group| group.state.as_str()).collect();
    proof.holds(states == [wanted.as_str()], format!("{when}, it is {}", states.join(" and ")));
    Ok(())
}

fn act() -> Act {
    let caller = Caller::by_socket(Identity { uid: 0, gid: 0, pid: None }, Role::Admin, None);
    Act::new(&caller, "errors/resolve", "")
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "EH-023",
    at_work: || {
        use crate::errors::Failure;
        let once: Seam = |errors, failure| {
            if failure.fault.message.contains("in 1 ms") {
                errors.record(failure);
            }
        };
        let anew: Seam = |errors, failure| {
            let operation = failure.fault.message.replace(|c: char| !c.is_ascii_digit(), "one ");
            errors.record(Failure { operation, ..failure });
        };
        let late: Seam = |errors, failure| {
            if !failure.fault.message.contains("in 5 ms") {
                errors.record(failure);
            }
        };
        let broken = [
            ("a resolved error that never comes back", once),
            ("an error that comes back as another one", anew),
            ("an ignored error that stays so for good", late),
        ];
        tried(exercise, SOUND, broken).boxed()
    },
};
