//! What an instance printed: the last lines, and with --follow what comes, over rotation.
use crate::{
    agents::LogQuery,
    cli::{CliError, Ctl, Exit, Output, escape},
    commands::tail::{LOOK_EVERY, Tail, unreadable},
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, InstanceId, Permission},
    protocol::{Endpoint, Streamed, Verb},
};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use std::vec;

/// More than a terminal keeps.
const MOST_LINES: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub instance: InstanceId,
    pub lines: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub schema_version: u32,
    pub instance: InstanceId,
    /// Oldest first. Untrusted text.
    pub lines: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    pub line: String,
}

struct Logs;
impl Endpoint for Logs {
    const NAME: &'static str = "agents/logs";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Reply;
}

struct Follow;
impl Streamed for Follow {
    const NAME: &'static str = "agents/logs/follow";
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Item = Line;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Logs, _, _>(handle), Route::stream::<Follow, _, _, _>(handle_follow)]
}

async fn handle(app: App, _caller: Caller, request: Request) -> Result<Reply, Fault> {
    let query = LogQuery { instance: request.instance.clone(), lines: request.lines.min(MOST_LINES) };
    let (lines, _live) = read(app, query).await?;
    Ok(Reply { schema_version: 1, instance: request.instance, lines })
}

async fn handle_follow(
    app: App,
    _caller: Caller,
    request: Request,
) -> Result<impl Stream<Item = Line> + Send + use<>, Fault> {
    // Only where the live file is; the lines are read together with the place from which to go on.
    let (_, live) = read(app, LogQuery { instance: request.instance, lines: 0 }).await?;
    let (lines, tail) =
        Tail::last(&live, request.lines.min(MOST_LINES)).map_err(|error| unreadable(&live, &error))?;
    Ok(stream::unfold((lines.into_iter(), tail), next_line))
}

async fn read(app: App, query: LogQuery) -> Result<(Vec<String>, std::path::PathBuf), Fault> {
    tokio::task::spawn_blocking(move || app.supervisor.logs(&query))
        .await
        .map_err(|panic| Fault::internal(format!("cannot read the log: {panic}")))?
}

/// Ends only if the file can no longer be read.
async fn next_line(
    (mut lines, mut tail): (vec::IntoIter<String>, Tail),
) -> Option<(Line, (vec::IntoIter<String>, Tail))> {
    loop {
        if let Some(line) = lines.next() {
            return Some((Line { line }, (lines, tail)));
        }
        lines = tail.more().ok()?.into_iter();
        if lines.len() == 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

pub async fn run(instance: InstanceId, lines: usize, follow: bool, ctl: &Ctl) -> Result<Exit, CliError> {
    let request = Request { instance, lines };
    if follow {
        ctl.client
            .stream::<Follow>(&request, |item| {
                match ctl.output {
                    Output::Json | Output::Jsonl => ctl.output.print(&ctl.ui, &item, |_| String::new())?,
                    _ => ctl.ui.data(&format!("{}\n", escape(&item.line)))?,
                }
                Ok(true)
            })
            .await?;
        return Ok(Exit::Ok);
    }
    let reply = ctl.client.call::<Logs>(&request).await?;
    ctl.output
        .print(&ctl.ui, &reply, |_| reply.lines.iter().map(|line| format!("{}\n", escape(line))).collect())?;
    Ok(Exit::Ok)
}
