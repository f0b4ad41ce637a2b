//! Writers of scratch stores, processes of their own, are killed while they write: is anything gone that was
//! acknowledged?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::StoreSettings,
    domain::Fault,
    readiness::{Found, Ground, Plot, Proof, check::settle},
    store::Doomed,
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{collections::BTreeSet, io, os::unix::process::ExitStatusExt, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

/// What is started as the writer.
pub type Program = fn() -> Command;

/// Each writer in turn, over the same file: after how many acknowledgements its end comes, and whether it comes in the
/// middle of COMMIT or wherever the writer is.
const ENDS: [(u32, bool); 4] = [(40, true), (120, false), (80, true), (30, false)];

/// How long one writer may take until its end. Nothing is proved by this wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// This very program, whatever has become of its file.
pub fn own_program() -> Command {
    let mut own = Command::new("/proc/self/exe");
    // Nothing that the daemon was given is for it.
    own.arg("--scratch-writer").env_clear();
    own
}

/// `program` is what writes; a test spoils it.
pub async fn survived(ground: &Ground, settings: &StoreSettings, program: Program) -> Found {
    settle(killed_and_counted(ground, settings, program).await)
}

/// What one writer said until it was gone.
#[derive(Debug, Default)]
struct Heard {
    asked: BTreeSet<String>,
    done: BTreeSet<String>,
    /// It was in the middle of COMMIT.
    committing: bool,
    /// By SIGKILL, and not by itself.
    killed: bool,
}

async fn killed_and_counted(
    ground: &Ground,
    settings: &StoreSettings,
    program: Program,
) -> Result<Found, Fault> {
    let plot = ground.plot()?;
    let settings = StoreSettings { readers_min: 1, readers_max: 1, ..settings.clone() };
    let mut proof = Proof::default();
    let (mut asked, mut done) = (BTreeSet::new(), BTreeSet::new());
    for (number, (after, halts)) in (1..).zip(ENDS) {
        let doomed = Doomed {
            file: plot.path().join("scratch.db"),
            settings: settings.clone(),
            name: number.to_string(),
            halt_after: halts.then_some(after),
        };
        let heard = one_killed(program(), &doomed, after).await?;
        if heard.done.len() < after as usize || heard.committing != halts || !heard.killed {
            return Ok(Found::error(format!(
                "writer {number} was to be killed after {after} acknowledgements, and ended after {}",
                heard.done.len()
            )));
        }
        proof.holds(
            true,
            format!(
                "writer {number} was killed with SIGKILL {}: {} writes acknowledged, {} under way",
                if halts { "in the middle of COMMIT" } else { "while it wrote" },
                heard.done.len(),
                heard.asked.len().saturating_sub(heard.done.len())
            ),
        );
        asked.extend(heard.asked);
        done.extend(heard.done);
    }
    let kept = kept(ground, &plot, &settings).await?;
    let lost: Vec<&String> = done.difference(&kept.0).collect();
    let first = lost.first().map(|text| format!(", the first is {text}")).unwrap_or_default();
    proof.holds(
        lost.is_empty(),
        format!("{} of {} acknowledged writes are gone{first}", lost.len(), done.len()),
    );
    let strange = kept.0.difference(&asked).count();
    proof.holds(strange == 0, format!("{strange} of {} kept rows were never written", kept.0.len()));
    proof.holds(kept.1 == 0, format!("SQLite complains of {} things in the file", kept.1));
    Ok(proof.judge(format!("{} acknowledged writes survived {} killed writers", done.len(), ENDS.len())))
}

async fn one_killed(mut program: Command, doomed: &Doomed, after: u32) -> Result<Heard, Fault> {
    let cannot = |error: io::Error| Fault::internal(format!("cannot run a scratch writer: {error}"));
    let order = serde_json::to_string(doomed)
        .map_err(|error| Fault::internal(format!("cannot tell a scratch writer what to do: {error}")))?;
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let (Some(mut tell), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Fault::internal("cannot speak with a scratch writer"));
    };
    // It ends by itself when this end of its input closes: with us, that is.
    tell.write_all(format!("{order}\n").as_bytes()).await.map_err(cannot)?;
    let mut output = BufReader::new(output);
    let mut heard = Heard::default();
    let until = async {
        while heard.hear(&mut output).await? {
            let enough = heard.done.len() >= after as usize;
            if heard.committing || (doomed.halt_after.is_none() && enough) {
                break;
            }
        }
        Ok(())
    };
    // Late is told by what was heard until then.
    timeout(PATIENCE, until).await.unwrap_or(Ok(())).map_err(cannot)?;
    // Gone already is as good as killed, and its status says which.
    let _ = child.start_kill();
    let end = async {
        let status = child.wait().await?;
        while heard.hear(&mut output).await? {}
        io::Result::Ok(status)
    };
    let status = timeout(PATIENCE, end)
        .await
        .map_err(|_| Fault::internal("cannot end a scratch writer"))?
        .map_err(cannot)?;
    heard.killed = status.signal() == Some(9);
    Ok(heard)
}

impl Heard {
    /// One line; false at the end. A line that was cut off has not been said.
    async fn hear(&mut self, output: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<bool> {
        let mut line = String::new();
        output.read_line(&mut line).await?;
        let Some(line) = line.strip_suffix('\n') else { return Ok(false) };
        if let Some((_, text)) = line.split_once(Doomed::ASKED) {
            self.asked.insert(text.to_owned());
        } else if let Some((_, text)) = line.split_once(Doomed::DONE) {
            self.done.insert(text.to_owned());
        }
        self.committing |= line == Doomed::COMMITTING;
        Ok(true)
    }
}

/// What a store opened over the file finds, and how much SQLite complains of.
async fn kept(
    ground: &Ground,
    plot: &Plot,
    settings: &StoreSettings,
) -> Result<(BTreeSet<String>, usize), Fault> {
    // More than all writers together ever write.
    const ALL: u32 = 10_000;
    let store = ground.store(plot, settings).await?;
    let look = async {
        let kept = store.events(0, ALL).await?.into_iter().map(|event| event.text).collect();
        let whole = store.integrity().await?;
        Ok((kept, whole.damage.len() + usize::try_from(whole.dangling).unwrap_or(usize::MAX)))
    };
    let looked = look.await;
    store.close().await;
    looked
}

#[cfg(test)]
fn sound_program() -> Command {
    test_program("no")
}

#[cfg(test)]
fn hasty_program() -> Command {
    test_program("yes")
}

/// The tests are a program too.
#[cfg(test)]
fn test_program(hasty: &str) -> Command {
    let mut own = Command::new("/proc/self/exe");
    own.args(["--exact", "--nocapture", "--test-threads=1", crate::store::PROGRAM]);
    own.env(crate::store::HASTY, hasty);
    own
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-003",
    at_work: || {
        async fn exercise(ground: &Ground, program: Program) -> Found {
            survived(ground, &StoreSettings::default(), program).await
        }
        tried(
            exercise,
            sound_program as Program,
            [("a store that acknowledges before it commits", hasty_program as Program)],
        )
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, readiness::checks::scratch_ground};

    #[tokio::test]
    async fn a_program_that_is_no_writer_proves_nothing() {
        let (_base, ground) = scratch_ground();
        for program in [(|| Command::new("/bin/true")) as Program, || Command::new("/no/such/program")] {
            let found = survived(&ground, &StoreSettings::default(), program).await;
            assert_eq!(found.outcome, Outcome::Error, "{found:?}");
        }
    }
}
