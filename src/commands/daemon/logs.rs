//! logs: reads the daemon's files itself, so that it works when the daemon does not.
use super::serve::ask;
use crate::{
    cli::{CliError, Ctl, Exit, Output, one_line},
    commands::tail::{LOOK_EVERY, Tail, unreadable},
    config::{Paths, Settings, Sources},
    daemon::Plan,
    domain::Fault,
};
use serde_json::{Map, Value};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The last so many lines
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    lines: usize,
    /// Go on as it writes, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Of the daemon with this manifest, if it is down [default: as for `daemon start`]
    #[arg(long, env = "AGENTD_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
    /// With this [environment.NAME] laid over it
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Of the daemon with this state directory, if it is down
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let directory = directory(&args, ctl).await?;
    let Some(newest) = files(&directory).pop() else {
        let fault = Fault::not_found(format!("cannot find a log of agentd in {}", directory.display()))
            .hint("--config or --state-dir names the daemon you mean");
        return Err(fault.into());
    };
    let (lines, mut tail) = last(&directory, &newest, args.lines)?;
    show(&lines, ctl)?;
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        let mut lines = tail.more().map_err(|error| unreadable(tail.path(), &error))?;
        if lines.is_empty() {
            // A new day, a new file.
            match files(&directory).into_iter().find(|file| file.as_path() > tail.path()) {
                Some(next) => {
                    tail = Tail::start(&next).map_err(|error| unreadable(&next, &error))?;
                    lines = tail.more().map_err(|error| unreadable(&next, &error))?;
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        show(&lines, ctl)?;
    }
}

/// Where the one that is named would write; else where the one that answers says; else where one started here would.
async fn directory(args: &Args, ctl: &Ctl) -> Result<PathBuf, CliError> {
    let named = args.config.is_some() || args.environment.is_some();
    if !named
        && args.state_dir.is_none()
        && let Ok(state) = ask(&ctl.client).await
    {
        return Ok(state.logs.into());
    }
    let mut sources = Sources::from_process(args.config.clone(), args.environment.clone());
    if let Some(state_dir) = &args.state_dir {
        sources.flags.push(("daemon.state_dir".into(), state_dir.to_string_lossy().into_owned()));
    }
    match Plan::read(sources, Vec::new()) {
        Ok(plan) => Ok(Paths::new(&plan.settings).logs),
        Err(fault) if named => Err(fault.into()),
        // A broken manifest is a reason to read the log, not to refuse it.
        Err(_broken) => {
            let mut settings = Settings::default();
            settings.daemon.state_dir.clone_from(&args.state_dir);
            Ok(Paths::new(&settings).logs)
        }
    }
}

/// Oldest first: the date is in the name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("agentd.") && path.extension().is_some_and(|end| end == "log")
    };
    let mut files: Vec<PathBuf> = entries.filter(ours).collect();
    files.sort();
    files
}

/// The last lines over as many days as it takes.
fn last(directory: &Path, newest: &Path, wanted: usize) -> Result<(Vec<String>, Tail), CliError> {
    let (mut lines, tail) = Tail::last(newest, wanted).map_err(|error| unreadable(newest, &error))?;
    for older in files(directory).iter().rev().filter(|file| file.as_path() < newest) {
        if lines.len() >= wanted {
            break;
        }
        let (mut earlier, _) =
            Tail::last(older, wanted - lines.len()).map_err(|error| unreadable(older, &error))?;
        earlier.append(&mut lines);
        lines = earlier;
    }
    Ok((lines, tail))
}

fn show(lines: &[String], ctl: &Ctl) -> Result<(), CliError> {
    if lines.is_empty() {
        return Ok(());
    }
    let raw = matches!(ctl.output, Output::Json | Output::Jsonl);
    let mut text = String::new();
    for line in lines {
        text.push_str(&if raw { line.clone() } else { for_people(line) });
        text.push('\n');
    }
    ctl.ui.data(&text)
}

/// Needs no quotes to be told apart from its neighbours.
fn is_plain(value: &str) -> bool {
    let blurs = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\');
    !value.is_empty() && !value.contains(blurs)
}

/// `2026-11-20 23:47:01  WARN   cannot prune  error="…"`; a line that is no record as it is, made safe.
fn for_people(line: &str) -> String {
    let Ok(mut record) = serde_json::from_str::<Map<String, Value>>(line) else { return one_line(line) };
    let mut take = |key: &str| match record.shift_remove(key) {
        Some(Value::String(text)) => one_line(&text),
        _ => String::new(),
    };
    let (at, level, message) = (take("timestamp"), take("level"), take("message"));
    take("target");
    let at: String = at.replace('T', " ").chars().take(19).collect();
    let mut text = format!("{at}  {level:<5}  {message}");
    for (key, value) in &record {
        let value = match value {
            Value::String(plain) if is_plain(plain) => plain.clone(),
            other => other.to_string(),
        };
        text.push_str(&format!("  {}={}", one_line(key), one_line(&value)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_a_line_and_a_hostile_one_stays_in_it() {
        let record = r#"{"timestamp":"2026-11-20T23:47:01.5Z","level":"WARN","message":"cannot prune","error":"disk\nfull","target":"agentctl"}"#;
        assert_eq!(for_people(record), r#"2026-11-20 23:47:01  WARN   cannot prune  error="disk\nfull""#);
        let safe = for_people("not json \x1b[2J");
        assert!(!safe.contains('\x1b'), "{safe}");
    }

    #[test]
    fn the_last_lines_go_back_over_days() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("agentd.2026-11-19.log"), "a\nb\n").expect("written");
        fs::write(home.path().join("agentd.2026-11-20.log"), "c\n").expect("written");
        fs::write(home.path().join("other.log"), "x\n").expect("written");
        let newest = files(home.path()).pop().expect("a file");
        let (lines, _) = last(home.path(), &newest, 2).expect("read");
        assert_eq!(lines, ["b", "c"]);
    }
}
