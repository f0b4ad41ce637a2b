//! The colour of a state: green is well, yellow passes by itself, red needs somebody, dim is so on purpose.

/// SGR style of an agent's state; `ready (adopted)` counts as ready.
pub fn state_style(words: &str) -> Option<&'static str> {
    match words.split(' ').next()? {
        "ready" => Some("32"),
        "waiting" | "starting" | "stopping" | "degraded" | "backing-off" => Some("33"),
        "unhealthy" | "crash-looping" | "failed" => Some("31"),
        "stopped" | "disabled" => Some("2"),
        _ => None,
    }
}

/// Of a probe's.
pub fn probe_style(words: &str) -> Option<&'static str> {
    match words.split(' ').next()? {
        "passing" => Some("32"),
        "blocked" | "unknown" => Some("33"),
        "failing" => Some("31"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AgentState;

    #[test]
    fn every_state_has_a_colour_and_only_states_do() {
        for state in AgentState::ALL {
            assert!(state_style(state.as_str()).is_some(), "{}", state.as_str());
            assert_eq!(state_style(state.as_str()) == Some("32"), *state == AgentState::Ready);
        }
        assert_eq!(state_style("STATE"), None);
        assert_eq!(probe_style("blocked by orders-db"), Some("33"));
    }
}
