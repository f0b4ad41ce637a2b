//! `alerts`: an alert was delivered to a person in a test. Nothing here sends alerts yet, so none was seen to arrive.
use super::kind::{Around, Look};
use crate::{
    config::OptionProblem,
    readiness::{Evidence, Found},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Asks whether a test alert arrived.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "AlertsItemOptions")]
pub struct Options {}

pub struct Alerts;

impl Look for Alerts {
    const NAME: &'static str = "alerts";
    const ABOUT: &'static str =
        "looks whether a test alert arrived; unmeasured, since agentd sends no alerts yet";
    type Options = Options;

    fn compile(_: Options) -> Result<Self, Vec<OptionProblem>> {
        Ok(Self)
    }

    async fn look(&self, _: &Evidence, _: &Around) -> Found {
        Found::skipped("agentd sends no alerts yet, so none was seen to arrive")
    }
}
