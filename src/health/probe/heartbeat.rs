//! `heartbeat`: waits to be told. The agent must report through agentd at least so often.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    domain::{Period, ProbeRole},
    health::Target,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

/// The agent must report through agentd.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HeartbeatProbeOptions")]
pub struct Options {
    /// Longest silence.
    within: Period,
}

pub struct Heartbeat {
    within: Period,
}

impl Probe for Heartbeat {
    const NAME: &'static str = "heartbeat";
    const ABOUT: &'static str = "the agent must report through agentd";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if options.within.0.is_zero() {
            return Err(vec![OptionProblem {
                pointer: "/within".into(),
                message: "no agent can report within no time".into(),
                hint: Some("write a period such as 30s".into()),
            }]);
        }
        Ok(Self { within: options.within })
    }

    async fn look(&self, target: &Target) -> Seen {
        let now = Instant::now();
        let Some(reported) = target.reported else {
            let up = now - target.since;
            // It is no reason to restart an agent that it has not had the time to speak yet.
            if target.role == ProbeRole::Liveness && up <= self.within.0 {
                return Ok(format!("no report yet, up {} s", up.as_secs()));
            }
            return Err(format!("no report since it came up {} s ago", up.as_secs()).into());
        };
        let silence = now - reported;
        if silence <= self.within.0 {
            Ok(format!("reported {} s ago", silence.as_secs()))
        } else {
            Err(format!("silent for {} s, want a report within {}", silence.as_secs(), self.within).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{look::tests::ask, probe::compile};
    use serde_json::json;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn silence_fails_and_a_late_start_is_forgiven_only_for_liveness() {
        let options = || json!({"within": "30s"});
        let mut target = Target::local("a/0", None);
        assert!(!ask("heartbeat", options(), &target).await.ok, "readiness without a report");
        target.role = ProbeRole::Liveness;
        assert!(ask("heartbeat", options(), &target).await.ok);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!ask("heartbeat", options(), &target).await.ok, "never reported and forgiven for good");
        target.reported = Some(Instant::now());
        assert!(ask("heartbeat", options(), &target).await.ok);
        tokio::time::advance(Duration::from_secs(31)).await;
        let seen = ask("heartbeat", options(), &target).await;
        assert!(!seen.ok && seen.detail.contains("silent for 31 s"), "{}", seen.detail);
    }

    #[test]
    fn it_needs_a_period_above_zero() {
        assert!(compile("heartbeat", &json!({})).is_err());
        assert!(compile("heartbeat", &json!({"within": "0s"})).is_err());
    }
}
