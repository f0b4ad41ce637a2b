//! A runtime of its own for one validation, or one rehearsal: its threads, and the scratch processes that they start, give way to the fleet.
use crate::domain::Fault;
use rustix::{
    process::setpriority_process,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
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
        let cores = sched_getaffinity(None).ok().map(|all| half(&all));
        Builder::new_multi_thread()
            .thread_name("validation")
            .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4)))
            .on_thread_start(move || {
                // Children and threads inherit both. Where one is refused a validation is felt a little more.
                let _ = setpriority_process(None, wanted);
                let _ = cores.as_ref().map(|cores| sched_setaffinity(None, cores));
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

/// The last half of these cores; all of one. What gives way by its niceness alone is still waited for until its slice
/// ends, milliseconds: whoever asks the fleet meanwhile is answered on the other half.
fn half(all: &CpuSet) -> CpuSet {
    let ours: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let mut half = CpuSet::new();
    for core in &ours[ours.len() / 2..] {
        half.set(*core);
    }
    half
}

fn niceness() -> i32 {
    rustix::process::getpriority_process(None).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_to_half_of_the_cores_that_it_may_use() {
        for (may, keeps) in
            [(vec![0], vec![0]), (vec![0, 1], vec![1]), (vec![2, 5, 7], vec![5, 7]), (vec![], vec![])]
        {
            let mut all = CpuSet::new();
            for core in &may {
                all.set(*core);
            }
            let half = half(&all);
            let kept: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| half.is_set(*core)).collect();
            assert_eq!(kept, keeps, "of {may:?}");
        }
    }

    #[tokio::test]
    async fn its_threads_and_their_children_give_way_and_it_ends_where_nobody_may_wait() {
        let (own, cores) = (niceness(), std::thread::available_parallelism().expect("a number").get());
        let aside = Aside::new().expect("threads");
        let (thread, blocking, child, on) = aside
            .spawn(async {
                let blocking = tokio::task::spawn_blocking(niceness).await.expect("no panic");
                let child = tokio::process::Command::new("nice").output().await.expect("it runs");
                let on = tokio::process::Command::new("nproc").output().await.expect("it runs");
                let text = |output: Vec<u8>| String::from_utf8(output).expect("text");
                (niceness(), blocking, text(child.stdout), text(on.stdout))
            })
            .await
            .expect("no panic");
        let wanted = (own + GIVE_WAY).min(19);
        assert_eq!((thread, blocking, child.trim()), (wanted, wanted, wanted.to_string().as_str()));
        assert_eq!(on.trim(), (cores - cores / 2).to_string(), "of {cores} cores");
        drop(aside);
        assert_eq!(niceness(), own, "the caller's own thread was changed");
    }
}
