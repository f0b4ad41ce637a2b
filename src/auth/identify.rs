//! Peer credentials → Caller. Any doubt refuses.
use super::{Granted, Policy};
use crate::{
    config::Settings,
    domain::{AgentName, Caller, Fault, FaultKind, Identity, Role},
};

/// What `auth` wants to know of running agents; `boot` supplies it from the supervisor.
pub trait Directory: Send + Sync {
    /// The agent this process belongs to by uid or cgroup, if any.
    fn agent_of(&self, identity: &Identity) -> Result<Option<AgentName>, Fault>;
}

/// Settles who calls. An agent is an agent whatever its uid may be mapped to; only then do users and groups count.
pub fn identify(identity: Identity, policy: &Policy, directory: &dyn Directory) -> Result<Caller, Fault> {
    if identity.uid == u32::MAX {
        return Err(Fault::new(FaultKind::Forbidden, "cannot tell who is calling: the kernel gives no uid"));
    }
    if let Some(agent) = directory.agent_of(&identity).map_err(|doubt| {
        Fault::new(FaultKind::Forbidden, format!("cannot tell who is calling: {}", doubt.message))
    })? {
        return Ok(Caller::by_socket(identity, Role::Agent, Some(agent)));
    }
    Ok(Caller::by_socket(identity, role_of(&identity, policy)?, None))
}

/// The same caller by the settings in force: what a reload gave or took counts on connections that are open already.
/// That it is an agent, or is none, stays as the kernel said when it connected: its pid may be another's by now.
pub fn still(caller: Caller, policy: &Policy, settings: &Settings) -> Result<Caller, Fault> {
    if caller.agent.is_none() {
        let role = role_of(&caller.identity, policy)?;
        return Ok(Caller::by_socket(caller.identity, role, None));
    }
    Ok(match Granted::by_file(settings, &caller.principal) {
        Granted::Now(grant) => Caller { application_role: grant.role, clients: grant.clients, ..caller },
        Granted::Over(_) | Granted::Unknown => caller,
    })
}

fn role_of(identity: &Identity, policy: &Policy) -> Result<Role, Fault> {
    policy.role(identity).ok_or_else(|| {
        Fault::new(
            FaultKind::Forbidden,
            format!("cannot let uid {} (gid {}) in: it has no role here", identity.uid, identity.gid),
        )
        .hint("ask an administrator to add you under [access] in agentd.toml")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::AccessSettings, domain::Clients};

    struct Fixed(Result<Option<&'static str>, &'static str>);

    impl Directory for Fixed {
        fn agent_of(&self, _identity: &Identity) -> Result<Option<AgentName>, Fault> {
            match self.0 {
                Ok(name) => Ok(name.map(|name| name.parse().expect("a name"))),
                Err(why) => Err(Fault::internal(why)),
            }
        }
    }

    fn policy() -> Policy {
        let access = AccessSettings { viewer_users: vec!["4242".into()], ..AccessSettings::default() };
        Policy::resolve(&access, &Names::default(), 1000).0
    }

    use super::super::Names;

    fn peer(uid: u32) -> Identity {
        Identity { uid, gid: uid, pid: Some(77) }
    }

    #[test]
    fn any_doubt_refuses_even_root() {
        let doubt = Fixed(Err("cannot read /proc/77/cgroup"));
        for uid in [0, 1000, 4242] {
            let fault = identify(peer(uid), &policy(), &doubt).expect_err("refused");
            assert_eq!(fault.kind, FaultKind::Forbidden);
            assert!(fault.message.contains("/proc/77/cgroup"), "{fault}");
        }
        assert!(identify(peer(u32::MAX), &policy(), &Fixed(Ok(None))).is_err());
    }

    #[test]
    fn an_unmapped_uid_is_refused_and_told_where_to_ask() {
        let fault = identify(peer(65534), &policy(), &Fixed(Ok(None))).expect_err("refused");
        assert_eq!(fault.kind, FaultKind::Forbidden);
        assert!(fault.hint.is_some_and(|hint| hint.contains("[access]")));
    }

    #[test]
    fn an_agent_stays_an_agent_whatever_its_uid() {
        for uid in [0, 1000, 4242, 65534] {
            let caller = identify(peer(uid), &policy(), &Fixed(Ok(Some("orders")))).expect("let in");
            assert_eq!(caller.role, Role::Agent);
            assert_eq!(caller.agent.expect("its name").as_str(), "orders");
        }
        assert_eq!(identify(peer(4242), &policy(), &Fixed(Ok(None))).expect("let in").role, Role::Viewer);
    }

    #[test]
    fn a_role_that_was_taken_away_is_gone_on_the_next_request() {
        let viewer = identify(peer(4242), &policy(), &Fixed(Ok(None))).expect("let in");
        let settings = Settings::default();
        assert_eq!(still(viewer.clone(), &policy(), &settings).expect("let in"), viewer);
        let none = Policy::resolve(&AccessSettings::default(), &Names::default(), 1000).0;
        assert_eq!(still(viewer.clone(), &none, &settings).expect_err("refused").kind, FaultKind::Forbidden);
        let access = AccessSettings { operator_users: vec!["4242".into()], ..AccessSettings::default() };
        let more = Policy::resolve(&access, &Names::default(), 1000).0;
        assert_eq!(still(viewer, &more, &settings).expect("let in").role, Role::Operator);
    }

    #[test]
    fn an_agent_has_what_the_file_grants_it_and_without_that_nobodys_data() {
        let agent = || identify(peer(4242), &policy(), &Fixed(Ok(Some("orders")))).expect("let in");
        assert_eq!((agent().application_role, agent().clients), (None, Clients::None));
        let orders = serde_json::json!({
            "name": "orders", "kind": "process", "role": "support", "clients": ["7"],
        });
        let settings = serde_json::json!({ "agent": [orders] });
        let settings = serde_json::from_value(settings).expect("settings");
        let caller = still(agent(), &policy(), &settings).expect("let in");
        assert_eq!((caller.role, caller.application_role.as_deref()), (Role::Agent, Some("support")));
        assert_eq!(caller.clients, Clients::Only(["7".into()].into()));
    }
}
