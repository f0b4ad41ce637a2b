//! What principals may do in the applications: the 18 permissions and the five roles that ship. agentd decides and
//! records; the applications ask and obey.
use super::nearest;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, str::FromStr};

/// One thing that an application lets somebody do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationPermission {
    ReadClientData,
    WriteClientData,
    DeleteClientData,
    ReadAppointments,
    CreateAppointments,
    ModifyAppointments,
    CancelAppointments,
    ReadPayments,
    ProcessPayments,
    RefundPayments,
    SendEmails,
    SendSms,
    SendNotifications,
    ReadAnalytics,
    GenerateReports,
    AccessLogs,
    ManageAgents,
    SystemConfig,
}

impl ApplicationPermission {
    pub const ALL: &'static [Self] = &[
        Self::ReadClientData,
        Self::WriteClientData,
        Self::DeleteClientData,
        Self::ReadAppointments,
        Self::CreateAppointments,
        Self::ModifyAppointments,
        Self::CancelAppointments,
        Self::ReadPayments,
        Self::ProcessPayments,
        Self::RefundPayments,
        Self::SendEmails,
        Self::SendSms,
        Self::SendNotifications,
        Self::ReadAnalytics,
        Self::GenerateReports,
        Self::AccessLogs,
        Self::ManageAgents,
        Self::SystemConfig,
    ];

    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What it lets one do.
    pub fn about(self) -> &'static str {
        self.row().1
    }

    /// Is it about one client or another? Then it is never given without saying whose data it is for.
    pub fn is_about_clients(self) -> bool {
        !matches!(
            self,
            Self::ReadAnalytics
                | Self::GenerateReports
                | Self::AccessLogs
                | Self::ManageAgents
                | Self::SystemConfig
        )
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadClientData => ("read_client_data", "read what is kept of a client"),
            Self::WriteClientData => ("write_client_data", "change what is kept of a client"),
            Self::DeleteClientData => ("delete_client_data", "delete what is kept of a client"),
            Self::ReadAppointments => ("read_appointments", "see a client's appointments"),
            Self::CreateAppointments => ("create_appointments", "book an appointment"),
            Self::ModifyAppointments => ("modify_appointments", "move or change an appointment"),
            Self::CancelAppointments => ("cancel_appointments", "cancel an appointment"),
            Self::ReadPayments => ("read_payments", "see a client's payments"),
            Self::ProcessPayments => ("process_payments", "charge a client"),
            Self::RefundPayments => ("refund_payments", "give a client money back"),
            Self::SendEmails => ("send_emails", "write e-mail to a client"),
            Self::SendSms => ("send_sms", "send a client an SMS"),
            Self::SendNotifications => ("send_notifications", "notify a client in the application"),
            Self::ReadAnalytics => ("read_analytics", "see figures over all clients"),
            Self::GenerateReports => ("generate_reports", "make reports of those figures"),
            Self::AccessLogs => ("access_logs", "read the applications' logs"),
            Self::ManageAgents => ("manage_agents", "change how the applications' agents work"),
            Self::SystemConfig => ("system_config", "change the applications' configuration"),
        }
    }
}

impl fmt::Display for ApplicationPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ApplicationPermission {
    type Err = String;

    /// Says the nearest one where there is none of that name.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(known) = Self::ALL.iter().find(|known| known.as_str() == text) {
            return Ok(*known);
        }
        let words = || Self::ALL.iter().map(|known| known.as_str());
        let begun = || words().find(|word| text.len() > 4 && word.starts_with(text));
        let shown: String = text.chars().take(60).collect::<String>().escape_debug().collect();
        Err(match nearest(text, words()).or_else(begun) {
            Some(near) => format!("there is no permission `{shown}`: did you mean `{near}`?"),
            None => format!("there is no permission `{shown}`"),
        })
    }
}

impl<'de> Deserialize<'de> for ApplicationPermission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A role that every fleet has. The file may add others, never change these.
#[derive(Debug, PartialEq, Eq)]
pub struct ShippedRole {
    pub name: &'static str,
    pub about: &'static str,
    pub permissions: &'static [ApplicationPermission],
}

impl ShippedRole {
    pub const ALL: &'static [Self] = {
        use ApplicationPermission as P;
        &[
            Self {
                name: "system",
                about: "everything: for what runs the applications, never for an agent that talks to clients",
                permissions: P::ALL,
            },
            Self {
                name: "conversation",
                about: "talks to clients and books for them",
                permissions: &[
                    P::ReadClientData,
                    P::ReadAppointments,
                    P::CreateAppointments,
                    P::ModifyAppointments,
                    P::SendEmails,
                    P::SendSms,
                    P::SendNotifications,
                ],
            },
            Self {
                name: "analytics",
                about: "reads, counts and reports",
                permissions: &[
                    P::ReadClientData,
                    P::ReadAppointments,
                    P::ReadPayments,
                    P::ReadAnalytics,
                    P::GenerateReports,
                ],
            },
            Self {
                name: "support",
                about: "looks into a client's case and writes back",
                permissions: &[
                    P::ReadClientData,
                    P::ReadAppointments,
                    P::ReadPayments,
                    P::SendEmails,
                    P::AccessLogs,
                ],
            },
            Self {
                name: "readonly",
                about: "looks, and nothing else",
                permissions: &[P::ReadClientData, P::ReadAppointments, P::ReadAnalytics],
            },
        ]
    };

    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|role| role.name == name)
    }
}

/// Only system has them among the roles that ship: they destroy, move money, or change how everything works.
pub const KEPT_FOR_SYSTEM: &[ApplicationPermission] = &[
    ApplicationPermission::WriteClientData,
    ApplicationPermission::DeleteClientData,
    ApplicationPermission::CancelAppointments,
    ApplicationPermission::ProcessPayments,
    ApplicationPermission::RefundPayments,
    ApplicationPermission::ManageAgents,
    ApplicationPermission::SystemConfig,
];

/// Is this text fit to name a client? The applications choose their ids; here they stand in rows, lists and sentences.
pub fn check_client(id: &str) -> Result<(), String> {
    const LONGEST: usize = 200;
    if id.is_empty() {
        return Err("a client's id must not be empty".into());
    }
    if id.len() > LONGEST {
        return Err(format!("a client's id is at most {LONGEST} bytes long"));
    }
    if id.chars().any(char::is_control) {
        return Err(format!("a client's id has no control characters: `{}`", id.escape_debug()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_eighteen_and_each_reads_back_by_its_word() {
        assert_eq!(ApplicationPermission::ALL.len(), 18);
        let words: BTreeSet<_> = ApplicationPermission::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(words.len(), 18, "two share a word");
        for one in ApplicationPermission::ALL {
            assert_eq!(one.as_str().parse(), Ok(*one));
            assert_eq!(serde_json::to_value(one).expect("a word"), one.as_str());
            assert!(!one.about().is_empty());
        }
    }

    #[test]
    fn a_word_that_is_none_is_refused_with_the_nearest() {
        for (wrong, near) in [
            ("read_client", Some("read_client_data")),
            ("send-sms", Some("send_sms")),
            ("refund_payment", Some("refund_payments")),
            ("fly", None),
            ("", None),
        ] {
            let said = wrong.parse::<ApplicationPermission>().expect_err(wrong);
            assert_eq!(said.contains("did you mean"), near.is_some(), "{said}");
            assert!(near.is_none_or(|near| said.contains(near)), "{said}");
        }
        let error = serde_json::from_str::<ApplicationPermission>("\"send_sm\"").expect_err("refused");
        assert!(error.to_string().contains("did you mean `send_sms`?"), "{error}");
        let long = "x".repeat(10_000).parse::<ApplicationPermission>().expect_err("refused");
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn what_is_kept_for_system_is_what_no_other_shipped_role_has() {
        let others = || ShippedRole::ALL.iter().filter(|role| role.name != "system");
        for permission in ApplicationPermission::ALL {
            let shared = others().any(|role| role.permissions.contains(permission));
            assert_eq!(KEPT_FOR_SYSTEM.contains(permission), !shared, "{permission}");
        }
        let sizes: Vec<_> = ShippedRole::ALL.iter().map(|role| (role.name, role.permissions.len())).collect();
        assert_eq!(
            sizes,
            [("system", 18), ("conversation", 7), ("analytics", 5), ("support", 5), ("readonly", 3)]
        );
    }

    #[test]
    fn ids_of_clients_may_be_strange_but_not_empty_endless_or_unprintable() {
        for good in ["42", "o'hara", "50%_off", "名", "a b", &"x".repeat(200)] {
            assert!(check_client(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\0", "\u{9b}", &"x".repeat(201)] {
            assert!(check_client(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_or_shows_itself_raw(text in "\\PC{0,80}|[\\x00-\\x1f]{0,8}") {
            if let Err(said) = text.parse::<ApplicationPermission>() {
                prop_assert!(!said.contains(char::is_control), "{said:?}");
            }
        }
    }
}
