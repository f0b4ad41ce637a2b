//! Keys and sessions as a service and an operator use them: the real daemon, agentctl, and a client of nobody's making.
use crate::support::{Answer, Daemon, agentctl_bin, becomes, eventually, instance};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const MANIFEST: &str = r#"
schema = 1
environment = "dev"

[[agent]]
name = "orders"
kind = "process"
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }
"#;

/// agentctl with a home of its own for sessions, and what is in `environment` besides.
fn ctl<S: AsRef<OsStr>>(daemon: &Daemon, key: Option<&str>, args: impl IntoIterator<Item = S>) -> Answer {
    let mut command = Command::new(agentctl_bin());
    command.env_clear().env("HOME", daemon.home()).env("XDG_RUNTIME_DIR", daemon.path("user"));
    command.envs(key.map(|key| ("AGENTCTL_KEY", key)));
    command.arg("--socket").arg(daemon.socket()).args(args);
    command.stdin(Stdio::null()).output().expect("agentctl runs").into()
}

/// What the socket answers to one request that shows a bearer: its status and its body.
fn asked(daemon: &Daemon, bearer: &str, path: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: agentd\r\nAuthorization: Bearer {bearer}\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let answer = io::read_to_string(stream).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// A new key: its id and itself.
fn key(daemon: &Daemon, args: &[&str]) -> (String, String) {
    let made =
        ctl(daemon, None, [&["auth", "key", "create"], args, &["-o", "json"]].concat()).exits(0).json();
    let text = |field: &str| made[field].as_str().expect("text").to_owned();
    (text("id"), text("token"))
}

/// Every file of the daemon and of its user that holds these bytes.
fn holding(root: &Path, part: &[u8]) -> Vec<String> {
    let (mut left, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).expect("a directory").flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).expect("read");
                if bytes.windows(part.len()).any(|here| here == part) {
                    found.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
    }
    found
}

#[test]
fn a_key_is_made_used_rotated_revoked_and_outlives_the_daemon() {
    let mut daemon = Daemon::start(MANIFEST);
    let (id, token) = key(&daemon, &["service:billing", "--role", "viewer"]);
    assert!(token.starts_with(&format!("agc_{id}_")) && token.len() == 66, "{token}");
    let (status, who) = asked(&daemon, &token, "/v1/sessions/whoami");
    assert_eq!((status, &who["principal"], &who["role"]), (200, &"service:billing".into(), &"viewer".into()));
    let by_ctl = ctl(&daemon, Some(&token), ["auth", "whoami"]).exits(0);
    assert!(by_ctl.stdout.starts_with(&format!("service:billing by key {id}, viewer")), "{by_ctl}");
    // Less than the user has who shows it.
    let refused = ctl(&daemon, Some(&token), ["auth", "key", "list"]).exits(4);
    assert!(refused.stderr.contains("access.manage"), "{refused}");
    ctl(&daemon, Some(&token), ["agent", "list"]).exits(0);

    let file = daemon.path("key");
    let args = ["auth", "key", "rotate", &id, "--overlap", "1h", "--to"].map(OsStr::new);
    let rotated = ctl(&daemon, None, args.into_iter().chain([file.as_os_str()])).exits(0);
    assert!(rotated.stdout.is_empty() && rotated.stderr.contains("stays good until"), "{rotated}");
    assert_eq!(fs::metadata(&file).expect("written").mode() & 0o777, 0o600);
    let successor = fs::read_to_string(&file).expect("read").trim_end().to_owned();
    for token in [&token, &successor] {
        assert_eq!(asked(&daemon, token, "/v1/status").0, 200);
    }
    let shown = [OsStr::new("--key-file"), file.as_os_str(), OsStr::new("auth"), OsStr::new("whoami")];
    ctl(&daemon, None, shown).exits(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("opened");
    let open = ctl(&daemon, None, shown).exits(2);
    assert!(open.stderr.contains("chmod 600") && !open.stderr.contains(&successor), "{open}");

    daemon.kill();
    daemon.launch();
    assert_eq!(asked(&daemon, &successor, "/v1/status").0, 200, "a restart lost it");
    ctl(&daemon, None, ["auth", "key", "revoke", &id]).exits(6);
    let asked_at = Instant::now();
    ctl(&daemon, None, ["auth", "key", "revoke", &id, "--yes"]).exits(0);
    let (status, body) = asked(&daemon, &token, "/v1/status");
    assert!(asked_at.elapsed() < Duration::from_secs(5), "so slow that it proves nothing");
    assert_eq!((status, &body["kind"]), (401, &"unauthenticated".into()));
    assert_eq!(asked(&daemon, "agc_wrong", "/v1/status"), (401, body), "it tells them apart");
    assert_eq!(asked(&daemon, &successor, "/v1/status").0, 200);
    ctl(&daemon, Some(&token), ["status"]).exits(4);

    fs::remove_file(&file).expect("removed");
    daemon.stop();
    for secret in [&token, &successor] {
        assert_eq!(holding(daemon.home(), &secret.as_bytes()[17..60]), Vec::<String>::new());
    }
    assert!(!holding(daemon.home(), id.as_bytes()).is_empty(), "the search finds nothing at all");
}

#[test]
fn a_session_is_kept_in_a_private_file_and_ends_at_a_word() {
    let daemon = Daemon::start(MANIFEST);
    let (_, token) = key(&daemon, &["service:dash", "--role", "admin"]);
    ctl(&daemon, None, ["auth", "logout"]).exits(7);
    let login = ctl(&daemon, Some(&token), ["auth", "login", "-o", "json"]).exits(0);
    let session = login.json();
    assert!(!login.stdout.contains("ags_") && !login.stderr.contains("ags_"), "it was shown: {login}");
    let dir = daemon.path("user/agentctl");
    let file = fs::read_dir(&dir).expect("kept").next().expect("a file").expect("an entry").path();
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&dir).expect("there").mode() & 0o777, 0o700);
    let kept: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    let shown = kept["token"].as_str().expect("a token").to_owned();

    let id = session["id"].as_str().expect("an id");
    let whoami = ctl(&daemon, None, ["auth", "whoami"]).exits(0);
    assert!(whoami.stdout.starts_with(&format!("service:dash by session {id}")), "{whoami}");
    let list = ctl(&daemon, None, ["auth", "session", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list["sessions"][0]["holds"], "in-force");

    // A stream ends with the session that it was opened by.
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    becomes(&daemon, "orders", "ready");
    write!(
        stream,
        "GET /v1/agents/logs/follow?instance=orders%2F0&lines=0 HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n\
         Authorization: Bearer {shown}\r\n\r\n"
    )
    .expect("sent");
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    lines.read_line(&mut head).expect("answered");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");

    ctl(&daemon, None, ["auth", "logout"]).exits(0);
    let ended = Instant::now();
    let mut rest = Vec::new();
    let end = lines.by_ref().take(1 << 20).read_to_end(&mut rest);
    let whole = String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n");
    assert!(ended.elapsed() < Duration::from_secs(10) && (whole || end.is_err()), "the stream goes on");
    assert!(!file.exists(), "it is still kept");
    assert_eq!(asked(&daemon, &shown, "/v1/status").0, 401);

    ctl(&daemon, None, ["auth", "login"]).exits(0);
    let mine = ctl(&daemon, None, ["auth", "whoami"]).exits(0);
    assert!(mine.stdout.starts_with("user:") && mine.stdout.contains("by session"), "{mine}");
    let own = format!("user:{}", rustix::process::geteuid().as_raw());
    ctl(&daemon, None, ["auth", "session", "revoke", &own, "--yes"]).exits(0);
    let over = ctl(&daemon, None, ["status"]).exits(4);
    assert!(over.stderr.contains("auth login"), "{over}");
    let forgotten = ctl(&daemon, None, ["auth", "logout"]).exits(0);
    assert!(forgotten.stderr.contains("over already"), "{forgotten}");
    assert_eq!(ctl(&daemon, None, ["auth", "session", "list"]).exits(0).stdout, "no session is open\n");
    let audit: Vec<_> = ["sessions/open", "sessions/close", "sessions/revoke", "keys/create"]
        .into_iter()
        .filter(|action| holding(&daemon.path("state"), action.as_bytes()).is_empty())
        .collect();
    assert_eq!(audit, Vec::<&str>::new(), "without a row");
    let leaks = [&token, &shown].map(|secret| holding(&daemon.path("state"), &secret.as_bytes()[17..60]));
    assert_eq!(leaks, [Vec::<String>::new(), Vec::new()]);
}

#[test]
fn an_agent_is_an_agent_by_its_key_and_whatever_key_it_shows() {
    let daemon = Daemon::start(MANIFEST);
    let (_, agents) = key(&daemon, &["agent:orders"]);
    let (_, admins) = key(&daemon, &["service:ops", "--role", "admin"]);
    for args in
        [&["status"][..], &["auth", "whoami"], &["auth", "login"], &["auth", "key", "create", "service:x"]]
    {
        ctl(&daemon, Some(&agents), args).exits(4);
    }
    ctl(&daemon, Some(&admins), ["auth", "key", "create", "service:x"]).exits(0);
    ctl(&daemon, None, ["auth", "key", "create", "agent:orders", "--role", "admin"]).exits(6);
    let far = key(&daemon, &["service:far", "--role", "viewer", "--from", "10.0.0.0/8"]).1;
    let refused = ctl(&daemon, Some(&far), ["status"]).exits(4);
    assert!(refused.stderr.contains("Unix socket"), "{refused}");
    if !rustix::process::geteuid().is_root() {
        return; // only root can be somebody else
    }
    // The running agent's own uid, with the admin's key in its hands.
    let group = "65534";
    let access = format!("[access]\nsocket_group = \"{group}\"\n\n[[agent]]");
    let daemon = Daemon::start(&MANIFEST.replace("[[agent]]", &access));
    let (_, stolen) = key(&daemon, &["service:ops", "--role", "admin"]);
    becomes(&daemon, "orders", "ready");
    let pid = instance(&daemon, "orders")["pid"].clone();
    let uid = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    let as_agent = |args: &[&str]| -> Answer {
        let mut command = Command::new(daemon.path("agentctl"));
        command.env_clear().env("AGENTCTL_KEY", &stolen).env("HOME", "/nonexistent");
        command.arg("--socket").arg(daemon.socket()).args(args);
        command.uid(uid).gid(65534).current_dir("/").output().expect("agentctl runs").into()
    };
    for args in [&["status"][..], &["auth", "key", "create", "service:x"], &["auth", "login"]] {
        let refused = as_agent(args).exits(4);
        assert!(refused.stderr.contains("agent orders"), "{refused}");
    }
    assert!(eventually(|| ctl(&daemon, Some(&stolen), ["status"]).code == 0), "nobody may use it");
}
