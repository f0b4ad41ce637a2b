//! Whose listener answered? An agent's port must be held by the agent's own processes, or what answers there proves
//! nothing of the agent.
use super::{Miss, Target, words::cut};
use crate::agents::ports::{self, Holder, Listeners};
use std::sync::{Mutex, PoisonError};

/// What has been proved of a process: these sockets are its own. A socket's inode names it for as long as it lives, so
/// while the same ones listen, nobody need look into processes again.
#[derive(Debug, Default)]
pub struct Owned(Mutex<Vec<u64>>);

/// Looks when this look is due (`target.check_identity`) and there is an agent to identify. `asked` is the
/// probe's own wish; by default a supervised agent is identified wherever the probe asks its own address
/// (`elsewhere` is false).
pub async fn check(target: &Target, port: u16, asked: Option<bool>, elsewhere: bool) -> Result<(), Miss> {
    let wanted = asked.unwrap_or(target.pid.is_some() && !elsewhere);
    if !wanted || !target.check_identity {
        return Ok(());
    }
    let Some(pid) = target.pid else {
        return Err(Miss::Blind(format!(
            "{target} has no process here, so nobody can say whose port {port} is"
        )));
    };
    let failed =
        |error: &dyn std::fmt::Display| Miss::Blind(format!("cannot see who holds port {port}: {error}"));
    let inodes = ports::inodes(port).map_err(|error| failed(&error))?;
    if target.owned.as_ref().is_some_and(|owned| owned.has(&inodes)) {
        return Ok(());
    }
    let instance = target.instance.as_ref().map(ToString::to_string);
    let asked = inodes.clone();
    // Reads a part of /proc: not on a thread that others wait for.
    let read = tokio::task::spawn_blocking(move || ports::owner(&asked, pid, instance.as_deref())).await;
    judge(port, pid, read.map_err(|error| failed(&error))?)?;
    if let Some(owned) = &target.owned {
        owned.keep(inodes);
    }
    Ok(())
}

/// Every listener must be the agent's: with one stranger among them (SO_REUSEPORT), any answer may be the stranger's.
fn judge(port: u16, pid: i32, listeners: Listeners) -> Result<(), String> {
    match listeners {
        Listeners::Ours => Ok(()),
        Listeners::None => Err(format!("nobody listens on port {port} any more")),
        Listeners::Foreign(None) => {
            Err(format!("port {port} is held by a process of another user, want process {pid} of the agent"))
        }
        Listeners::Foreign(Some(Holder { pid: stranger, command, .. })) => Err(format!(
            "port {port} is held by process {stranger} ({}), which is not the agent's (process group {pid})",
            cut(&command, 80)
        )),
    }
}

impl Owned {
    /// Are these all of those that were proved, and is there one?
    fn has(&self, inodes: &[u64]) -> bool {
        let proved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !inodes.is_empty() && inodes.iter().all(|inode| proved.contains(inode))
    }

    /// Two probes of an agent may look at two of its ports.
    fn keep(&self, inodes: Vec<u64>) {
        let mut proved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if proved.len() > MOST_OWNED {
            proved.clear();
        }
        proved.extend(inodes);
    }
}

/// An agent that opens a new listener for every look gains nothing by it.
const MOST_OWNED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn what_is_not_proved_to_be_the_agents_is_told_in_one_line() {
        assert_eq!(judge(80, 7, Listeners::Ours), Ok(()));
        let stranger = Holder { pid: 9, pgid: 9, command: "program-9 \n".into() };
        let told = judge(80, 7, Listeners::Foreign(Some(stranger))).expect_err("a stranger passed");
        assert!(told.contains("process 9 (program-9") && !told.contains('\n'), "{told}");
        assert!(judge(80, 7, Listeners::Foreign(None)).is_err(), "a listener nobody may look into passed");
        assert!(judge(80, 7, Listeners::None).is_err());
    }

    #[test]
    fn one_new_listener_among_the_known_is_enough_to_look_again() {
        let owned = Owned::default();
        assert!(!owned.has(&[]) && !owned.has(&[1]));
        owned.keep(vec![1, 2]);
        assert!(owned.has(&[1]) && owned.has(&[1, 2]) && !owned.has(&[]));
        assert!(!owned.has(&[1, 3]), "a stranger's socket beside the agent's own passed");
        for inode in 0..10_000 {
            owned.keep(vec![inode]);
        }
        assert!(owned.0.lock().expect("unpoisoned").len() <= MOST_OWNED + 1);
    }

    /// The agent keeps running, lets go of its port, and another program takes it.
    #[tokio::test]
    async fn a_proof_ends_with_the_socket_it_is_of() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut target = Target::instance("orders/0".parse().expect("a name"), Some(port), Some(own));
        target.owned = Some(std::sync::Arc::default());
        assert_eq!(check(&target, port, None, false).await, Ok(()));
        // From here on the proof alone says so: this pid is nobody's.
        target.pid = Some(i32::MAX);
        assert_eq!(check(&target, port, None, false).await, Ok(()));
        drop(listener);
        let _other = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port again");
        let told = check(&target, port, None, false).await.expect_err("an old proof passed a new socket");
        assert!(told.detail().contains("which is not the agent's"), "{told}");
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
