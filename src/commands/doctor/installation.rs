//! What is installed: both programs, the unit, the bundled SQLite, the manifest, and the daemon that answers.
use super::item::Item;
use crate::{
    cli::{CliError, Ctl},
    commands::version,
    config::{Settings, Sources, load},
    daemon::kinds,
    protocol::PROTOCOL,
};
use std::{env, path::Path, process::Stdio, sync::Arc, time::Duration};
use tokio::{process::Command, time::timeout};

/// For a program that only prints a line.
const ASK: Duration = Duration::from_secs(5);
const OWN: &str = env!("CARGO_PKG_VERSION");

pub async fn look(ctl: &Ctl) -> (Vec<Item>, Option<Arc<Settings>>) {
    let (manifest, settings) = manifest();
    (vec![programs().await, unit().await, sqlite(), manifest, daemon(ctl).await], settings)
}

async fn programs() -> Item {
    let Ok(own) = env::current_exe() else {
        return Item::warn("programs", "cannot tell where agentctl is", "is /proc mounted?");
    };
    let agentd = own.with_file_name("agentd");
    let said = match output(&agentd, &["--version"]).await {
        Ok(said) => said,
        Err(why) => {
            return Item::fail(
                "programs",
                format!("{}: {why}", agentd.display()),
                "install both: ./install.sh, or `cargo build --release`",
            );
        }
    };
    judge_programs(said.trim(), &agentd)
}

fn judge_programs(said: &str, agentd: &Path) -> Item {
    match said.strip_prefix("agentd ") {
        Some(version) if version == OWN => {
            Item::ok("programs", format!("agentctl and agentd {OWN}, both in {}", folder(agentd)))
        }
        Some(version) => Item::fail(
            "programs",
            format!("agentctl is {OWN}, and {} is {version}", agentd.display()),
            "install both from one build: ./install.sh",
        ),
        None => Item::fail("programs", format!("{} is no agentd", agentd.display()), "./install.sh"),
    }
}

fn folder(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

async fn unit() -> Item {
    if !Path::new("/run/systemd/system").is_dir() {
        return Item::ok("systemd", "not in use here; `agentctl daemon start` needs none");
    }
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user"] };
    let show = [user, &["show", "agentd.service", "--property=LoadState,ActiveState,UnitFileState"]].concat();
    match output(Path::new("systemctl"), &show).await {
        Ok(said) => judge_unit(&said),
        Err(why) => Item::warn("systemd", format!("cannot ask it: {why}"), "is systemctl in PATH?"),
    }
}

fn judge_unit(said: &str) -> Item {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown");
    let (load, active, enabled) = (value("LoadState="), value("ActiveState="), value("UnitFileState="));
    match (load, active) {
        ("not-found", _) => Item::ok("systemd", "no unit installed; ./install.sh brings one"),
        (_, "failed") => {
            Item::fail("systemd", "agentd.service has failed", "`systemctl status agentd` says why")
        }
        _ => Item::ok("systemd", format!("agentd.service is {active}, {enabled}")),
    }
}

fn sqlite() -> Item {
    judge_sqlite(rusqlite::version_number(), rusqlite::version())
}

/// Before 3.51.3 a write-ahead log could be corrupted.
fn judge_sqlite(number: i32, version: &str) -> Item {
    if number >= 3_051_003 {
        Item::ok("SQLite", format!("{version}, built in"))
    } else {
        Item::fail("SQLite", format!("{version} can corrupt its log"), "build with the locked dependencies")
    }
}

/// With the settings in force, which say where everything else is.
fn manifest() -> (Item, Option<Arc<Settings>>) {
    let sources = Sources::from_process(None, None);
    let kinds = kinds();
    let file = sources.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    match load(&sources, &kinds) {
        Ok(loaded) if sources.file.is_none() => (
            Item::warn("manifest", "none found", "`agentctl init --template minimal .` writes one"),
            Some(loaded.settings),
        ),
        Ok(loaded) => {
            let seen = format!("{file}: {} agents", loaded.settings.agents.len());
            (Item::ok("manifest", seen), Some(loaded.settings))
        }
        Err(problems) => {
            let seen = format!("{file}: {} problems", problems.errors());
            (Item::fail("manifest", seen, "`agentctl config check` shows each"), None)
        }
    }
}

async fn daemon(ctl: &Ctl) -> Item {
    let socket = ctl.client.socket().display();
    let asked = timeout(ASK, ctl.client.call::<version::Version>(&version::Request {})).await;
    match asked {
        Ok(Ok(reply)) => judge_daemon(&reply),
        Ok(Err(CliError::Unreachable { why, .. })) => {
            Item::warn("daemon", format!("none at {socket}: {why}"), "`agentctl daemon start`")
        }
        Ok(Err(error)) => Item::fail(
            "daemon",
            format!("{socket}: {error}"),
            error.hint().unwrap_or("is it agentd that listens there?"),
        ),
        Err(_) => Item::fail(
            "daemon",
            format!("{socket} does not answer within {} s", ASK.as_secs()),
            "`agentctl daemon logs`",
        ),
    }
}

fn judge_daemon(reply: &version::Reply) -> Item {
    let seen = format!("agentd {} answers, protocol {}", reply.version, reply.protocol);
    if reply.protocol != PROTOCOL {
        Item::fail("daemon", format!("{seen}, and ours is {PROTOCOL}"), "install both from one build")
    } else if reply.version != OWN {
        Item::warn("daemon", format!("{seen}; agentctl is {OWN}"), "restart it to run what is installed")
    } else {
        Item::ok("daemon", seen)
    }
}

async fn output(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(ASK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(output.status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ASK.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::State;
    use super::*;

    #[test]
    fn two_programs_of_different_builds_are_found_out() {
        let agentd = Path::new("/opt/bin/agentd");
        assert_eq!(judge_programs(&format!("agentd {OWN}"), agentd).state, State::Ok);
        for said in ["agentd 0.0.9", "", "hello"] {
            assert_eq!(judge_programs(said, agentd).state, State::Fail, "{said}");
        }
        let reply = |version: &str, protocol| version::Reply { version: version.into(), protocol };
        assert_eq!(judge_daemon(&reply(OWN, PROTOCOL)).state, State::Ok);
        assert_eq!(judge_daemon(&reply("0.0.9", PROTOCOL)).state, State::Warn);
        assert_eq!(judge_daemon(&reply(OWN, PROTOCOL + 1)).state, State::Fail);
    }

    #[test]
    fn a_failed_unit_fails_and_none_at_all_does_not() {
        let said = |load: &str, active: &str| {
            format!("LoadState={load}\nActiveState={active}\nUnitFileState=enabled\n")
        };
        assert_eq!(judge_unit(&said("loaded", "failed")).state, State::Fail);
        assert_eq!(judge_unit(&said("loaded", "active")).state, State::Ok);
        assert_eq!(judge_unit(&said("not-found", "inactive")).state, State::Ok);
    }

    #[test]
    fn the_sqlite_that_is_built_in_is_new_enough_and_an_older_one_is_refused() {
        assert_eq!(sqlite().state, State::Ok);
        assert_eq!(judge_sqlite(3_051_002, "3.51.2").state, State::Fail);
    }
}
