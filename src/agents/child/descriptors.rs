//! The limit of open files: the daemon raises its own, and its children get back what it was started with. A program
//! that walks all descriptors it might have (Python 2, old JVMs) or uses select would not bear half a million.
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// What this process was started with.
static AT_START: OnceLock<Rlimit> = OnceLock::new();

/// Raises our soft limit to the hard one and says what it is now; remembers the old one for `Child::spawn`.
pub fn raise_open_files() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let before = AT_START.get_or_init(|| now);
    match setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }) {
        Ok(()) => before.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            now.current.unwrap_or(u64::MAX)
        }
    }
}

/// Soft and hard limit of a child: what its settings say, else what we were started with; none if we never raised ours.
pub(super) fn for_child(asked: Option<u64>) -> Option<(u64, u64)> {
    match asked {
        Some(bound) => Some((bound, bound)),
        None => AT_START.get().map(|limit| (number(limit.current), number(limit.maximum))),
    }
}

/// `RLIM_INFINITY` is the largest number there is.
fn number(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::child::{Child, fixture::Scene};

    #[tokio::test]
    async fn a_child_gets_back_the_limit_that_we_were_started_with() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let low = Some(4000).filter(|low| maximum.is_none_or(|maximum| *low < maximum));
        let Some(low) = low else { return }; // a machine that gives no more has nothing to raise
        setrlimit(Resource::Nofile, Rlimit { current: Some(low), maximum }).expect("lowered");
        raise_open_files();
        let raised = getrlimit(Resource::Nofile).current;
        assert_eq!(raised, maximum, "it was not raised: this shows nothing");
        let first =
            AT_START.get().and_then(|limit| limit.current).map_or_else(String::new, |n| n.to_string());
        let scene = Scene::new("ulimit -Sn; ulimit -Hn");
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        child.wait().await;
        let hard = maximum.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        assert_eq!(scene.printed(), format!("{first}\n{hard}\n"));
        assert_ne!(Some(first), raised.map(|n| n.to_string()), "the daemon's own limit leaked");
    }
}
