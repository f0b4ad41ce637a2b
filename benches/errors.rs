//! What it costs whoever fails to have the failure recorded: cleaned, fingerprinted and counted, in memory.
//!
//!     cargo bench --bench errors
use agentctl::{
    config::{ErrorSettings, StoreSettings},
    domain::{Fault, FaultKind, pattern},
    errors::{Errors, Failure},
    resilience::Clock,
    store::Store,
};
use criterion::Criterion;
use std::hint::black_box;

const MESSAGE: &str = "cannot find orders/3 well: ready: no answer from http://127.0.0.1:8003/health within 900 ms (id 7f3a9c2e)";

fn main() {
    let home = tempfile::tempdir().expect("a directory");
    let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
    let store = Store::open(&path, &backups, &StoreSettings::default(), Clock::system()).expect("a store");
    // Without a runtime nothing is written meanwhile: this is the caller's part alone.
    let errors = Errors::open(&ErrorSettings::default(), store, Clock::system());
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("record", |bench| {
        bench.iter(|| {
            errors.record(Failure::new("probe", Fault::new(FaultKind::Unavailable, black_box(MESSAGE))))
        });
    });
    criterion.bench_function("pattern", |bench| bench.iter(|| pattern(black_box(MESSAGE))));
    criterion.final_summary();
}
