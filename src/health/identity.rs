//! Whose listener answered? An agent's port must be held by the agent's own processes, or what answers there proves
//! nothing of the agent.
use super::{Target, expect::cut};
use crate::agents::ports::{self, Holder};
use std::fs;

/// How far up the family tree of a holder we look.
const MAX_ANCESTORS: usize = 32;

/// Looks when this look is due to (`target.check_identity`) and there is an agent to identify. `asked` is the
/// probe's own wish; by default a supervised agent is identified wherever the probe asks its own address
/// (`elsewhere` is false).
pub async fn check(target: &Target, port: u16, asked: Option<bool>, elsewhere: bool) -> Result<(), String> {
    let wanted = asked.unwrap_or(target.pid.is_some() && !elsewhere);
    if !wanted || !target.check_identity {
        return Ok(());
    }
    let Some(pid) = target.pid else {
        return Err(format!("{target} has no process here, so nobody can say whose port {port} is"));
    };
    let mark = target.instance.as_ref().map(ToString::to_string);
    // Reads a part of /proc: not on a thread that others wait for.
    let read = tokio::task::spawn_blocking(move || whose(port, pid, mark.as_deref())).await;
    read.unwrap_or_else(|_| Err(format!("cannot see who holds port {port}")))
}

fn whose(port: u16, pid: i32, mark: Option<&str>) -> Result<(), String> {
    let holders =
        ports::holders(port).map_err(|error| format!("cannot see who holds port {port}: {error}"))?;
    judge(port, pid, &holders, |holder| {
        is_family(holder.pid, pid) || mark.is_some_and(|m| is_marked(holder.pid, m))
    })
}

/// Every holder must be the agent's: with one stranger among them (SO_REUSEPORT), any answer may be the stranger's.
fn judge(port: u16, pid: i32, holders: &[Holder], belongs: impl Fn(&Holder) -> bool) -> Result<(), String> {
    if holders.is_empty() {
        return Err(format!(
            "port {port} is held by a process of another user, want process {pid} of the agent"
        ));
    }
    match holders.iter().find(|holder| holder.pgid != pid && holder.pid != pid && !belongs(holder)) {
        None => Ok(()),
        Some(stranger) => Err(format!(
            "port {port} is held by process {} ({}), which is not the agent's (process group {pid})",
            stranger.pid,
            cut(&stranger.command, 80)
        )),
    }
}

/// Is `ancestor` above `pid` in the family tree?
fn is_family(mut pid: i32, ancestor: i32) -> bool {
    for _ in 0..MAX_ANCESTORS {
        if pid == ancestor {
            return true;
        }
        let Some(parent) = parent_of(pid).filter(|parent| *parent > 1) else { return false };
        pid = parent;
    }
    false
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Was it started with the instance's mark in its environment? Holds for one that has left group and family.
fn is_marked(pid: i32, mark: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = format!("AGENTD_INSTANCE={mark}");
    environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn holder(pid: i32, pgid: i32) -> Holder {
        Holder { pid, pgid, command: format!("program-{pid} \n") }
    }

    #[test]
    fn one_stranger_among_the_holders_is_enough() {
        let own = |_: &Holder| false;
        assert_eq!(judge(80, 7, &[holder(7, 7), holder(8, 7)], own), Ok(()));
        assert_eq!(judge(80, 7, &[holder(9, 9)], |h| h.pid == 9), Ok(()));
        let told = judge(80, 7, &[holder(7, 7), holder(9, 9)], own).expect_err("a stranger passed");
        assert!(told.contains("process 9 (program-9") && !told.contains('\n'), "{told}");
        assert!(judge(80, 7, &[], own).is_err(), "a listener that nobody may look into passed");
    }

    #[test]
    fn descent_is_seen_and_a_stranger_is_none() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("a child");
        let pid = i32::try_from(child.id()).expect("a pid");
        let own = i32::try_from(std::process::id()).expect("a pid");
        let seen = (is_family(pid, own), is_family(own, pid));
        child.kill().expect("its end");
        child.wait().expect("its end");
        assert_eq!(seen, (true, false));
    }

    #[test]
    fn a_mark_must_be_the_whole_value() {
        let mut child =
            Command::new("sleep").arg("60").env("AGENTD_INSTANCE", "orders/1").spawn().expect("a child");
        let pid = i32::try_from(child.id()).expect("a pid");
        // Until exec, the child still shows our environment.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_marked(pid, "orders/1") && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        let seen = (is_marked(pid, "orders/1"), is_marked(pid, "orders/10"), is_marked(pid, "rders/1"));
        child.kill().expect("its end");
        child.wait().expect("its end");
        assert_eq!(seen, (true, false, false));
    }

    /// The agent lives, and another program answers on its port.
    #[tokio::test]
    async fn an_answer_from_a_strangers_process_fails_and_names_it() {
        use crate::health::look::tests::ask;
        use serde_json::json;
        use std::{
            io::{BufRead, BufReader},
            os::unix::process::CommandExt,
        };
        let serve = "import http.server as s; h = s.HTTPServer(('127.0.0.1', 0), s.SimpleHTTPRequestHandler); \
                     print(h.server_port, flush=True); h.serve_forever()";
        let mut stranger = Command::new("python3")
            .args(["-c", serve])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(stranger.stdout.take().expect("its output")).read_line(&mut line).expect("its port");
        let port = line.trim().parse().expect("a port");
        let agent = Command::new("sleep").arg("60").process_group(0).spawn().expect("an agent");
        let target = |child: &std::process::Child| {
            let id = "orders/0".parse().expect("a name");
            Target::instance(id, Some(port), i32::try_from(child.id()).ok())
        };
        let (strange, own) = (target(&agent), target(&stranger));
        let seen = [
            ask("http", json!({"path": "/"}), &strange).await,
            ask("tcp", json!({}), &strange).await,
            ask("http", json!({"path": "/", "identity": false}), &strange).await,
            ask("http", json!({"path": "/"}), &own).await,
        ];
        for mut child in [agent, stranger] {
            child.kill().expect("its end");
            child.wait().expect("its end");
        }
        for wrong in &seen[..2] {
            assert!(!wrong.ok && wrong.detail.contains("python3"), "{}", wrong.detail);
        }
        assert!(seen[2].ok && seen[3].ok, "{} / {}", seen[2].detail, seen[3].detail);
    }
}
