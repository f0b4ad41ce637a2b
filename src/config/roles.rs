//! Roles of the file's own in the applications, and whose data an agent may see there.
use crate::domain::{ApplicationPermission, Clients};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A role in the applications, beside the five that every fleet has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleSettings {
    /// A name of yours; those that ship cannot be changed.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_.-]{0,62}$"))]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f]{1,200}$"))]
    pub description: Option<String>,
    /// What it may do; `agentctl auth role explain system` lists all there is.
    #[schemars(length(min = 1))]
    pub permissions: Vec<ApplicationPermission>,
}

/// Whose data somebody may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClientsSettings {
    All(EveryClient),
    /// Ids, as the applications have them.
    Only(Vec<String>),
}

/// Every client there is, and will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EveryClient {
    All,
}

impl From<&ClientsSettings> for Clients {
    fn from(settings: &ClientsSettings) -> Self {
        match settings {
            ClientsSettings::All(EveryClient::All) => Self::All,
            ClientsSettings::Only(ids) if ids.is_empty() => Self::None,
            ClientsSettings::Only(ids) => Self::Only(ids.iter().cloned().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Origin,
        fake::{load_text, load_text_with},
    };

    const AGENT: &str =
        "[[agent]]\nname = \"orders\"\nkind = \"service\"\noptions = { command = [\"orders\"] }\n";

    fn said(text: &str) -> String {
        load_text(text).err().unwrap_or_else(|| panic!("it was taken:\n{text}")).to_string()
    }

    #[test]
    fn roles_and_clients_are_read_and_shown_as_they_are() {
        let text = format!(
            "[[role]]\nname = \"front-desk\"\npermissions = [\"send_sms\", \"cancel_appointments\"]\n\
             {AGENT}role = \"front-desk\"\nclients = [\"42\", \"o'hara\"]\n\
             {}role = \"readonly\"\nclients = \"all\"\n",
            AGENT.replace("orders", "figures")
        );
        let loaded = load_text(&text).expect("holds");
        let settings = &loaded.settings;
        assert_eq!(
            settings.roles[0].permissions,
            [ApplicationPermission::SendSms, ApplicationPermission::CancelAppointments]
        );
        let clients = |at: usize| settings.agents[at].clients.as_ref().map(Clients::from);
        assert_eq!(clients(0), Some(Clients::Only(["42".into(), "o'hara".into()].into())));
        assert_eq!(clients(1), Some(Clients::All));
        assert_eq!(loaded.origin("/role/0/permissions"), Origin::File { line: 3 });
        let again = load_text(&loaded.view(true)).expect("the view holds");
        assert_eq!((&again.settings, &again.digest), (settings, &loaded.digest));
    }

    #[test]
    fn an_overlay_changes_a_role_by_its_name() {
        let text = "[[role]]\nname = \"desk\"\npermissions = [\"send_sms\"]\n\
                    [[environment.production.role]]\nname = \"desk\"\npermissions = [\"send_emails\"]\n";
        let sources = crate::config::Sources { environment: Some("production".into()), ..Default::default() };
        let loaded = load_text_with(text, sources).expect("holds");
        assert_eq!(loaded.settings.roles.len(), 1);
        assert_eq!(loaded.settings.roles[0].permissions, [ApplicationPermission::SendEmails]);
    }

    #[test]
    fn what_would_grant_something_else_than_it_says_is_refused() {
        let role = |name: &str, permissions: &str| {
            format!("[[role]]\nname = \"{name}\"\npermissions = {permissions}\n")
        };
        let desk = role("desk", "[\"send_sms\"]");
        for (text, wanted) in [
            (role("desk", "[\"send_sm\"]"), "did you mean `send_sms`?"),
            (role("desk", "[]"), "`permissions` must have at least 1 in it"),
            ("[[role]]\nname = \"desk\"\n".into(), "missing key `permissions`"),
            (role("Desk", "[\"send_sms\"]"), "`Desk` is not a legal `name`"),
            (role("system", "[\"send_sms\"]"), "the role `system` ships with agentd"),
            (role("admin", "[\"send_sms\"]"), "`admin` is a role at agentd itself"),
            (format!("{desk}{desk}"), "the role `desk` is that of line 2 already"),
            (role("desk", "[\"send_sms\", \"send_sms\"]"), "`send_sms` stands twice"),
            (format!("{AGENT}role = \"suport\"\n"), "did you mean `support`?"),
            (format!("{desk}{AGENT}role = \"dsk\"\n"), "did you mean `desk`?"),
            (format!("{AGENT}role = \"operator\"\n"), "there is no role `operator`"),
            (format!("{AGENT}clients = \"all\"\n"), "it has clients and no role"),
            (format!("{AGENT}role = \"support\"\nclients = []\n"), "`clients` names nobody"),
            (format!("{AGENT}role = \"support\"\nclients = [\"\"]\n"), "must not be empty"),
            (format!("{AGENT}role = \"support\"\nclients = [\"a\\u0007\"]\n"), "no control characters"),
            (format!("{AGENT}role = \"support\"\nclients = \"al\"\n"), "did you mean `all`?"),
        ] {
            let said = said(&text);
            assert!(said.contains(wanted), "{wanted} is not in\n{said}");
        }
    }

    #[test]
    fn a_role_that_is_wrong_does_not_make_its_agents_wrong_too() {
        let text = format!(
            "[[role]]\nname = \"desk\"\npermissions = [\"send_sm\"]\n{AGENT}role = \"desk\"\nclients = \"all\"\n"
        );
        let said = said(&text);
        assert!(said.contains("1 problem") && !said.contains("there is no role"), "{said}");
    }
}
