//! Quotas of a real daemon: exact under 32 callers, over a kill -9 and a stop; what agentctl says of them; wrong keys.
use crate::support::{Daemon, agentctl};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, SystemTime},
};

const QUOTA: usize = 1_000;
const BLOCK: usize = 50;
const CALLERS: usize = 32;

fn manifest(quotas: &str) -> String {
    let uid = rustix::process::geteuid().as_raw();
    format!("schema = 1\n[quotas.principals.\"user:{uid}\"]\n{quotas}")
}

fn bounded() -> String {
    manifest(&format!("per_hour = {QUOTA}\nblock = {BLOCK}\n"))
}

/// All quotas are whole again when the hour ends: not in the middle of this.
fn away_from_the_border() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    if 3600 - now % 3600 < 60 {
        thread::sleep(Duration::from_secs(61));
    }
}

struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    fn figure(&self, header: &str) -> Option<u64> {
        let line =
            self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{header}: ")))?;
        line.split_once(": ")?.1.trim().parse().ok()
    }
}

fn request(socket: &Path, line: &str, header: &str, body: &str) -> io::Result<Said> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n{header}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Said {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Counts and changes nothing: there is no such waiver.
fn ask(socket: &Path) -> io::Result<Said> {
    request(socket, "POST /v1/waivers/revoke", "", r#"{"id": 0}"#)
}

/// 32 callers at once, `each` requests each, until one cannot reach it: how many were served, refused, unanswered.
fn crowd(socket: &Path, each: usize, until: impl Fn(usize) + Sync) -> (usize, usize, usize) {
    let (served, refused, lost) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..each {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    match ask(socket) {
                        Ok(said) if said.status == 404 => until(1 + served.fetch_add(1, Ordering::AcqRel)),
                        Ok(said) => {
                            assert_eq!(said.status, 429, "{}", said.body);
                            assert_eq!(said.figure("ratelimit-limit"), Some(QUOTA as u64), "{}", said.head);
                            assert_eq!(said.figure("ratelimit-remaining"), Some(0), "{}", said.head);
                            assert!(said.figure("retry-after").is_some_and(|s| (1..=3660).contains(&s)));
                            refused.fetch_add(1, Ordering::AcqRel);
                        }
                        Err(_) => {
                            lost.fetch_add(1, Ordering::AcqRel);
                            over.store(true, Ordering::Release);
                        }
                    }
                }
            });
        }
    });
    (served.into_inner(), refused.into_inner(), lost.into_inner())
}

#[test]
fn callers_at_once_are_served_the_quota_and_a_stop_costs_none_of_it() {
    away_from_the_border();
    let mut daemon = Daemon::start(&bounded());
    let (first, none, lost) = crowd(&daemon.socket(), 20, |_| {});
    assert_eq!((first, none, lost), (20 * CALLERS, 0, 0));
    assert_eq!(daemon.stop(), Some(0));
    daemon.launch();
    let (rest, refused, lost) = crowd(&daemon.socket(), 20, |_| {});
    assert_eq!((first + rest, lost), (QUOTA, 0));
    assert_eq!(refused, 40 * CALLERS - QUOTA);

    // An operator can look, and mend it, with nothing left.
    let uid = rustix::process::geteuid().as_raw();
    let answer = daemon.ctl(["waiver", "revoke", "0"]);
    assert_eq!(answer.code, 8, "{answer}");
    assert!(answer.stderr.contains("has used the 1000 requests of this hour"), "{answer}");
    assert!(answer.stderr.contains(&format!("agentctl auth quota show user:{uid}")), "{answer}");
    let answer = daemon.ctl(["auth", "quota", "list"]);
    assert_eq!(answer.code, 0, "{answer}");
    assert!(answer.stdout.contains(&format!("user:{uid}")) && answer.stdout.contains("whole again at"));
    let answer = daemon.ctl(["auth", "quota", "show", &format!("user:{uid}"), "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!((&shown["used"], &shown["remaining"]), (&QUOTA.into(), &0.into()), "{shown}");
    assert_eq!(shown["refused"], refused + 1, "{shown}");
    assert_eq!(daemon.ctl(["daemon", "status"]).code, 0);
    daemon.rewrite(&manifest(&format!("per_hour = {}\n", QUOTA + 5)));
    assert_eq!(daemon.ctl(["config", "reload"]).code, 0);
    let said = ask(&daemon.socket()).expect("an answer");
    assert_eq!((said.status, said.figure("ratelimit-remaining")), (404, Some(4)), "{}", said.head);
    let answer = daemon.ctl(["auth", "quota", "reset", &format!("user:{uid}")]);
    assert_eq!(answer.code, 0, "{answer}");
    let said = ask(&daemon.socket()).expect("an answer");
    assert_eq!(said.figure("ratelimit-remaining"), Some(QUOTA as u64 + 4), "{}", said.head);
}

#[test]
fn a_kill_forfeits_at_most_a_block_and_gives_no_second_quota() {
    away_from_the_border();
    let mut daemon = Daemon::start(&bounded());
    let pid = rustix::process::Pid::from_raw(daemon.pid()).expect("a pid");
    let killed = AtomicBool::new(false);
    let (first, _, _) = crowd(&daemon.socket(), QUOTA, |served| {
        if served >= QUOTA / 2 && !killed.swap(true, Ordering::AcqRel) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        }
    });
    daemon.kill();
    assert!((QUOTA / 2..QUOTA).contains(&first), "{first} were served before it was killed");
    daemon.launch();
    let (rest, refused, lost) = crowd(&daemon.socket(), QUOTA / 16, |_| {});
    assert_eq!(lost, 0);
    assert!(refused > 0 && first + rest <= QUOTA, "{first} and {rest} of {QUOTA}");
    // Each caller may have been served without hearing of it.
    assert!(first + rest + BLOCK + CALLERS >= QUOTA, "{first} and {rest} of {QUOTA}");
}

#[test]
fn wrong_keys_make_their_source_wait_and_nobody_who_shows_none() {
    let daemon = Daemon::start(&manifest(
        "[quotas.failures]\ntolerated = 5\nfirst_wait = \"1h\"\nlongest_wait = \"1h\"\n",
    ));
    let guess = |key: usize| {
        let bearer = format!("Authorization: Bearer agc_{key:016}_{key:064}\r\n");
        request(&daemon.socket(), "GET /v1/status", &bearer, "").expect("an answer")
    };
    for key in 0..6 {
        assert_eq!(guess(key).status, 401);
    }
    let said = guess(6);
    assert_eq!((said.status, said.figure("retry-after")), (429, Some(3600)), "{}", said.head);
    assert!(said.body.contains("the socket still says who you are"), "{}", said.body);
    assert_eq!(daemon.ctl(["daemon", "status"]).code, 0);
    let answer = daemon.ctl(["auth", "quota", "list"]);
    assert!(answer.stdout.contains("6 wrong keys, waits"), "{answer}");
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(daemon.ctl(["auth", "quota", "reset", &format!("user:{uid}")]).code, 0);
    assert_eq!(guess(7).status, 401);
}

#[test]
fn quotas_that_bound_nothing_or_nobody_are_refused() {
    let daemon = Daemon::prepared(
        "schema = 1\n[quotas.principals.\"robot:7\"]\nper_hour = 5\n[quotas.agents]\nper_second = 0\nburst = 9\n\
         [quotas.failures]\nfirst_wait = \"1h\"\n",
    );
    let file = daemon.path("agentd.toml");
    let answer = agentctl(["config".as_ref(), "check".as_ref(), file.as_os_str()]);
    assert_eq!(answer.code, 2, "{answer}");
    let text = format!("{}{}", answer.stdout, answer.stderr);
    for wrong in ["`robot:7` is no principal", "`burst` bounds nothing", "`first_wait` is 1h and longer"] {
        assert!(text.contains(wrong), "{wrong}: {text}");
    }
}
