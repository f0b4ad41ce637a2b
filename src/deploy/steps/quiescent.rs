//! Nothing of the fleet is alive: asked of the kernel, not of our own records.
use super::hands::Hands;
use crate::{
    domain::{Fault, FaultKind},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// What was killed needs a moment to be gone.
const GONE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

pub struct Quiescent(pub Arc<Hands>);

impl Step for Quiescent {
    fn name(&self) -> &'static str {
        super::QUIESCENT
    }

    fn title(&self) -> &'static str {
        super::title(super::QUIESCENT)
    }

    fn run<'a>(&'a self, _at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let end = Instant::now() + GONE;
            loop {
                let alive = self.0.supervisor.living().await?;
                if alive.is_empty() {
                    return Ok(json!({ "alive": 0 }));
                }
                if Instant::now() >= end {
                    let some: Vec<String> = alive.iter().take(10).map(i32::to_string).collect();
                    let message = format!(
                        "cannot call the fleet quiescent: {} of its processes live, among them {}",
                        alive.len(),
                        some.join(", ")
                    );
                    return Err(Fault::new(FaultKind::Timeout, message).hint("the daemon's log names them"));
                }
                sleep(LOOK).await;
            }
        })
    }

    fn undo<'a>(&'a self, _at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}
