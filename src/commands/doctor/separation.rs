//! What keeps agents from acting as the operator: as the daemon sees it, or else as the manifest would have it.
use super::item::Item;
use crate::{
    cli::Ctl,
    commands::status::{Request, Status},
    config::Settings,
    domain::Separation,
};
use std::time::Duration;
use tokio::time::timeout;

const ASK: Duration = Duration::from_secs(5);
const NAME: &str = "separation";
const WAY_OUT: &str = "run agentd as root, as its unit does, and leave `user` at \"auto\"; until then what needs an \
                       approval is refused";

pub async fn look(ctl: &Ctl, settings: &Settings) -> Item {
    let request = Request { all: false, most: 1 };
    let seen = match timeout(ASK, ctl.client.call::<Status>(&request)).await {
        Ok(Ok(status)) => Some((status.daemon.separation, status.tiers.is_empty())),
        // The item of the daemon says why.
        Ok(Err(_)) | Err(_) => None,
    };
    judge(seen, settings, rustix::process::geteuid().is_root())
}

/// `seen` is the weakest separation that the daemon knows of, and whether it has no agents.
fn judge(seen: Option<(Separation, bool)>, settings: &Settings, root: bool) -> Item {
    let enabled = || settings.agents.iter().filter(|agent| agent.enabled);
    match seen {
        Some((_, true)) => Item::ok(NAME, "no agent that could act as you"),
        Some((Separation::OwnUser, _)) => Item::ok(NAME, "every agent that runs has a user of its own"),
        Some(_) => {
            Item::warn(NAME, "only goodwill keeps agents that run from acting as the operator", WAY_OUT)
        }
        None if enabled().next().is_none() => Item::ok(NAME, "no agent that could act as you"),
        None if !root => Item::warn(
            NAME,
            "an agentd of yours would run agents as you: only goodwill would keep them from acting as you",
            WAY_OUT,
        ),
        None => {
            let same =
                enabled().filter(|agent| matches!(agent.user.as_deref(), Some("inherit" | "root" | "0")));
            let same: Vec<&str> = same.map(|agent| agent.name.as_str()).collect();
            match same.as_slice() {
                [] => Item::ok(NAME, "under root each agent gets a user of its own"),
                some => Item::warn(NAME, format!("{} would run as root itself", some.join(", ")), WAY_OUT),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::item::State, *};

    fn manifest(user: &str) -> Settings {
        let agent = serde_json::json!({ "name": "orders", "kind": "process", "user": user });
        serde_json::from_value(serde_json::json!({ "agent": [agent] })).expect("settings")
    }

    #[test]
    fn goodwill_is_told_whether_or_not_the_daemon_runs() {
        let none = Settings::default();
        for (seen, settings, root, state) in [
            (Some((Separation::OwnUser, false)), manifest("inherit"), false, State::Ok),
            (Some((Separation::None, false)), manifest("auto"), true, State::Warn),
            (Some((Separation::OwnCgroup, false)), manifest("auto"), true, State::Warn),
            (Some((Separation::OwnUser, true)), manifest("auto"), true, State::Ok),
            (None, manifest("auto"), true, State::Ok),
            (None, manifest("inherit"), true, State::Warn),
            (None, manifest("auto"), false, State::Warn),
            (None, none, false, State::Ok),
        ] {
            assert_eq!(judge(seen, &settings, root).state, state, "{seen:?} {root}");
        }
    }
}
