//! Panics that nobody catches are failures too. Those that somebody catches are recorded by whoever does, with what they
//! were about; a hook that recorded them as well would count them twice.
use super::{Errors, Failure};
use crate::domain::{Fault, FaultCategory, FaultSeverity};
use std::{
    cell::Cell,
    future::Future,
    panic,
    pin::{Pin, pin},
    task::{Context, Poll},
    thread,
};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The store's writer catches what panics in an operation, and the operation's caller is told.
const CATCHING_THREADS: &[&str] = &["store-writer", "validation"];

/// Beside what the hook in force does.
pub fn hear_panics(errors: &Errors) {
    let (errors, before) = (errors.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |panic| {
        before(panic);
        let caught =
            EXPECTED.get() || thread::current().name().is_some_and(|name| CATCHING_THREADS.contains(&name));
        if caught {
            return;
        }
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = panic.payload_as_str().unwrap_or("no message");
        let fault = Fault::internal(format!("cannot go on at {at}: panicked: {why}"))
            .category(FaultCategory::Api)
            .severity(FaultSeverity::Critical)
            .hint("a defect of agentd: please report it with the lines around it in `agentctl daemon logs`");
        errors.record(Failure::new("panic", fault));
    }));
}

/// A future whose panics somebody catches.
pub async fn expecting_panics<F: Future>(work: F) -> F::Output {
    struct Expecting<'a, F>(Pin<&'a mut F>);
    impl<F: Future> Future for Expecting<'_, F> {
        type Output = F::Output;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
            /// Put back even where the poll unwinds.
            struct Before(bool);
            impl Drop for Before {
                fn drop(&mut self) {
                    EXPECTED.set(self.0);
                }
            }
            let _before = Before(EXPECTED.replace(true));
            self.0.as_mut().poll(context)
        }
    }
    Expecting(pin!(work)).await
}
