//! What a quota costs a request: the charge by itself, its blocks' writes included, and as a share of the shortest
//! request that a client can make on the socket. The project promises that authenticating and authorising a read costs
//! at most a fifth of the bare route; this is one part of that. `quotas 20000` makes so many of each.
use agentctl::{
    auth::Meter,
    commands,
    config::{QuotaSettings, Quotas, Settings, Sources, StoreSettings},
    daemon::{Plan, boot},
    domain::{Caller, Identity, Permission, Role},
    resilience::Clock,
    store::Store,
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::UnixStream, runtime::Runtime, sync::watch, task::JoinSet};

const ROUNDS: usize = 7;
const CALLERS: usize = 32;
const PROMISED: f64 = 0.2;

fn main() {
    let times = env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(5_000);
    let home = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new().expect("a runtime");
    let (mut bare, mut alone, mut crowded) = (Vec::new(), Vec::new(), Vec::new());
    runtime.block_on(async {
        let manifest = home.path().join("agentd.toml");
        fs::write(&manifest, settings_of_a_daemon(home.path())).expect("written");
        let plan = Plan::read(Sources::file(manifest), commands::routes()).expect("a plan");
        let running = boot(plan, None).await.expect("boots");
        let store = Store::open(
            &home.path().join("quotas.db"),
            &home.path().join("backups"),
            &StoreSettings::default(),
            Clock::system(),
        )
        .expect("opens");
        // Alternating, so that all see the same machine.
        for _ in 0..ROUNDS {
            bare.push(requests(&home.path().join("run/agentd.sock"), times).await);
            alone.push(charges(&store, times, 1).await);
            crowded.push(charges(&store, times, CALLERS).await);
        }
        store.close().await;
        running.stop(std::future::pending()).await;
    });
    let each = |rounds: &mut Vec<Duration>| {
        rounds.sort_unstable();
        rounds[ROUNDS / 2].as_secs_f64() * 1e6 / f64::from(times)
    };
    let (bare, alone, crowded) = (each(&mut bare), each(&mut alone), each(&mut crowded));
    println!("{times} of each, {ROUNDS} rounds, the median round");
    println!("a look on the socket      {bare:9.2} µs");
    println!("a charge                  {alone:9.2} µs  {:6.2} % of it", 100.0 * alone / bare);
    println!("a charge, {CALLERS} at once     {crowded:9.2} µs  {:6.2} % of it", 100.0 * crowded / bare);
    let kept = alone / bare <= PROMISED;
    println!("promised at most {:.0} %: {}", 100.0 * PROMISED, if kept { "kept" } else { "BROKEN" });
    std::process::exit(i32::from(!kept));
}

fn settings_of_a_daemon(home: &Path) -> String {
    let place = |name: &str| home.join(name).display().to_string();
    format!(
        "schema = 1\n[daemon]\nstate_dir = {:?}\nsocket = {:?}\n",
        place("state"),
        place("run/agentd.sock")
    )
}

/// One after another over one connection: what is not counted.
async fn requests(socket: &Path, times: u32) -> Duration {
    let stream = UnixStream::connect(socket).await.expect("connects");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("speaks HTTP");
    tokio::spawn(connection);
    let began = Instant::now();
    for _ in 0..times {
        let request = Request::get("/v1/waivers/list").header("host", "agentd").body(Empty::<Bytes>::new());
        sender.ready().await.expect("still connected");
        let answer = sender.send_request(request.expect("a request")).await.expect("answered");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("a body");
    }
    began.elapsed()
}

/// The same number of charges against an hour and a rate that bound it, by one caller or by many.
async fn charges(store: &Store, times: u32, callers: usize) -> Duration {
    let ample = QuotaSettings {
        per_hour: Some(1_000_000_000),
        per_second: Some(1_000_000),
        burst: Some(1_000_000),
        block: Some(100),
    };
    let quotas = Quotas { users: ample, ..Quotas::default() };
    let (_settings, in_force) = watch::channel(Arc::new(Settings { quotas, ..Settings::default() }));
    let meter = Meter::new(in_force, store.clone(), Clock::system());
    let identity = Identity { uid: 1000, gid: 1000, pid: Some(1) };
    let caller = Caller::by_socket(identity, Role::Operator, None);
    let began = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let (meter, caller) = (meter.clone(), caller.clone());
        all.spawn(async move {
            for _ in 0..times as usize / callers {
                meter.charge(&caller, Permission::ReadinessWaive).await.expect("served");
            }
        });
    }
    all.join_all().await;
    began.elapsed()
}
