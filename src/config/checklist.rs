//! The checklist of a deployment: what must hold before and after it, and who answers for what no machine can check.
use super::{CheckSettings, Settings, SoakSettings};
use crate::domain::{Category, Period, Phase, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `deploy-check` asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChecklistSettings {
    /// How long an attestation holds when neither it nor its item says.
    pub valid_for: Period,
    /// How far ahead an attestation may expire at all.
    pub valid_max: Period,
    pub soak: SoakSettings,
    #[serde(rename = "item", skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemSettings>,
}

impl Default for ChecklistSettings {
    fn default() -> Self {
        Self {
            valid_for: Period::secs(7 * 86400),
            valid_max: Period::secs(90 * 86400),
            soak: SoakSettings::default(),
            items: Vec::new(),
        }
    }
}

/// One line of the checklist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemSettings {
    /// A name of yours, such as restore-rehearsed: it stands in reports, attestations and --only.
    #[schemars(regex(pattern = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"))]
    pub id: String,
    /// What holds when it is ticked.
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f]{1,200}$"))]
    pub title: String,
    /// A kind of [[check]], or one of the checklist alone: checks, validated, agents, errors, backup, alerts, attest; and
    /// over a window level, leak, impact, restarts or steadiness.
    pub kind: String,
    /// Which group it stands in; --only and --skip take it.
    pub group: Category,
    /// When it is asked.
    #[serde(default = "pre")]
    #[schemars(length(min = 1))]
    pub phases: Vec<Phase>,
    /// Without a required item that holds there is no go; an advised one is told and decides nothing.
    #[serde(default)]
    pub severity: Necessity,
    /// A key of [contacts]: who sees to it when it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What to do when it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f]{1,500}$"))]
    pub hint: Option<String>,
    /// How long it may take to be answered.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Depends on the kind.
    #[serde(default = "empty_table")]
    pub options: Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Necessity {
    #[default]
    Required,
    Advised,
}

impl Necessity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Advised => "advised",
        }
    }
}

impl ItemSettings {
    /// As a declared check, which it is if its kind is one of those.
    pub fn as_check(&self) -> CheckSettings {
        CheckSettings {
            id: self.id.clone(),
            title: self.title.clone(),
            kind: self.kind.clone(),
            category: self.group,
            severity: match self.severity {
                Necessity::Required => Severity::Blocker,
                Necessity::Advised => Severity::Minor,
            },
            weight: 1,
            hint: self.hint.clone(),
            why: None,
            policy: None,
            retries: 0,
            retry_delay: Period::secs(1),
            timeout: self.timeout,
            options: self.options.clone(),
        }
    }
}

impl Settings {
    /// An item by its id, whatever its case.
    pub fn item(&self, id: &str) -> Option<&ItemSettings> {
        self.checklist.items.iter().find(|item| item.id.eq_ignore_ascii_case(id))
    }
}

fn pre() -> Vec<Phase> {
    vec![Phase::Pre]
}
fn timeout() -> Period {
    Period::secs(30)
}
fn empty_table() -> Value {
    Value::Object(serde_json::Map::new())
}
