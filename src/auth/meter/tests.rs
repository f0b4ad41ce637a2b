use super::*;
use crate::{
    config::{QuotaSettings, Quotas, StoreSettings},
    domain::{Act, AgentName, Identity, Role},
};
use jiff::Timestamp;
use std::path::Path;
use tempfile::TempDir;
use tokio::task::JoinSet;

const LIMIT: u64 = 1_000;
const BLOCK: u32 = 90;

struct Scene {
    home: TempDir,
    store: Store,
    meter: Meter,
    settings: watch::Sender<Arc<Settings>>,
}

fn quota(per_hour: u64) -> QuotaSettings {
    QuotaSettings {
        per_hour: Some(per_hour),
        per_second: Some(0),
        block: Some(BLOCK),
        ..QuotaSettings::default()
    }
}

fn all(quota: QuotaSettings) -> Settings {
    let quotas = Quotas { users: quota, services: quota, agents: quota, ..Quotas::default() };
    Settings { quotas, ..Settings::default() }
}

fn open(home: &Path, clock: &Clock) -> Store {
    let settings = StoreSettings { readers_min: 1, readers_max: 2, ..StoreSettings::default() };
    Store::open(&home.join("agentd.db"), &home.join("backups"), &settings, clock.clone()).expect("opens")
}

impl Scene {
    fn new(settings: Settings, clock: Clock) -> Self {
        Self::at(tempfile::tempdir().expect("a directory"), settings, clock)
    }

    fn at(home: TempDir, settings: Settings, clock: Clock) -> Self {
        let store = open(home.path(), &clock);
        let (settings, in_force) = watch::channel(Arc::new(settings));
        Self { meter: Meter::new(in_force, store.clone(), clock), home, store, settings }
    }

    /// As after a crash: nothing was returned, and the file is what it is.
    async fn crashed(self, clock: Clock) -> Self {
        self.store.close().await;
        let settings = Settings::clone(&self.settings.borrow());
        Self::at(self.home, settings, clock)
    }

    async fn ask(&self, caller: &Caller) -> Result<Option<Allowance>, TurnedAway> {
        self.meter.charge(caller, Permission::AccessAsk).await
    }

    async fn drain(&self, caller: &Caller) -> u64 {
        let mut served = 0;
        while self.ask(caller).await.is_ok() {
            served += 1;
            assert!(served <= 2 * LIMIT, "it never ends");
        }
        served
    }
}

fn uid(uid: u32) -> Caller {
    Caller::by_socket(Identity { uid, gid: uid, pid: Some(1) }, Role::Operator, None)
}

fn agent(name: &str) -> Caller {
    let name: AgentName = name.parse().expect("a name");
    Caller::by_socket(Identity { uid: 7, gid: 7, pid: Some(1) }, Role::Agent, Some(name))
}

fn at(time: &str) -> Clock {
    Clock::anchored(time.parse::<Timestamp>().expect("a time"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn thirty_two_callers_at_once_are_served_exactly_the_quota_with_few_writes() {
    let scene = Scene::new(all(quota(LIMIT)), at("2026-01-01T10:00:00Z"));
    let writes = scene.store.stats().writes;
    let mut callers = JoinSet::new();
    for _ in 0..32 {
        let meter = scene.meter.clone();
        callers.spawn(async move {
            let mut left = Vec::new();
            let mut refused = 0;
            for _ in 0..50 {
                match meter.charge(&agent("orders"), Permission::AccessAsk).await {
                    Ok(allowance) => left.push(allowance.expect("it is bounded").remaining),
                    Err(refusal) => {
                        let Allowance { limit, remaining, .. } = refusal.allowance;
                        assert_eq!((refusal.fault.kind, limit, remaining), (FaultKind::Busy, LIMIT, 0));
                        refused += u64::from(refusal.first);
                    }
                }
            }
            (left, refused)
        });
    }
    let ends = callers.join_all().await;
    let mut left: Vec<u64> = ends.iter().flat_map(|(left, _)| left).copied().collect();
    left.sort_unstable();
    assert!(left.iter().copied().eq(0..LIMIT), "{} served", left.len());
    assert_eq!(ends.iter().map(|(_, first)| first).sum::<u64>(), 1, "rows in the trail");
    let blocks = LIMIT.div_ceil(BLOCK.into());
    assert_eq!(scene.store.stats().writes - writes, blocks, "a write for each block and no other");
    assert!(scene.ask(&agent("payments")).await.is_ok(), "another pays for it");
}

#[tokio::test]
async fn after_a_crash_at_most_a_block_is_forfeit_and_after_a_stop_nothing() {
    let clock = at("2026-01-01T10:00:00Z");
    for (asked, stopped, expected) in
        [(1, false, LIMIT - u64::from(BLOCK) + 1), (90, false, LIMIT), (1, true, LIMIT), (145, true, LIMIT)]
    {
        let scene = Scene::new(all(quota(LIMIT)), clock.clone());
        for _ in 0..asked {
            scene.ask(&agent("orders")).await.expect("served");
        }
        if stopped {
            scene.meter.close().await;
        }
        let scene = scene.crashed(clock.clone()).await;
        assert_eq!(asked + scene.drain(&agent("orders")).await, expected, "{asked} {stopped}");
        let standing = scene.meter.standing_of("agent:orders".parse().expect("one")).await.expect("told").0;
        assert_eq!((standing.used, standing.remaining), (LIMIT, Some(0)));
    }
}

#[tokio::test]
async fn who_goes_away_in_a_reservation_costs_nobody_a_block() {
    let one_by_one = QuotaSettings { block: Some(1), ..quota(100) };
    let scene = Scene::new(all(one_by_one), at("2026-01-01T10:00:00Z"));
    let (orders, mut served, mut left) = (agent("orders"), 0, 0);
    for _ in 0..40 {
        // Polled once, so that a reservation is under way; then dropped.
        match tokio::time::timeout(Duration::ZERO, scene.ask(&orders)).await {
            Ok(served_at_once) => served += u64::from(served_at_once.is_ok()),
            Err(_gone) => left += 1,
        }
    }
    assert!(left > 0, "nobody went away");
    assert_eq!(served + scene.drain(&orders).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_back_gives_no_second_quota_and_locks_nobody_out_for_long() {
    let orders = agent("orders");
    let scene = Scene::new(all(quota(LIMIT)), at("2099-12-31T23:30:00Z"));
    assert_eq!(scene.drain(&orders).await, LIMIT);
    // The daemon starts again with a clock that was put right, or wrong.
    for earlier in ["2099-12-31T23:29:59Z", "2099-12-31T20:00:00Z", "2026-06-01T12:40:00Z"] {
        let again = Scene::new(all(quota(LIMIT)), at("2099-12-31T23:30:00Z"));
        assert_eq!(again.drain(&orders).await, LIMIT);
        let again = again.crashed(at(earlier)).await;
        let refusal = again.ask(&orders).await.expect_err("a second quota");
        assert!(refusal.allowance.reset_s <= 3660, "{earlier}: {refusal:?}");
        tokio::time::advance(Duration::from_secs(refusal.allowance.reset_s - 1)).await;
        assert!(again.ask(&orders).await.is_err(), "{earlier}: it was told another time");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(again.drain(&orders).await, LIMIT, "{earlier}");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(again.drain(&orders).await, LIMIT, "{earlier}: the hour after that");
    }
    // Set forward, and the hour is another one.
    let scene = scene.crashed(at("2100-01-01T00:00:00Z")).await;
    assert_eq!(scene.drain(&orders).await, LIMIT);
}

#[tokio::test]
async fn what_is_never_counted_is_served_when_nothing_is_left_and_costs_no_write() {
    let scene = Scene::new(all(quota(1)), at("2026-01-01T10:00:00Z"));
    let (operator, orders) = (uid(1000), agent("orders"));
    assert_eq!((scene.drain(&operator).await, scene.drain(&orders).await), (1, 1));
    let writes = scene.store.stats().writes;
    for _ in 0..1_000 {
        assert!(scene.meter.charge(&operator, Permission::FleetRead).await.expect("served").is_none());
        assert!(scene.meter.charge(&orders, Permission::AgentReport).await.expect("served").is_none());
    }
    assert_eq!(scene.store.stats().writes, writes);
    // What is not his, by his role, by a session, or as another kind of principal, is counted.
    assert!(scene.meter.charge(&operator, Permission::PolicyChange).await.is_err());
    let by_session = Caller { means: Means::Session("s".into()), ..operator.clone() };
    assert!(scene.meter.charge(&by_session, Permission::FleetRead).await.is_err());
    let admin = Caller { role: Role::Admin, ..operator };
    assert!(scene.meter.charge(&admin, Permission::PolicyChange).await.expect("served").is_none());
    assert!(scene.meter.charge(&orders, Permission::FleetRead).await.is_err());
}

#[tokio::test]
async fn a_reload_counts_at_once_and_unbounded_is_nothing_at_all() {
    let scene = Scene::new(all(quota(10)), at("2026-01-01T10:00:00Z"));
    let orders = agent("orders");
    assert_eq!(scene.drain(&orders).await, 10);
    scene.settings.send_replace(Arc::new(all(quota(25))));
    assert_eq!(scene.drain(&orders).await, 15);
    scene.settings.send_replace(Arc::new(all(quota(5))));
    assert_eq!(scene.drain(&orders).await, 0);
    scene.settings.send_replace(Arc::new(all(quota(0))));
    assert!(scene.ask(&orders).await.expect("served").is_none());
}

#[tokio::test]
async fn what_cannot_be_counted_is_not_served() {
    let scene = Scene::new(all(quota(LIMIT)), at("2026-01-01T10:00:00Z"));
    scene.ask(&agent("orders")).await.expect("served");
    scene.store.close().await;
    let refusal = scene.ask(&agent("payments")).await.expect_err("nothing was reserved for it");
    assert_eq!(refusal.fault.kind, FaultKind::Unavailable);
    assert!(refusal.fault.message.contains("agent:payments") && refusal.fault.hint.is_some(), "{refusal:?}");
    // What was reserved before is served.
    assert!(scene.ask(&agent("orders")).await.is_ok());
    assert!(scene.meter.charge(&uid(0), Permission::FleetRead).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_speed_refuses_a_burst_and_recovers_and_costs_nothing_of_the_hour() {
    let speed = QuotaSettings { per_second: Some(10), burst: Some(20), ..quota(LIMIT) };
    let scene = Scene::new(all(speed), Clock::anchored(Timestamp::UNIX_EPOCH));
    let orders = agent("orders");
    let mut served = 0;
    let refusal = loop {
        match scene.ask(&orders).await {
            Ok(_) => served += 1,
            Err(refusal) => break refusal,
        }
        assert!(served <= 100, "nothing bounds it");
    };
    assert_eq!((served, refusal.fault.kind), (20, FaultKind::Busy));
    assert_eq!((refusal.allowance.limit, refusal.allowance.retry_after_s), (20, Some(1)));
    assert!(scene.ask(&agent("payments")).await.is_ok(), "another pays for it");
    tokio::time::advance(Duration::from_millis(300)).await;
    let again = (0..9).map(|_| scene.ask(&orders));
    assert_eq!(join_all(again).await.iter().filter(|end| end.is_ok()).count(), 3);
    let standing = scene.meter.standing_of("agent:orders".parse().expect("one")).await.expect("told").0;
    assert_eq!((standing.used, standing.refused, standing.at_once), (23, 7, Some(0)));
    // Heartbeats count for it too: a flood of them is a flood.
    assert!(scene.meter.charge(&orders, Permission::AgentReport).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_waits_and_no_other_does() {
    let scene = Scene::new(Settings::default(), Clock::anchored(Timestamp::UNIX_EPOCH));
    let (wrong, right) = (uid(1000), uid(1001));
    for _ in 0..21 {
        assert!(scene.meter.patience(&wrong).is_ok());
        scene.meter.failed(&wrong);
    }
    let refusal = scene.meter.patience(&wrong).expect_err("it waits");
    assert_eq!((refusal.fault.kind, refusal.allowance.retry_after_s), (FaultKind::Busy, Some(1)));
    assert!(refusal.first && !scene.meter.patience(&wrong).expect_err("it waits").first);
    // An agent under the same uid, known by the kernel, is a source of its own; another uid too.
    let own = Caller { principal: agent("orders").principal, ..wrong.clone() };
    assert!(scene.meter.patience(&own).is_ok() && scene.meter.patience(&right).is_ok());
    // What the kernel says needs no key.
    assert!(scene.meter.charge(&wrong, Permission::FleetRead).await.is_ok());
    let standing = scene.meter.standings().await.expect("told");
    assert_eq!(standing.len(), 1);
    assert_eq!(standing[0].penalty, Some(Penalty { failures: 21, waits_s: 1 }));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(scene.meter.patience(&wrong).is_ok());
    scene.meter.failed(&wrong);
    let refusal = scene.meter.patience(&wrong).expect_err("it waits longer");
    assert_eq!(refusal.allowance.retry_after_s, Some(2));
    scene.meter.reset(wrong.principal.clone(), Act::new(&uid(0), "quotas/reset", "")).await.expect("reset");
    assert!(scene.meter.patience(&wrong).is_ok());
}

#[tokio::test]
async fn a_reset_gives_the_hour_anew_even_over_a_crash_and_to_nobody_else() {
    let clock = at("2026-01-01T10:15:00Z");
    let scene = Scene::new(all(quota(LIMIT)), clock.clone());
    let (orders, payments) = (agent("orders"), agent("payments"));
    assert_eq!((scene.drain(&orders).await, scene.drain(&payments).await), (LIMIT, LIMIT));
    let act = Act::new(&uid(0), "quotas/reset", "");
    scene.meter.reset(orders.principal.clone(), act).await.expect("reset");
    assert!(scene.ask(&orders).await.is_ok() && scene.ask(&payments).await.is_err());
    let all = scene.meter.standings().await.expect("told");
    let told: Vec<_> = all.iter().map(|of| (of.name.to_string(), of.used, of.refused)).collect();
    assert_eq!(told, [("agent:orders".to_owned(), 1, 0), ("agent:payments".to_owned(), LIMIT, 2)]);
    assert_eq!((all[0].resets_in_s, all[0].resets_at.to_string().as_str()), (2700, "2026-01-01T11:00:00Z"));
    let scene = scene.crashed(clock).await;
    assert_eq!(scene.drain(&orders).await, LIMIT - u64::from(BLOCK));
}
