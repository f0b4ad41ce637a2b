//! Can what the manifest makes wait for an approval get one here? It takes agents that are apart and a second person.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    config::{AccessSettings, ApprovedBy, Settings},
    domain::Separation,
    readiness::{Evidence, Found, checks::configuration::is_development},
};
#[cfg(test)]
use futures_util::FutureExt;

pub async fn within_reach(evidence: &Evidence) -> Found {
    let own = rustix::process::geteuid().as_raw();
    judge(&evidence.settings, evidence.supervisor.separation(), own)
}

fn judge(settings: &Settings, apart: Separation, own: u32) -> Found {
    let approvals = &settings.approvals;
    if approvals.required.is_empty() {
        return Found::not_applicable("the manifest makes nothing wait for an approval");
    }
    let waiting: Vec<&str> = approvals.required.iter().map(String::as_str).collect();
    let mut wanting = Vec::new();
    if apart != Separation::OwnUser {
        wanting
            .push("nothing but goodwill separates an agent from the operator, so each is refused".to_owned());
    }
    // Root may always give one; where the daemon is another user's, that user is the second.
    if approvals.by == ApprovedBy::Another && own == 0 && !names_givers(&settings.access) {
        wanting.push("[access] names nobody beside root who could approve what root asks for".to_owned());
    }
    let found = match wanting.first() {
        None => Found::pass(format!("{} endpoints wait for an approval, and can get one", waiting.len())),
        Some(why) if is_development(&settings.environment) => Found::warn(why.clone()),
        Some(why) => Found::fail(format!("{why}, in {}", settings.environment)),
    };
    found.seen(format!("needs an approval: {} (source: [approvals])", waiting.join(", "))).all_seen(wanting)
}

/// Users and groups whose role has approval.give.
fn names_givers(access: &AccessSettings) -> bool {
    let AccessSettings { admin_users, operator_users, admin_groups, operator_groups, .. } = access;
    let others = |names: &[String]| names.iter().any(|name| name != "0" && name != "root");
    [admin_users, operator_users, admin_groups, operator_groups].into_iter().any(|names| others(names))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-044",
    at_work: || {
        async {
            let say = |operators: &[&str], apart, environment: &str| {
                let mut settings = Settings { environment: environment.into(), ..Settings::default() };
                settings.approvals.required.insert("waivers/add".into());
                settings.access.operator_users = operators.iter().map(|&name| name.to_owned()).collect();
                judge(&settings, apart, 0)
            };
            Tried {
                sound: vec![say(&["ana"], Separation::OwnUser, "production")],
                broken: vec![
                    ("an agent of the operator's uid", say(&["ana"], Separation::None, "production")),
                    ("an agent that can leave its cgroup", say(&["ana"], Separation::OwnCgroup, "staging")),
                    ("nobody but root to ask", say(&["root", "0"], Separation::OwnUser, "production")),
                    ("the same in development", say(&[], Separation::None, "dev")),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn nothing_required_is_nothing_to_judge_and_development_is_only_warned() {
        let mut settings = Settings::default();
        assert_eq!(judge(&settings, Separation::None, 0).outcome, Outcome::NotApplicable);
        settings.approvals.required.insert("config/reload".into());
        assert_eq!(judge(&settings, Separation::None, 1000).outcome, Outcome::Warn);
        // The daemon's own user and root are two.
        assert_eq!(judge(&settings, Separation::OwnUser, 1000).outcome, Outcome::Pass);
        settings.environment = "staging".into();
        assert_eq!(judge(&settings, Separation::None, 1000).outcome, Outcome::Fail);
        assert_eq!(judge(&settings, Separation::OwnUser, 0).outcome, Outcome::Fail);
        settings.approvals.by = ApprovedBy::Anybody;
        assert_eq!(judge(&settings, Separation::OwnUser, 0).outcome, Outcome::Pass);
    }
}
