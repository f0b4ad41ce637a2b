//! What is up, by name: agents and the dependencies that agentd does not run. Who waits for a name is woken by that
//! name alone, so a fleet that comes up costs one wake an edge, not one an agent and change.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody has said: not ready, and not known to be down.
    Unknown,
    Up,
    Down(String),
}

#[derive(Default)]
pub struct Needs(Mutex<BTreeMap<String, watch::Sender<Standing>>>);

impl Needs {
    /// Down for a reason, or up: `None`.
    pub fn report(&self, name: &str, down: Option<&str>) {
        let standing = down.map_or(Standing::Up, |reason| Standing::Down(reason.to_owned()));
        let mut topics = self.lock();
        let topic = topics.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(Standing::Unknown));
        topic.send_if_modified(|now| {
            let changed = *now != standing;
            *now = standing;
            changed
        });
    }

    /// Those of `names` that are not known to be up.
    pub fn missing(&self, names: &[String]) -> Vec<String> {
        let topics = self.lock();
        let is_up = |name: &String| topics.get(name).is_some_and(|topic| *topic.borrow() == Standing::Up);
        names.iter().filter(|name| !is_up(name)).cloned().collect()
    }

    /// Until every one of `names` has been up at some moment; ask `missing` again, one may have gone meanwhile.
    pub async fn wait(&self, names: &[String]) {
        for name in names {
            let mut topic = self.subscribe(name);
            // The sender lives in the map; if it is forgotten meanwhile, the name has left the manifest.
            let _ = topic.wait_for(|standing| *standing == Standing::Up).await;
        }
    }

    /// Everything that is known to be down, with the reason.
    pub fn down(&self) -> BTreeMap<String, String> {
        self.lock()
            .iter()
            .filter_map(|(name, topic)| match &*topic.borrow() {
                Standing::Down(reason) => Some((name.clone(), reason.clone())),
                _ => None,
            })
            .collect()
    }

    /// Drops what is in the manifest no longer.
    pub fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| wanted(name));
    }

    fn subscribe(&self, name: &str) -> watch::Receiver<Standing> {
        let mut topics = self.lock();
        topics.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(Standing::Unknown)).subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<Standing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn an_unknown_need_holds_up_and_is_not_called_down() {
        let needs = Arc::new(Needs::default());
        let names = ["db".to_owned(), "cache".to_owned()];
        needs.report("cache", None);
        assert_eq!(needs.missing(&names), ["db"]);
        assert!(needs.down().is_empty());
        let waiting = tokio::spawn({
            let (needs, names) = (needs.clone(), names.clone());
            async move { needs.wait(&names).await }
        });
        needs.report("db", Some("connection refused"));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(needs.down()["db"], "connection refused");
        needs.report("db", None);
        waiting.await.expect("woken");
        assert!(needs.missing(&names).is_empty() && needs.down().is_empty());
    }
}
