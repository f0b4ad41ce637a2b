//! The declared commands that bring the data forward and back. Each is told the key of its step: one that is run again
//! after a crash can know that it is the same.
use super::{
    MIGRATE_DOWN, MIGRATE_UP,
    hands::{Hands, course, way_back},
};
use crate::{
    domain::{Fault, FaultKind, Migration, ReleaseId, visible},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{process::Stdio, sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

/// What a command may say; the rest is not read.
const LONGEST: u64 = 64 << 10;
/// How much of that is told of, from its end.
const TOLD: usize = 300;
pub const DEADLINE: Duration = Duration::from_secs(600);
const KEY: &str = "AGENTD_OPERATION_KEY";
const RELEASE: &str = "AGENTD_RELEASE";

pub struct Migrate {
    hands: Arc<Hands>,
    name: &'static str,
}

impl Migrate {
    pub fn up(hands: Arc<Hands>) -> Self {
        Self { hands, name: MIGRATE_UP }
    }

    pub fn down(hands: Arc<Hands>) -> Self {
        Self { hands, name: MIGRATE_DOWN }
    }

    fn is_up(&self) -> bool {
        self.name == MIGRATE_UP
    }

    /// Whose migration it is: of what comes, or of what goes.
    async fn migration(&self, at: &Site) -> Result<(ReleaseId, Migration), Fault> {
        let course = course(at)?;
        let whose = if self.is_up() { course.to } else { course.from };
        let id = whose.ok_or_else(|| Fault::internal("cannot migrate: no release is named"))?;
        Ok((id, self.hands.releases.get(id).await?.standing.release.migration))
    }
}

impl Step for Migrate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        super::title(self.name)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let (id, migration) = self.migration(at).await?;
            let command = if self.is_up() { &migration.up } else { &migration.down };
            let said = run("migration", command, id, at.key()).await?;
            at.note(&said);
            Ok(json!({ "release": id, "said": said }))
        })
    }

    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            if self.is_up() {
                way_back(at, true)?;
            }
            let (id, migration) = self.migration(at).await?;
            let command = if self.is_up() { &migration.down } else { &migration.up };
            run("migration", command, id, at.key()).await.map(drop)
        })
    }

    fn deadline(&self) -> Duration {
        DEADLINE + Duration::from_secs(10)
    }
}

/// No shell, no input, our own environment and no more; returns the end of what it said.
pub async fn run(what: &str, command: &[String], release: ReleaseId, key: &str) -> Result<String, Fault> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Fault::internal(format!("cannot run the {what} of {release}: no command is declared")));
    };
    let shown = visible(program);
    let cannot = |kind, why: String| {
        Fault::new(kind, format!("cannot run the {what} {shown} of {release}: {why}"))
            .hint("run it by hand to see more; `agentctl release show` has the whole command")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env(KEY, key)
        .env(RELEASE, release.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot(FaultKind::Unavailable, error.to_string()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let (out, err, status) = tokio::join!(said(out), said(err), child.wait());
        (out, err, status)
    };
    let Ok((out, err, status)) = timeout(DEADLINE, ended).await else {
        return Err(cannot(FaultKind::Timeout, format!("it did not end within {} s", DEADLINE.as_secs())));
    };
    let status = status.map_err(|error| cannot(FaultKind::Unavailable, error.to_string()))?;
    if !status.success() {
        let last = if err.is_empty() { out } else { err };
        return Err(cannot(FaultKind::Unavailable, format!("{status}: {last}")));
    }
    Ok(out)
}

/// The end of it, on one line. All of it is read, so that the command is never held up by us.
async fn said(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut text = Vec::new();
    let _ = (&mut stream).take(LONGEST).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    let text = String::from_utf8_lossy(&text);
    let text = visible(text.trim());
    let skipped = text.chars().count().saturating_sub(TOLD);
    text.chars().skip(skipped).collect()
}
