//! What application roles may do, who was granted which, and the decision made of both. Whatever is not granted is
//! denied.
use crate::{
    config::{AgentSettings, RoleSettings, Settings},
    domain::{ApplicationPermission, Caller, Clients, Principal, PrincipalKind, ShippedRole},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One role in the applications: one that ships, or one of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationRole {
    pub name: String,
    pub about: String,
    pub permissions: BTreeSet<ApplicationPermission>,
    /// It is the file's own.
    pub custom: bool,
}

/// What a principal was given in the applications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// By name; the configuration in force says what it means.
    pub role: Option<String>,
    pub clients: Clients,
}

/// What is known of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    Now(Grant),
    /// It was, and is no longer: the sentence says why (`key 7f3a expired on 2026-11-01`).
    Over(String),
    /// Nobody here bears that name.
    Unknown,
}

/// The answer to `may it?`, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub allowed: bool,
    pub why: Reason,
    /// The role that was looked at, if there is one.
    pub role: Option<String>,
    /// The same as a sentence.
    pub reason: String,
}

/// From what is farthest from a yes to the yes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    UnknownPrincipal,
    /// What it was granted is revoked or has expired.
    GrantOver,
    NoRole,
    /// It has a role that the configuration in force does not know.
    UnknownRole,
    RoleLacksPermission,
    ClientNotGranted,
    /// It may for some clients only, and the question named none.
    ClientNotNamed,
    Granted,
}

/// The roles there are by the settings in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    roles: BTreeMap<String, ApplicationRole>,
}

impl Roles {
    pub fn of(settings: &Settings) -> Self {
        let shipped = ShippedRole::ALL.iter().map(ApplicationRole::from);
        let custom = settings.roles.iter().map(ApplicationRole::from);
        // Those that ship last: whatever a file says, they stay what they are.
        Self { roles: custom.chain(shipped).map(|role| (role.name.clone(), role)).collect() }
    }

    pub fn get(&self, name: &str) -> Option<&ApplicationRole> {
        self.roles.get(name)
    }

    /// Those that ship in the order of the documents, then the file's own by name.
    pub fn all(&self) -> impl Iterator<Item = &ApplicationRole> {
        let shipped = ShippedRole::ALL.iter().filter_map(|role| self.get(role.name));
        shipped.chain(self.roles.values().filter(|role| role.custom))
    }

    /// By all that is known of a principal: one grant that allows is enough, since whoever has it may use it. Where none
    /// does, the reason is that of the one that came nearest.
    pub fn decide(
        &self,
        principal: &Principal,
        grants: &[Granted],
        permission: ApplicationPermission,
        client: Option<&str>,
    ) -> Decision {
        let decided = grants.iter().map(|granted| self.by_one(principal, granted, permission, client));
        let nearest = decided.max_by_key(|decision| decision.why);
        nearest.unwrap_or_else(|| self.by_one(principal, &Granted::Unknown, permission, client))
    }

    fn by_one(
        &self,
        principal: &Principal,
        granted: &Granted,
        permission: ApplicationPermission,
        client: Option<&str>,
    ) -> Decision {
        let no = |why, role: Option<&str>, reason: String| Decision {
            allowed: false,
            why,
            role: role.map(str::to_owned),
            reason,
        };
        let grant = match granted {
            Granted::Now(grant) => grant,
            Granted::Over(what) => return no(Reason::GrantOver, None, what.clone()),
            Granted::Unknown => {
                let reason =
                    format!("{principal} is unknown: no agent of the file and no key bears that name");
                return no(Reason::UnknownPrincipal, None, reason);
            }
        };
        let Some(name) = &grant.role else {
            let reason = match principal.kind {
                PrincipalKind::User => {
                    format!("{principal} is a person, and people have no application role")
                }
                PrincipalKind::Agent => {
                    format!("{principal} has no application role: give it `role` under [[agent]]")
                }
                PrincipalKind::Service => format!("{principal} has no application role"),
            };
            return no(Reason::NoRole, None, reason);
        };
        let Some(role) = self.get(name) else {
            let reason = format!("its role {name} is not in the configuration in force");
            return no(Reason::UnknownRole, Some(name), reason);
        };
        let called = role.called();
        if !role.permissions.contains(&permission) {
            let reason = format!("{called} does not have {permission}");
            return no(Reason::RoleLacksPermission, Some(name), reason);
        }
        let has = format!("{called} has {permission}");
        match (client, reach(&grant.clients)) {
            (Some(client), count) if !grant.clients.include(client) => {
                let reason = format!("{has}, but client {client} is not among {count}");
                no(Reason::ClientNotGranted, Some(name), reason)
            }
            (None, count) if permission.is_about_clients() && grant.clients != Clients::All => {
                let reason = format!("{has}, but only for {count}, and the question named none");
                no(Reason::ClientNotNamed, Some(name), reason)
            }
            (client, count) => {
                let among = client.map(|client| format!(", and client {client} is among {count}"));
                let reason = format!("{has}{}", among.unwrap_or_default());
                Decision { allowed: true, why: Reason::Granted, role: Some(name.clone()), reason }
            }
        }
    }
}

impl Granted {
    /// What the file grants: agents are in it, and nobody else.
    pub fn by_file(settings: &Settings, principal: &Principal) -> Self {
        let named = |agent: &&AgentSettings| agent.name.as_str() == &*principal.name;
        match principal.kind {
            PrincipalKind::Agent => settings.agents.iter().find(named).map_or(Self::Unknown, |agent| {
                let clients = agent.clients.as_ref().map(Clients::from).unwrap_or_default();
                Self::Now(Grant { role: agent.role.clone(), clients })
            }),
            // A person is known and has nothing: people act at agentd itself.
            PrincipalKind::User => Self::Now(Grant::default()),
            PrincipalKind::Service => Self::Unknown,
        }
    }
}

impl ApplicationRole {
    /// `role support`, `custom role front-desk`
    pub fn called(&self) -> String {
        format!("{}role {}", if self.custom { "custom " } else { "" }, self.name)
    }
}

impl From<&ShippedRole> for ApplicationRole {
    fn from(role: &ShippedRole) -> Self {
        Self {
            name: role.name.into(),
            about: role.about.into(),
            permissions: role.permissions.iter().copied().collect(),
            custom: false,
        }
    }
}

impl From<&RoleSettings> for ApplicationRole {
    fn from(role: &RoleSettings) -> Self {
        Self {
            name: role.name.clone(),
            about: role.description.clone().unwrap_or_else(|| "a role of the file".into()),
            permissions: role.permissions.iter().copied().collect(),
            custom: true,
        }
    }
}

/// What the caller itself was granted, by whatever it showed.
impl From<&Caller> for Granted {
    fn from(caller: &Caller) -> Self {
        Self::Now(Grant { role: caller.application_role.clone(), clients: caller.clients.clone() })
    }
}

fn reach(clients: &Clients) -> String {
    match clients {
        Clients::All => "all clients".into(),
        Clients::Only(ids) if ids.len() == 1 => "the one client that it is granted".into(),
        Clients::Only(ids) => format!("the {} clients that it is granted", ids.len()),
        Clients::None => "the clients that it is granted: there are none".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn settings() -> Settings {
        let agent = |name: &str, role: Option<&str>, clients: serde_json::Value| json!({ "name": name, "kind": "process", "role": role, "clients": clients });
        serde_json::from_value(json!({
            "role": [{ "name": "desk", "permissions": ["send_sms", "access_logs"] }],
            "agent": [
                agent("talks", Some("conversation"), json!(["1", "o'hara"])),
                agent("sees-all", Some("support"), json!("all")),
                agent("sees-nobody", Some("conversation"), json!(null)),
                agent("desk", Some("desk"), json!(["1"])),
                agent("nothing", None, json!(null)),
                agent("orphan", Some("gone"), json!("all")),
            ],
        }))
        .expect("settings")
    }

    fn ask(principal: &str, permission: &str, client: Option<&str>) -> Decision {
        let settings = settings();
        let principal: Principal = principal.parse().expect("a principal");
        let granted = [Granted::by_file(&settings, &principal)];
        Roles::of(&settings).decide(&principal, &granted, permission.parse().expect("a word"), client)
    }

    #[test]
    fn every_answer_has_its_reason_and_what_is_not_granted_is_denied() {
        let table = [
            ("agent:talks", "read_client_data", Some("1"), Reason::Granted, "client 1 is among the 2"),
            ("agent:talks", "read_client_data", Some("o'hara"), Reason::Granted, "has read_client_data"),
            ("agent:talks", "read_client_data", Some("2"), Reason::ClientNotGranted, "not among the 2"),
            ("agent:talks", "read_client_data", None, Reason::ClientNotNamed, "named none"),
            ("agent:talks", "refund_payments", Some("1"), Reason::RoleLacksPermission, "does not have"),
            ("agent:sees-all", "read_payments", None, Reason::Granted, "role support has read_payments"),
            ("agent:sees-all", "read_payments", Some("any"), Reason::Granted, "among all clients"),
            (
                "agent:sees-all",
                "send_sms",
                Some("any"),
                Reason::RoleLacksPermission,
                "does not have send_sms",
            ),
            ("agent:sees-nobody", "send_sms", Some("1"), Reason::ClientNotGranted, "there are none"),
            ("agent:sees-nobody", "send_sms", None, Reason::ClientNotNamed, "there are none"),
            ("agent:desk", "send_sms", Some("1"), Reason::Granted, "custom role desk has send_sms"),
            ("agent:desk", "access_logs", None, Reason::Granted, "custom role desk has access_logs"),
            ("agent:desk", "access_logs", Some("9"), Reason::ClientNotGranted, "not among the one client"),
            (
                "agent:desk",
                "send_emails",
                Some("1"),
                Reason::RoleLacksPermission,
                "custom role desk does not",
            ),
            ("agent:nothing", "read_analytics", None, Reason::NoRole, "under [[agent]]"),
            ("agent:orphan", "read_analytics", None, Reason::UnknownRole, "role gone is not in"),
            ("agent:ghost", "read_analytics", None, Reason::UnknownPrincipal, "agent:ghost is unknown"),
            ("service:ghost", "read_analytics", None, Reason::UnknownPrincipal, "no key"),
            ("user:0", "read_analytics", None, Reason::NoRole, "is a person"),
        ];
        for (who, permission, client, why, said) in table {
            let decision = ask(who, permission, client);
            assert_eq!(decision.why, why, "{who} {permission} {client:?}: {decision:?}");
            assert_eq!(decision.allowed, why == Reason::Granted, "{decision:?}");
            assert!(decision.reason.contains(said), "{said} is not in: {}", decision.reason);
        }
    }

    #[test]
    fn what_was_granted_once_and_is_over_is_denied_with_what_ended_it() {
        let roles = Roles::of(&settings());
        let who: Principal = "service:billing".parse().expect("a principal");
        let permission = ApplicationPermission::ReadAnalytics;
        let over = || Granted::Over("key 7f3a was revoked".into());
        let decision = roles.decide(&who, &[over()], permission, None);
        assert_eq!((decision.why, decision.reason.as_str()), (Reason::GrantOver, "key 7f3a was revoked"));
        // One that is in force is enough, and none at all is nobody.
        let now = |role: &str| Granted::Now(Grant { role: Some(role.into()), clients: Clients::None });
        let ask = |grants: &[Granted]| roles.decide(&who, grants, permission, None);
        for allowed in [vec![now("analytics"), over()], vec![over(), now("support"), now("analytics")]] {
            assert!(ask(&allowed).allowed, "{allowed:?}");
        }
        let nearest = ask(&[Granted::Unknown, now("support"), over()]);
        assert_eq!((nearest.allowed, nearest.why), (false, Reason::RoleLacksPermission));
        assert_eq!(ask(&[]).why, Reason::UnknownPrincipal);
    }

    #[test]
    fn a_file_cannot_change_a_role_that_ships() {
        // The loader refuses it; should one come through all the same, it changes nothing.
        let forged = json!({ "role": [{ "name": "readonly", "permissions": ["system_config"] }] });
        let roles = Roles::of(&serde_json::from_value(forged).expect("settings"));
        let readonly = roles.get("readonly").expect("it ships");
        assert!(!readonly.custom && readonly.permissions.len() == 3);
        assert_eq!(roles.all().count(), 5);
    }

    proptest! {
        /// The rule in one line: a role that has it, and a client among those granted.
        #[test]
        fn a_decision_is_the_role_and_the_client_and_nothing_else(
            role in 0..ShippedRole::ALL.len(),
            permission in 0..ApplicationPermission::ALL.len(),
            granted in prop::collection::btree_set("[a-c%_']{1,2}", 0..4),
            asked in "[a-c%_']{1,2}",
        ) {
            let (role, permission) = (&ShippedRole::ALL[role], ApplicationPermission::ALL[permission]);
            let clients = Clients::Only(granted.clone());
            let grant = Granted::Now(Grant { role: Some(role.name.into()), clients });
            let who: Principal = "service:x".parse().expect("a principal");
            let decision = Roles::of(&Settings::default()).decide(&who, &[grant], permission, Some(&asked));
            let wanted = role.permissions.contains(&permission) && granted.contains(&asked);
            prop_assert_eq!(decision.allowed, wanted, "{:?}", decision);
        }
    }
}
