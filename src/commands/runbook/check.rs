//! The page of a check: what `check explain` knows, and what the last validation said of it.
use super::book::{Runbook, Section, Source};
use crate::{
    domain::{Finding, Severity},
    readiness::CheckInfo,
};
use jiff::Timestamp;

pub fn page(
    check: &CheckInfo,
    found: Option<(&Finding, Timestamp)>,
    source: Source,
    at: Timestamp,
) -> Runbook {
    let title = format!("{}  {}", check.id, check.title);
    let mut book = Runbook::new(format!("check/{}", check.id), title, source, at);
    let mut what = Section::new("What it is");
    let gate = match check {
        check if check.exercised => "yes: a control that is exercised, its negative case included",
        check if check.declared && check.severity == Severity::Blocker => "yes: declared as a blocker",
        _ => "no",
    };
    what.fact("category", check.category.to_string())
        .fact("weight", check.weight.to_string())
        .fact("declared in", if check.declared { "the manifest" } else { "agentd itself" })
        .fact("a gate", gate)
        .fact("why", &check.why)
        .fact("how", &check.how)
        .fact("fix", &check.fix);
    book.add(what);
    if let Some((finding, when)) = found {
        let mut last = Section::new("What the last validation said of it");
        last.fact("at", when.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
            .fact("outcome", finding.outcome.as_str())
            .fact("saw", &finding.summary);
        for line in finding.evidence.iter().take(10) {
            last.fact("evidence", line);
        }
        last.some("hint", finding.hint.as_deref());
        last.some(
            "waived",
            finding.waived.as_ref().map(|_| "somebody answers for it: `agentctl waiver list`"),
        );
        book.add(last);
    }
    let mut act = Section::new("To type");
    let id = &check.id;
    act.command(format!("agentctl validate --only {id} -o wide"), "run it alone, with its evidence")
        .command(format!("agentctl check explain {id}"), "why it matters, how it is measured, what to do")
        .command("agentctl validate", "the whole: a partial run never says READY");
    book.add(act);
    book
}
