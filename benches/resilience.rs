//! What a call costs that goes through a closed breaker: by itself, and through the whole policy around it, beside the
//! same call made directly. The project promises that the breaker costs less than a microsecond.
use agentctl::{
    config::Settings,
    health::terms,
    resilience::{Breaker, Clock, Deadline, Failing, Failure, Policy, Terms},
};
use criterion::{Criterion, criterion_group, criterion_main};
use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

impl Failure for Down {
    fn failing(&self) -> Failing {
        Failing::Lasting
    }
}

async fn answers(number: u64) -> Result<u64, Down> {
    if black_box(number) == u64::MAX { Err(Down) } else { Ok(number + 1) }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn default_terms() -> Terms {
    terms(&Settings::default().policy("default", None))
}

async fn guarded(breaker: &Breaker, number: u64) -> Result<u64, Down> {
    let permit = breaker.admit().map_err(|_| Down)?;
    let answer = answers(number).await;
    match &answer {
        Ok(_) => permit.succeeded(),
        Err(error) => permit.failed(|| error.to_string()),
    }
    answer
}

/// Of one call, the fastest of ten rounds.
fn cost(mut round: impl FnMut(u64)) -> Duration {
    const CALLS: u32 = 100_000;
    let rounds = (0..10).map(|_| {
        let began = Instant::now();
        (0..CALLS.into()).for_each(&mut round);
        began.elapsed() / CALLS
    });
    rounds.min().unwrap_or_default()
}

fn calls(criterion: &mut Criterion) {
    let runtime = runtime();
    let breaker = Breaker::new("bench", default_terms().breaker, Clock::system());
    let policy = Policy::new("bench", default_terms(), Clock::system());
    let mut group = criterion.benchmark_group("call");
    group.bench_function("direct", |bench| bench.iter(|| runtime.block_on(answers(black_box(7)))));
    group.bench_function("breaker", |bench| {
        bench.iter(|| runtime.block_on(guarded(&breaker, black_box(7))));
    });
    group.bench_function("policy", |bench| {
        bench.iter(|| runtime.block_on(policy.call(Deadline::far(), |_| answers(black_box(7)))));
    });
    group.finish();

    let direct = cost(|number| drop(black_box(runtime.block_on(answers(number)))));
    let breaker = cost(|number| drop(black_box(runtime.block_on(guarded(&breaker, number)))));
    let policy =
        cost(|number| drop(black_box(runtime.block_on(policy.call(Deadline::far(), |_| answers(number))))));
    let over = breaker.saturating_sub(direct);
    println!("direct {direct:?}, breaker {breaker:?} (+{over:?}, promised under 1µs), policy {policy:?}");
    assert!(over < Duration::from_micros(1), "a closed breaker costs {over:?}");
}

criterion_group!(benches, calls);
criterion_main!(benches);
