//! A runtime of its own for one validation, or one rehearsal: its threads, and the scratch processes that they start, give way to the fleet.
use crate::domain::Fault;
use rustix::process::setpriority_process;
use std::future::Future;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// Added to the niceness of the daemon: enough for the fleet's own work to go first, and not so much that a validation of a
/// busy machine starves.
const GIVE_WAY: i32 = 5;

/// Ended, without waiting, when dropped.
pub struct Aside {
    /// Taken at the end alone.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Aside {
    pub fn new() -> Result<Self, Fault> {
        // Once: a thread that is started by one of these has its niceness already.
        let wanted = niceness() + GIVE_WAY;
        Builder::new_multi_thread()
            .thread_name("validation")
            .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4)))
            .on_thread_start(move || {
                // Children and threads inherit it. Where it is refused a validation is felt a little more.
                let _ = setpriority_process(None, wanted);
            })
            .enable_all()
            .build()
            .map(|runtime| Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
            .map_err(|error| Fault::internal(format!("cannot start threads for a validation: {error}")))
    }

    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(work)
    }
}

impl Drop for Aside {
    /// The last of it may be dropped on another runtime's thread, which must not wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn niceness() -> i32 {
    rustix::process::getpriority_process(None).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_threads_and_their_children_give_way_and_it_ends_where_nobody_may_wait() {
        let own = niceness();
        let aside = Aside::new().expect("threads");
        let (thread, blocking, child) = aside
            .spawn(async {
                let blocking = tokio::task::spawn_blocking(niceness).await.expect("no panic");
                let child = tokio::process::Command::new("nice").output().await.expect("it runs");
                (niceness(), blocking, String::from_utf8(child.stdout).expect("text"))
            })
            .await
            .expect("no panic");
        let wanted = (own + GIVE_WAY).min(19);
        assert_eq!((thread, blocking, child.trim()), (wanted, wanted, wanted.to_string().as_str()));
        drop(aside);
        assert_eq!(niceness(), own, "the caller's own thread was changed");
    }
}
