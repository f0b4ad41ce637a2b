//! `checks`: checks that agentctl brings, asked here and now through their own code. All must hold.
use super::kind::{Around, Look, problem};
use crate::{
    config::OptionProblem,
    domain::Outcome,
    readiness::{Evidence, Found, Readiness},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Asks built-in checks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChecksItemOptions")]
pub struct Options {
    /// Ids as `agentctl check list` shows them: CF-010, DB-007.
    #[schemars(length(min = 1))]
    ids: Vec<String>,
}

pub struct Checks(Vec<String>);

impl Look for Checks {
    const NAME: &'static str = "checks";
    const ABOUT: &'static str = "asks checks that agentctl brings; all must hold";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let known = Readiness::checks();
        let mut problems = Vec::new();
        if options.ids.is_empty() {
            problems.push(problem("/ids", "names no check", Some("ids = [\"CF-010\"]")));
        }
        let mut ids = Vec::new();
        for (index, id) in options.ids.iter().enumerate() {
            if let Some(check) = known.iter().find(|check| check.id.eq_ignore_ascii_case(id)) {
                ids.push(check.id.clone());
                continue;
            }
            let message = format!("there is no built-in check `{}`", id.escape_debug());
            let near = crate::domain::nearest(id, known.iter().map(|check| check.id.as_str()));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let hint = hint.as_deref().or(Some("`agentctl check list` shows them"));
            problems.push(problem(&format!("/ids/{index}"), message, hint));
        }
        if problems.is_empty() { Ok(Self(ids)) } else { Err(problems) }
    }

    fn quiet(&self) -> bool {
        self.0.iter().any(|id| Readiness::is_quiet(id))
    }

    async fn look(&self, evidence: &Evidence, _: &Around) -> Found {
        let mut seen = Vec::new();
        for id in &self.0 {
            let found = Readiness::ask(id, evidence).await;
            seen.push((id.as_str(), found.unwrap_or_else(|| Found::error("there is no such check"))));
        }
        weigh(&seen)
    }
}

/// What is wrong weighs more than what could not be seen, and that more than a warning.
fn weigh(seen: &[(&str, Found)]) -> Found {
    let rank = |outcome: Outcome| match outcome {
        Outcome::NotApplicable => 0,
        Outcome::Pass => 1,
        Outcome::Warn => 2,
        Outcome::Skipped => 3,
        Outcome::Timeout => 4,
        Outcome::Error => 5,
        Outcome::Fail => 6,
    };
    let worst = seen.iter().max_by_key(|(_, found)| rank(found.outcome));
    let Some((id, worst)) = worst else { return Found::error("no check was asked") };
    let held = seen.iter().filter(|(_, found)| found.outcome == Outcome::Pass).count();
    let mut found = match worst.outcome {
        Outcome::Pass => Found::pass(format!("{held} checks hold")),
        outcome => Found { outcome, evidence: Vec::new(), ..worst.clone() },
    };
    if worst.outcome != Outcome::Pass {
        found.summary = format!("{id}: {}", worst.summary);
    }
    for (id, each) in seen {
        found = found.seen(format!("{id} {}: {}", each.outcome.as_str(), each.summary));
        let quiet = matches!(each.outcome, Outcome::Pass | Outcome::NotApplicable);
        found = found.all_seen(each.evidence.iter().filter(|_| !quiet).map(|line| format!("{id}: {line}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_them_decides_and_none_is_hidden() {
        let all = [
            ("A", Found::pass("well")),
            ("B", Found::not_applicable("none here")),
            ("C", Found::warn("so so")),
            ("D", Found::error("blind")),
            ("E", Found::fail("broken").seen("port 7")),
        ];
        for (most, outcome, told) in [
            (1, Outcome::Pass, "1 checks hold"),
            (2, Outcome::Pass, "1 checks hold"),
            (3, Outcome::Warn, "C: so so"),
            (4, Outcome::Error, "D: blind"),
            (5, Outcome::Fail, "E: broken"),
        ] {
            let found = weigh(&all[..most]);
            assert_eq!((found.outcome, found.summary.as_str()), (outcome, told));
            assert!(found.evidence.len() >= most, "{found:?}");
        }
        assert!(weigh(&all).evidence.contains(&"E: port 7".to_owned()));
        assert_eq!(weigh(&all[1..2]).outcome, Outcome::NotApplicable);
        assert_eq!(weigh(&[]).outcome, Outcome::Error);
    }

    #[test]
    fn only_what_there_is_can_be_asked() {
        let compile = |ids: &[&str]| {
            let ids = ids.iter().map(ToString::to_string).collect();
            Checks::compile(Options { ids }).map(|checks| checks.0)
        };
        assert_eq!(compile(&["cf-010"]).ok(), Some(vec!["CF-010".to_owned()]));
        let quiet = |ids: &[&str]| Checks(ids.iter().map(ToString::to_string).collect()).quiet();
        assert!(quiet(&["CF-010", "PF-005"]) && !quiet(&["CF-010"]), "who measures load is not left alone");
        let problems = compile(&["CF-01O"]).expect_err("refused");
        assert!(problems[0].pointer == "/ids/0" && problems[0].hint.is_some(), "{problems:?}");
        assert_eq!(compile(&[]).expect_err("refused")[0].pointer, "/ids");
    }
}
