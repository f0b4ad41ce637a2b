//! What stands at the head of a report, in the order in which it is asked about.
use crate::domain::{FailOn, Report, moment, percent};

/// A name and its value, both plain text; the value may hold what others wrote.
pub fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = vec![("verdict", report.verdict_word().to_owned())];
    if let Some(list) = &report.checklist {
        facts.push(("phase", list.phase.to_string()));
        facts.extend(list.release.clone().map(|release| ("release", release)));
        facts.extend(list.soak.as_ref().map(|soak| ("window", soak.progress())));
    }
    facts.push(("score", format!("{} of 100", report.score)));
    facts.push(("bar", report.bar.to_string()));
    facts.push(("coverage", percent(report.coverage)));
    if let Some(score) = report.score_without_waived {
        facts.push(("score without what is waived", format!("{score} of 100")));
    }
    if let Some(demand) = demands(report) {
        facts.push(("asked for besides", demand));
    }
    facts.push(("environment", report.environment.clone()));
    facts.push(("run", report.run.to_string()));
    facts.push(("started", moment(report.started_at)));
    facts.push(("took", format!("{:.1} s", report.took_ms / 1e3)));
    if let Some(day) = report.as_of {
        facts.push(("judged as of", moment(day)));
    }
    if report.partial {
        facts.push(("partial run", "it answers for what it ran alone".into()));
    }
    facts.push(("agentd", report.version.clone()));
    facts.push(("configuration", report.config_digest.clone()));
    facts
}

fn demands(report: &Report) -> Option<String> {
    let under = report.demands.fail_under.map(|points| format!("a low end of {points} or more"));
    let on = report.demands.fail_on.map(|on| match on {
        FailOn::Fail => "no check that fails",
        FailOn::Warn => "no check that fails or warns",
        FailOn::New => "no trouble that the baseline did not have",
        FailOn::Regressed => "nothing worse than in the baseline",
    });
    let asked: Vec<String> = under.into_iter().chain(on.map(String::from)).collect();
    (!asked.is_empty()).then(|| asked.join("; "))
}

/// What `agentctl` is asked for a report like this.
pub fn command(report: &Report) -> &'static str {
    if report.checklist.is_some() { "deploy-check" } else { "validate" }
}
