//! What it costs to know a caller by its key, beside a route that asks for none; and whether time tells anything: 10^5
//! wrong keys, among them unknown ids and wrong secrets, beside the right one.
use agentctl::{
    auth::{KeyRequest, Keyring, Names, Policy, TokenKind, checksum, mint},
    config::{AccessSettings, Settings, StoreSettings},
    domain::{Act, Caller, Clients, Identity, Role},
    resilience::Clock,
    store::Store,
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs,
    hint::black_box,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::watch};

const ROUNDS: usize = 9;
const ASKS: usize = 2_000;
const WRONG: usize = 100_000;
/// Wrong keys over the socket, of each kind: fewer than are tolerated, so that none is made to wait.
const SHOWN: usize = 2_000;
/// Every request is counted, and none is refused for being one too many.
const MANIFEST: &str = "schema = 1\n[quotas.services]\nper_hour = 1000000000\nper_second = 0\n\
    [quotas.failures]\ntolerated = 10000\n";

/// A real agentd of this build, on a socket of its own.
struct Daemon {
    home: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("agentd.toml"), MANIFEST).expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_agentd"))
            .arg("--config")
            .arg(home.path().join("agentd.toml"))
            .arg("--state-dir")
            .arg(home.path().join("state"))
            .arg("--socket")
            .arg(home.path().join("run/a.sock"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("agentd runs");
        let daemon = Self { home, child };
        let limit = Instant::now() + Duration::from_secs(30);
        while UnixStream::connect(daemon.socket()).is_err() {
            assert!(Instant::now() < limit, "agentd does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    fn socket(&self) -> std::path::PathBuf {
        self.home.path().join("run/a.sock")
    }

    /// The time of each of so many reads over one connection, in microseconds.
    fn asks(&self, bearer: Option<&str>, count: usize) -> Vec<f64> {
        let mut stream = UnixStream::connect(self.socket()).expect("connected");
        (0..count).map(|_| ask(&mut stream, bearer, 200)).collect()
    }
}

/// One read, in microseconds.
fn ask(stream: &mut UnixStream, bearer: Option<&str>, status: u16) -> f64 {
    let shown = bearer.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let request = format!("GET /v1/agents/list HTTP/1.1\r\nHost: agentd\r\n{shown}\r\n");
    let began = Instant::now();
    stream.write_all(request.as_bytes()).expect("sent");
    answered(stream, status);
    began.elapsed().as_secs_f64() * 1e6
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one whole answer, which must be of this status.
fn answered(stream: &mut UnixStream, status: u16) {
    let (mut held, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).expect("answered");
        assert!(read > 0, "it hung up");
        held.extend_from_slice(&part[..read]);
        let Some(head) = held.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&held[..head]).to_lowercase();
        assert!(text.starts_with(&format!("http/1.1 {status}")), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        if held.len() >= head + 4 + length.unwrap_or(0) {
            return;
        }
    }
}

fn made(daemon: &Daemon) -> String {
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    let body = r#"{"principal":"service:bench","role":"viewer"}"#;
    write!(
        stream,
        "POST /v1/keys/create HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let answer = std::io::read_to_string(stream).expect("answered");
    let at = answer.find("agc_").expect("a key");
    answer[at..at + 66].to_owned()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn route() {
    let daemon = Daemon::start();
    let key = made(&daemon);
    daemon.asks(None, ASKS);
    daemon.asks(Some(&key), ASKS);
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let bare = median(daemon.asks(None, ASKS));
        let keyed = median(daemon.asks(Some(&key), ASKS));
        println!("round {round}: a read takes {bare:.1} µs by the kernel's word, {keyed:.1} µs by a key");
        ratios.push(keyed / bare);
    }
    println!("ratio, median of {ROUNDS}: {:.3} (goal: at most 1.2)", median(ratios));
    guesses(&daemon, &key);
}

/// What whoever guesses can see: whole requests over the socket, each refused and audited.
fn guesses(daemon: &Daemon, key: &str) {
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    let (mut of_unknown, mut of_wrong) = (Vec::new(), Vec::new());
    for number in 0..SHOWN {
        let unknown = mint(TokenKind::Key).expect("minted").token;
        let wrong = wrong_secret(&key[4..16]);
        let mut ask = |token: &SecretString| ask(&mut stream, Some(token.expose_secret()), 401);
        if number % 2 == 0 {
            of_unknown.push(ask(&unknown));
            of_wrong.push(ask(&wrong));
        } else {
            of_wrong.push(ask(&wrong));
            of_unknown.push(ask(&unknown));
        }
    }
    let (of_unknown, of_wrong) = (trimmed(of_unknown), trimmed(of_wrong));
    println!(
        "over the socket: unknown id {:.1} µs, wrong secret {:.1} µs (medians of {SHOWN}), effect size {:.3} (goal: \
         under 0.2)",
        median(of_unknown.clone()),
        median(of_wrong.clone()),
        effect(&of_unknown, &of_wrong)
    );
}

/// A keyring with a hundred keys: their ids, and the last of them.
async fn keyring(home: &Path) -> (Keyring, SecretString, Vec<String>) {
    let (file, backups) = (home.join("keys.db"), home.join("backups"));
    let store = Store::open(&file, &backups, &StoreSettings::default(), Clock::system()).expect("opens");
    let policy = Policy::resolve(&AccessSettings::default(), &Names::default(), 0).0;
    let keyring = Keyring::new(
        watch::channel(Arc::new(Settings::default())).1,
        watch::channel(Arc::new(policy)).1,
        store,
        Clock::system(),
    );
    let (mut ids, mut last) = (Vec::new(), None);
    for number in 0..100 {
        let request = KeyRequest {
            principal: format!("service:bench-{number}").parse().expect("a principal"),
            role: None,
            application_role: None,
            clients: Clients::None,
            networks: Vec::new(),
            expires_at: None,
            expires_in: None,
        };
        let act = Act::new(&caller(), "keys/create", "");
        let (key, token) = keyring.create_key(&caller(), request, act).await.expect("created");
        ids.push(key.id);
        last = Some(token);
    }
    (keyring, last.expect("keys"), ids)
}

fn caller() -> Caller {
    Caller::by_socket(Identity { uid: 0, gid: 0, pid: None }, Role::Admin, None)
}

/// Right but for its secret, checksum included.
fn wrong_secret(id: &str) -> SecretString {
    let other = mint(TokenKind::Key).expect("minted");
    let body = format!("{id}_{}", &other.token.expose_secret()[17..60]);
    format!("agc_{body}{}", String::from_utf8_lossy(&checksum(body.as_bytes()))).into()
}

/// How far two lie apart, in standard deviations of what they share: 0.2 is what is called small.
fn effect(a: &[f64], b: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let variance = |of: &[f64]| {
        let mean = mean(of);
        of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (of.len() - 1) as f64
    };
    let shared = f64::midpoint(variance(a), variance(b)).sqrt();
    if shared == 0.0 { 0.0 } else { (mean(a) - mean(b)).abs() / shared }
}

/// The slowest hundredth is the machine's, not ours.
fn trimmed(mut of: Vec<f64>) -> Vec<f64> {
    of.sort_by(f64::total_cmp);
    of.truncate(of.len() * 99 / 100);
    of
}

async fn timing(home: &Path) {
    let (keyring, right, ids) = keyring(home).await;
    let by = caller();
    let (mut hits, mut of_unknown, mut of_wrong, mut of_right) = (0, Vec::new(), Vec::new(), Vec::new());
    let time = async |token: &SecretString| {
        let began = Instant::now();
        let known = black_box(keyring.recognise(&by, None, black_box(token)).await).is_ok();
        (known, began.elapsed().as_secs_f64() * 1e9)
    };
    for number in 0..WRONG / 2 {
        // In turns, so that whatever the machine does falls on both.
        let unknown = mint(TokenKind::Key).expect("minted").token;
        let wrong = wrong_secret(&ids[number % ids.len()]);
        let order = [(&unknown, &mut of_unknown), (&wrong, &mut of_wrong)];
        let turned = if number % 2 == 0 {
            order.into_iter().collect::<Vec<_>>()
        } else {
            order.into_iter().rev().collect()
        };
        for (token, times) in turned {
            let (known, took) = time(token).await;
            hits += usize::from(known);
            times.push(took);
        }
        let (known, took) = time(&right).await;
        assert!(known, "the right key is refused");
        of_right.push(took);
    }
    let (of_unknown, of_wrong, of_right) = (trimmed(of_unknown), trimmed(of_wrong), trimmed(of_right));
    println!(
        "{WRONG} wrong keys: {hits} hits; medians: unknown id {:.0} ns, wrong secret {:.0} ns, right {:.0} ns",
        median(of_unknown.clone()),
        median(of_wrong.clone()),
        median(of_right.clone())
    );
    println!(
        "effect size (Cohen's d): {:.3} between an unknown id and a wrong secret, {:.3} between a \
         wrong secret and the right one, which says of itself that it is right",
        effect(&of_unknown, &of_wrong),
        effect(&of_wrong, &of_right)
    );
    assert_eq!(hits, 0, "a wrong key was taken");
}

fn main() {
    let home = tempfile::tempdir().expect("a directory");
    Runtime::new().expect("a runtime").block_on(timing(home.path()));
    route();
}
