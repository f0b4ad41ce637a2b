//! The pool of readers brought to its end: refused in time, and whole again afterwards. Facts only, no judgement.
use super::{LONGEST_HOLD, ms};
use crate::store::{
    Store,
    error::{Answer, Result},
};
use rusqlite::Connection;
use std::{panic::resume_unwind, sync::mpsc as gate, time::Instant};
use tokio::{sync::mpsc, task::JoinSet, time::timeout_at};

/// How often the refusal is timed when it comes late.
const ATTEMPTS: usize = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct PoolFacts {
    pub readers_max: u32,
    /// How long a query may wait for a reader, in milliseconds.
    pub patience_ms: f64,
    /// Every reader was held at the same time.
    pub all_held: bool,
    /// What the query that came on top was told; none if it was served.
    pub refusal: Option<String>,
    /// How long that took, in milliseconds; the attempt that was nearest to the timer's, of up to three.
    pub refused_after_ms: f64,
    /// How long a plain timer of the same patience took beside it: how late the machine itself is.
    pub timer_ms: f64,
    /// From letting go to the next answer, in milliseconds; none if none came.
    pub recovered_after_ms: Option<f64>,
    /// After as many failing queries as there are readers, all can be held again.
    pub whole_after_failures: bool,
    /// The same after as many that panicked.
    pub whole_after_panics: bool,
    /// A reader whose query left a transaction open served no other query.
    pub fresh_after_transactions: bool,
}

impl Store {
    /// One query more than there are readers: refused in time? And are all readers there again afterwards, also
    /// after queries that fail or panic? Takes about as long as a query may wait for a reader.
    pub async fn prove_pool_exhaustion(&self) -> Result<PoolFacts> {
        let what = "read in a crowded pool";
        let patience = self.readers().patience;
        let held = self.hold_all().await;
        let (mut refusal, mut refused_after_ms, mut timer_ms) = (None, f64::INFINITY, 0.0);
        for _ in 0..ATTEMPTS {
            let asked = Instant::now();
            let timer = async {
                tokio::time::sleep(patience).await;
                ms(asked)
            };
            let refused = async {
                let refusal = self.read(what, |_| Ok(())).await.err().map(|error| error.message);
                (refusal, ms(asked))
            };
            let (timer, (said, after)) = tokio::join!(timer, refused);
            let served = said.is_none();
            if after - timer < refused_after_ms - timer_ms || served {
                (refusal, refused_after_ms, timer_ms) = (said, after, timer);
            }
            // A busy machine can only make it later, so the first that is in time is enough.
            if served || refused_after_ms - timer_ms < timer_ms / 10.0 {
                break;
            }
        }
        let all_held = held.is_some();
        drop(held);
        let let_go = Instant::now();
        let recovered = self.read(what, |_| Ok(())).await.is_ok();
        let recovered_after_ms = recovered.then(|| ms(let_go));
        let whole_after_failures = self.whole_after(|c| Ok(c.execute_batch("SELECT * FROM nowhere")?)).await;
        let whole_after_panics = self.whole_after(|_| resume_unwind(Box::new("on purpose"))).await;
        // One more than there are readers, so that one that came back is met again: no transaction begins within another.
        let mut fresh_after_transactions = true;
        for _ in 0..=self.readers().max {
            fresh_after_transactions &= self.read(what, |c| Ok(c.execute_batch("BEGIN")?)).await.is_ok();
        }
        Ok(PoolFacts {
            readers_max: self.readers().max,
            patience_ms: patience.as_secs_f64() * 1e3,
            all_held,
            refusal,
            refused_after_ms,
            timer_ms,
            recovered_after_ms,
            whole_after_failures,
            whole_after_panics,
            fresh_after_transactions,
        })
    }

    /// Holds every reader until the answer is dropped. None if they cannot all be had at once: one was refused, or the
    /// machine was too busy for too long.
    async fn hold_all(&self) -> Option<Held> {
        let max = self.readers().max;
        let limit = self.readers().patience * 2 + LONGEST_HOLD;
        let (told, mut held) = mpsc::unbounded_channel();
        let mut gates = Vec::new();
        let mut queries = JoinSet::new();
        for _ in 0..max {
            let (gate, wait) = gate::channel::<()>();
            let (store, told) = (self.clone(), told.clone());
            queries.spawn(async move {
                let hold = move |_: &Connection| {
                    let _ = told.send(());
                    let _ = wait.recv_timeout(limit * 2 + LONGEST_HOLD);
                    Ok(())
                };
                store.read("hold a reader", hold).await
            });
            gates.push(gate);
        }
        drop(told);
        let until = tokio::time::Instant::now() + limit;
        for _ in 0..max {
            // A query that ends now was refused, since none of those that hold has been let go.
            let got = timeout_at(until, async {
                tokio::select! {
                    got = held.recv() => got.is_some(),
                    _ = queries.join_next() => false,
                }
            });
            if !matches!(got.await, Ok(true)) {
                drop(gates);
                queries.join_all().await;
                return None;
            }
        }
        Some(Held { _gates: gates, _queries: queries })
    }

    async fn whole_after(&self, trouble: fn(&Connection) -> Answer<()>) -> bool {
        for _ in 0..self.readers().max {
            let _ = self.read("fail on purpose", trouble).await;
        }
        self.hold_all().await.is_some()
    }
}

/// Dropping it lets the readers go: first the gates, so that each query ends by itself.
struct Held {
    _gates: Vec<gate::Sender<()>>,
    _queries: JoinSet<Result<()>>,
}

#[cfg(test)]
mod tests {
    use crate::store::{
        open::Regime,
        scratch::{Flaw, Scratch},
    };

    #[tokio::test]
    async fn a_crowded_pool_refuses_in_time_and_recovers_and_the_proof_sees_when_it_does_not() {
        let sound = Scratch::tiny(Regime::DURABLE).prove_pool_exhaustion().await.expect("proved");
        assert!(sound.all_held && sound.whole_after_failures && sound.whole_after_panics, "{sound:?}");
        assert!(sound.refusal.as_ref().is_some_and(|said| said.contains("no reader of 2")), "{sound:?}");
        assert!(sound.refused_after_ms >= sound.patience_ms * 0.9, "{sound:?}");
        assert!(sound.recovered_after_ms.is_some() && sound.fresh_after_transactions, "{sound:?}");

        let leaky = Scratch::tiny(Flaw::LosesReaders.regime());
        let seen = leaky.prove_pool_exhaustion().await.expect("proved");
        assert!(!seen.whole_after_failures && !seen.whole_after_panics, "{seen:?}");
    }
}
