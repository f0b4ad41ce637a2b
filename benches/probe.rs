//! CPU of one look, by kind. The target is a process of its own, so that what is counted is ours alone: user and
//! system time of this process over the looks, which is what an operator pays. `probe 5000` makes so many looks.
use agentctl::{
    config::ProbeSettings,
    health::{Prepared, Target},
    resilience::Clock,
};
use serde_json::{Value, json};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const SERVE: &str = "--serve";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\
    connection: close\r\n\r\n{\"status\": \"healthy\", \"agent\": \"orders\"}";
const ROUNDS: u32 = 5;

fn main() {
    if env::args().any(|arg| arg == SERVE) {
        return serve();
    }
    let looks = env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(4000);
    let (mut server, port) = launch();
    let runtime = Runtime::new().expect("a runtime");
    let pid = i32::try_from(server.id()).ok();
    let plain = Target::local("orders/0", Some(port));
    let owned = Target::instance("orders/0".parse().expect("a name"), Some(port), pid);
    let expect = json!({"status": 200, "json": {"$.status": "healthy", "$.agent": "orders"}});
    let http = json!({"path": "/health", "expect": expect});
    // At its default a fleet asks for the owner of a listener on every look that says `identity` here.
    let cases: [(&str, &str, Value, &Target); 5] = [
        ("http", "http", http.clone(), &plain),
        ("http, identity", "http", http, &owned),
        ("tcp", "tcp", json!({}), &plain),
        ("tcp, identity", "tcp", json!({}), &owned),
        ("process", "process", json!({}), &owned),
    ];
    println!("{looks} looks, {ROUNDS} rounds; CPU of this process, the best and the median round");
    for (name, kind, options, target) in cases {
        let probe = prepared(kind, options);
        let mut rounds: Vec<Duration> =
            (0..ROUNDS).map(|_| runtime.block_on(round(&probe, target, looks))).collect();
        rounds.sort_unstable();
        let each = |round: Duration| round.as_secs_f64() * 1e6 / f64::from(looks);
        println!("{name:16} {:7.1} µs {:7.1} µs", each(rounds[0]), each(rounds[rounds.len() / 2]));
    }
    server.kill().expect("its end");
    server.wait().expect("its end");
}

async fn round(probe: &Prepared, target: &Target, looks: u32) -> Duration {
    let clock = Clock::system();
    let before = cpu();
    for _ in 0..looks {
        let seen = probe.look(target, &clock).await;
        assert!(seen.ok, "{}", seen.detail);
    }
    cpu() - before
}

fn prepared(kind: &str, options: Value) -> Prepared {
    match Prepared::new(&ProbeSettings::readiness("ready", kind, options)) {
        Ok(probe) => probe,
        Err(problems) => panic!("{problems:?}"),
    }
}

/// User and system time of all threads of this process, to the nanosecond.
fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).expect("below a second"))
}

fn launch() -> (Child, u16) {
    let program = env::current_exe().expect("this program");
    let mut server = Command::new(program)
        .arg(SERVE)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .expect("a server");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("its output")).read_line(&mut line).expect("its port");
    (server, line.trim().parse().expect("a port"))
}

/// Answers every connection once, until whoever asked for it is gone.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(600) {
        let Ok((mut stream, _)) = listener.accept() else { continue };
        let mut chunk = [0; 4096];
        // A tcp look says nothing and leaves.
        if stream.read(&mut chunk).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(ANSWER.as_bytes());
        }
    }
}
