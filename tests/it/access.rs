//! Who reaches what: every role and everybody without one, at every endpoint, over the socket; and a real daemon refuses
//! a caller whom it does not know.
use crate::matrix::MATRIX;
use crate::support::{Answer, Daemon, agentctl, eventually, instance};
use agentctl::{
    auth::{Directory, Names, Policy, identify},
    commands,
    config::AccessSettings,
    domain::{AgentName, Caller, Fault, FaultKind, Identity, Role},
    protocol::Verb,
};
use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::MetadataExt, net::UnixStream, process::CommandExt},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

/// Objects as endpoints name them: whoever is refused is refused for its own as for another's.
const OWN: &str = r#"{"agents":["orders"],"agent":"orders","instance":"orders/0","all":true,"id":1,"principal":"agent:orders","permission":"read_analytics"}"#;
const OTHER: &str = r#"{"agents":["billing"],"agent":"billing","instance":"billing/0","all":true,"id":2,"principal":"agent:billing","permission":"read_analytics"}"#;
/// No request is a string: whoever is let through with it has done nothing.
const NOTHING: &str = r#""nothing""#;

fn may(path: &str) -> &'static [Role] {
    let row = MATRIX.iter().find(|(known, _)| *known == path);
    row.map(|(_, roles)| *roles).unwrap_or_else(|| {
        panic!("{path} is in nobody's row: add it to MATRIX in tests/it/access.rs, with the roles that may ask it")
    })
}

fn peer(uid: u32) -> Identity {
    Identity { uid, gid: uid, pid: Some(1) }
}

fn caller(role: Role) -> Caller {
    let agent = (role == Role::Agent).then(|| "orders".parse().expect("a name"));
    Caller::by_socket(peer(4242), role, agent)
}

#[test]
fn every_endpoint_has_its_row_and_every_row_its_endpoint() {
    let routes = commands::routes();
    let paths: BTreeSet<_> = routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths.len(), routes.len(), "two routes share a path");
    for path in &paths {
        assert!(path.starts_with("/v1/"), "{path} has no version");
        assert!(may(path).contains(&Role::Admin), "{path} refuses the admin");
    }
    for (at, (path, _)) in MATRIX.iter().enumerate() {
        assert!(paths.contains(path), "no endpoint is called {path}: take it out of MATRIX");
        assert!(MATRIX[at + 1..].iter().all(|(other, _)| other != path), "{path} has two rows");
    }
}

#[test]
fn every_role_is_let_through_where_its_row_says_so_and_nowhere_else() {
    for route in commands::routes() {
        for role in Role::ALL {
            let asked = route.admit(&caller(*role));
            assert_eq!(asked.is_ok(), may(&route.path).contains(role), "{role} at {}", route.path);
            if let Err(fault) = asked {
                assert_eq!(fault.kind, FaultKind::Forbidden, "{}", route.path);
                assert!(fault.hint.is_some(), "{} refuses without a hint", route.path);
            }
        }
    }
}

#[test]
fn what_changes_something_needs_more_than_looking() {
    for route in commands::routes().iter().filter(|route| route.verb == Verb::Write) {
        let by_viewer = route.admit(&caller(Role::Viewer)).is_ok();
        assert!(!by_viewer || route.needs.as_str() == "session.own", "{} lets a viewer write", route.path);
    }
}

struct NoAgents;

impl Directory for NoAgents {
    fn agent_of(&self, _identity: &Identity) -> Result<Option<AgentName>, Fault> {
        Ok(None)
    }
}

/// Without a role there is no caller, and so no endpoint.
#[test]
fn whoever_has_no_role_comes_to_no_endpoint() {
    let access = AccessSettings { viewer_users: vec!["4242".into()], ..AccessSettings::default() };
    let (policy, _) = Policy::resolve(&access, &Names::default(), 1000);
    assert!(identify(peer(4242), &policy, &NoAgents).is_ok());
    for anonymous in [peer(4243), peer(NOBODY), Identity { uid: u32::MAX, gid: 0, pid: None }] {
        let fault = identify(anonymous, &policy, &NoAgents).expect_err("refused");
        assert_eq!(fault.kind, FaultKind::Forbidden);
    }
}

/// This thread alone, and for good.
fn become_user(uid: u32) {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(NOBODY));
    set_thread_groups(&[]).expect("no groups");
    set_thread_res_gid(gid, gid, gid).expect("a group");
    set_thread_res_uid(uid, uid, uid).expect("a user");
}

/// Asked as somebody else by a thread that became them; only root can. The status, or 0 where it was held.
fn ask_as(socket: &Path, uid: u32, questions: Vec<(String, String, &'static str)>) -> Vec<u16> {
    let socket = socket.to_owned();
    let asking = thread::spawn(move || {
        if am_root() {
            become_user(uid);
        }
        questions
            .iter()
            .map(|(verb, path, body)| {
                // One connection too many of a uid is hung up on; the next finds a place.
                let again = |error: &io::Error| {
                    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
                };
                let mut asked = ask(&socket, verb, path, body);
                assert!(eventually(|| {
                    if asked.as_ref().is_err_and(again) {
                        asked = ask(&socket, verb, path, body);
                    }
                    !asked.as_ref().is_err_and(again)
                }));
                asked.expect("an answer")
            })
            .collect()
    });
    asking.join().expect("it asked")
}

fn ask(socket: &Path, verb: &str, path: &str, body: &str) -> io::Result<u16> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let length = body.len();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
        Ok(_) => Ok(line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()),
    }
}

/// One more request on a connection that stays open; its status.
fn ask_again(stream: &mut UnixStream) -> u16 {
    write!(stream, "GET /v1/status HTTP/1.1\r\nHost: agentd\r\n\r\n").expect("asked");
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (0, 0);
    for number in 0.. {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        let line = line.trim_end().to_lowercase();
        if number == 0 {
            status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        } else if let Some(bytes) = line.strip_prefix("content-length: ") {
            length = bytes.parse().expect("a length");
        } else if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).expect("a body");
    status
}

#[test]
fn a_role_that_a_reload_takes_away_is_gone_on_connections_that_are_open() {
    if !am_root() {
        return; // it takes a second user
    }
    const VIEWER_UID: u32 = 50_003;
    let group = format!("socket_group = \"{NOBODY}\"");
    let daemon = Daemon::start(&guarded(&format!("{group}\nviewer_users = [\"{VIEWER_UID}\"]")));
    let mut stream = thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            become_user(VIEWER_UID);
            UnixStream::connect(daemon.socket()).expect("let in")
        });
        connecting.join().expect("connected")
    });
    assert_eq!(ask_again(&mut stream), 200);
    assert_eq!(ask_again(&mut stream), 200, "the connection did not stay open");
    daemon.rewrite(&guarded(&group));
    daemon.ctl(["config", "reload"]).exits(0);
    assert_eq!(ask_again(&mut stream), 403);
}

#[test]
fn over_the_socket_each_user_reaches_what_its_row_says_whosever_object_it_is() {
    const ADMIN_UID: u32 = 50_001;
    const OPERATOR_UID: u32 = 50_002;
    const VIEWER_UID: u32 = 50_003;
    const STRANGER_UID: u32 = 50_004;
    let own_uid = rustix::process::geteuid().as_raw();
    let group = if am_root() { NOBODY } else { rustix::process::getegid().as_raw() };
    let daemon = Daemon::start(&guarded(&format!(
        "socket_group = \"{group}\"\nadmin_users = [\"{ADMIN_UID}\"]\noperator_users = [\"{OPERATOR_UID}\"]\n\
         viewer_users = [\"{VIEWER_UID}\"]"
    )));
    let mut askers = vec![(own_uid, Some(Role::Admin))];
    if am_root() {
        let pid = || instance(&daemon, "orders")["pid"].clone();
        assert!(eventually(|| pid().is_i64()));
        let agent = fs::metadata(format!("/proc/{}", pid())).expect("it runs").uid();
        askers.extend([
            (ADMIN_UID, Some(Role::Admin)),
            (OPERATOR_UID, Some(Role::Operator)),
            (VIEWER_UID, Some(Role::Viewer)),
            (agent, Some(Role::Agent)),
            (STRANGER_UID, None),
            (NOBODY, None),
        ]);
    }
    for (uid, role) in askers {
        let mut questions = Vec::new();
        let mut wanted = Vec::new();
        for route in commands::routes() {
            let through = role.is_some_and(|role| may(&route.path).contains(&role));
            let bodies: &[&str] = match (through, route.verb) {
                (true, Verb::Write) => &[NOTHING],
                (false, Verb::Write) => &[NOTHING, OWN, OTHER],
                (_, Verb::Read) => &[""],
            };
            let queries: &[&str] = match route.verb {
                Verb::Read => &["?agent=orders", "?agent=billing"],
                Verb::Write => &[""],
            };
            let verb = if route.verb == Verb::Read { "GET" } else { "POST" };
            for (body, query) in bodies.iter().flat_map(|body| queries.iter().map(move |query| (body, query)))
            {
                questions.push((verb.to_owned(), format!("{}{query}", route.path), *body));
                wanted.push(through);
            }
        }
        let asked = questions.clone();
        for ((status, through), (verb, path, body)) in
            ask_as(&daemon.socket(), uid, questions).into_iter().zip(wanted).zip(asked)
        {
            let said = format!("uid {uid} as {role:?}: {verb} {path} {body}: {status}");
            assert!(status < 500 && status != 405, "{said}");
            assert_eq!(!matches!(status, 401 | 403), through, "{said}");
        }
    }
    // Whatever was asked, nothing was stopped, started or changed.
    assert!(daemon.ctl(["agent", "show", "orders", "-o", "json"]).exits(0).json().is_object());
}

/// agentctl as somebody else; only root can become that.
fn agentctl_as(daemon: &Daemon, uid: u32, gid: u32, args: &[&str]) -> Answer {
    Command::new(daemon.path("agentctl"))
        .arg("--socket")
        .arg(daemon.socket())
        .args(args)
        .uid(uid)
        .gid(gid)
        .current_dir("/")
        .env_clear()
        .output()
        .expect("agentctl runs")
        .into()
}

const NOBODY: u32 = 65534;

/// One agent, under a uid of its own where root starts it; the socket may be reached by the group of nobody.
fn guarded(access: &str) -> String {
    format!(
        r#"
        schema = 1
        [access]
        {access}
        [[agent]]
        name = "orders"
        kind = "process"
        options = {{ command = [{{agentctl}}, "demo-agent", "stdio"] }}
          [[agent.probe]]
          name = "beat"
          kind = "heartbeat"
          role = "readiness"
          options = {{ within = "1m" }}
        "#
    )
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_daemons_own_user_is_admin_and_under_root_a_stranger_gets_in_only_by_access() {
    let group = if am_root() { NOBODY } else { rustix::process::getegid().as_raw() };
    let strangers = guarded(&format!("socket_group = \"{group}\""));
    let daemon = Daemon::start(&strangers);
    daemon.ctl(["config", "reload"]).exits(0); // an admin's
    if !am_root() {
        return; // the rest needs a second user
    }
    let answer = agentctl_as(&daemon, NOBODY, NOBODY, &["status"]).exits(4);
    assert!(answer.stderr.contains("it has no role here") && answer.stderr.contains("[access]"), "{answer}");

    let lookers = guarded(&format!("socket_group = \"{group}\"\nviewer_users = [\"{NOBODY}\"]"));
    daemon.rewrite(&lookers);
    daemon.ctl(["config", "reload"]).exits(0);
    let answer = agentctl_as(&daemon, NOBODY, NOBODY, &["agent", "list"]).exits(0);
    assert!(answer.stdout.contains("orders"), "{answer}");
    for refused in [&["agent", "stop", "orders", "--yes"][..], &["config", "reload"], &["daemon", "stop"]] {
        let answer = agentctl_as(&daemon, NOBODY, NOBODY, refused).exits(4);
        assert!(answer.stderr.contains("viewer"), "{answer}");
    }

    daemon.rewrite(&strangers);
    daemon.ctl(["config", "reload"]).exits(0);
    agentctl_as(&daemon, NOBODY, NOBODY, &["status"]).exits(4);
}

#[test]
fn under_root_an_agent_may_report_for_itself_and_do_nothing_else() {
    if !am_root() {
        return; // a uid of its own is root's to give; what an agent is refused is asserted route by route above
    }
    // Whatever [access] says: an agent is an agent.
    let mapped = format!("socket_group = \"{NOBODY}\"\nadmin_groups = [\"{NOBODY}\"]");
    let daemon = Daemon::start(&guarded(&mapped));
    let instance = || instance(&daemon, "orders");
    assert!(
        eventually(|| instance()["pid"].is_i64() && instance()["separation"] == "own-user"),
        "{}",
        instance()
    );
    let pid = instance()["pid"].clone();
    let uid = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    assert_ne!(uid, 0);

    for refused in [&["status"][..], &["agent", "stop", "orders", "--yes"], &["daemon", "stop"]] {
        let answer = agentctl_as(&daemon, uid, NOBODY, refused).exits(4);
        assert!(answer.stderr.contains("agent orders is agent"), "{answer}");
    }
    let report = daemon.path("run-report/report.sock");
    let report = report.to_str().expect("text");
    let beat = |name: &str| {
        let args = ["report", "heartbeat", "--instance", name, "--report-socket", report];
        agentctl_as(&daemon, uid, uid, &args)
    };
    beat("orders/0").exits(0);
    assert!(beat("billing/0").exits(4).stderr.contains("the caller is agent orders"));
    // The report socket serves nothing else, not even to the admin.
    let answer = agentctl(["--socket", report, "status"]).exits(7);
    assert!(answer.stderr.contains("no such endpoint"), "{answer}");
    assert_eq!(instance()["pid"], pid, "a refused stop had an effect");
}
