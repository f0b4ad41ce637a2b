//! The daemon's end of `agentctl runbook`: what it is about, and the page of that.
use super::{
    agent,
    book::{Runbook, Source},
    check, fleet,
    look::known,
};
use crate::{
    config::{AgentSettings, DependencySettings, Settings},
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, Finding, Permission, nearest, one_line},
    protocol::{Endpoint, Verb},
    readiness::{CheckInfo, Readiness},
};
use serde::{Deserialize, Serialize};

/// Characters of a name that is told back.
const LONGEST: usize = 60;

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// An agent, a dependency or a check; without one, the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

pub struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "runbook/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Runbook;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Show, _, _>(handle)]
}

/// What a runbook can be about.
pub enum Subject<'a> {
    Fleet,
    Agent(&'a AgentSettings),
    Dependency(&'a DependencySettings),
    Check(Box<CheckInfo>),
}

/// Refused with the nearest name there is.
pub fn subject<'a>(settings: &'a Settings, about: Option<&str>) -> Result<Subject<'a>, Fault> {
    let Some(name) = about else { return Ok(Subject::Fleet) };
    if let Some(agent) = settings.agents.iter().find(|agent| agent.name.as_str() == name) {
        return Ok(Subject::Agent(agent));
    }
    if let Some(dependency) = settings.dependencies.iter().find(|dependency| dependency.name == name) {
        return Ok(Subject::Dependency(dependency));
    }
    if let Ok(check) = Readiness::explain(&settings.checks, name) {
        return Ok(Subject::Check(Box::new(check)));
    }
    let checks: Vec<String> =
        Readiness::checks_with(&settings.checks).into_iter().map(|check| check.id).collect();
    let agents = settings.agents.iter().map(|agent| agent.name.as_str());
    let dependencies = settings.dependencies.iter().map(|dependency| dependency.name.as_str());
    let upper = name.to_uppercase();
    let near = nearest(name, agents.chain(dependencies))
        .or_else(|| nearest(&upper, checks.iter().map(String::as_str)));
    let meant = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let told: String = one_line(name).chars().take(LONGEST).collect();
    Err(Fault::not_found(format!("cannot find an agent, a dependency or a check called `{told}`"))
        .hint(format!("{meant}`agentctl agent list` and `agentctl check list` show those there are")))
}

async fn handle(app: App, caller: Caller, request: Request) -> Result<Runbook, Fault> {
    let settings = app.settings.borrow().clone();
    match subject(&settings, request.about.as_deref())? {
        Subject::Fleet => fleet::page(app, caller).await,
        Subject::Agent(declared) => agent::page(&app, &settings, declared).await,
        Subject::Dependency(declared) => Ok(agent::page_of_dependency(&app, &settings, declared)),
        Subject::Check(info) => of_check(&app, &settings, &info).await,
    }
}

async fn of_check(app: &App, settings: &Settings, info: &CheckInfo) -> Result<Runbook, Fault> {
    let at = app.clock.now();
    let mut aside = Runbook::new(String::new(), String::new(), Source::Daemon, at);
    let last = async { Ok(app.store.last_full_report(settings.environment.clone()).await?) };
    let report = known(&mut aside, "what the last validation said of it", last).await.flatten();
    let found = report.as_ref().and_then(|report| {
        let of_it = |finding: &&Finding| finding.id == info.id;
        Some((report.findings.iter().find(of_it)?, report.started_at))
    });
    let mut book = check::page(info, found, Source::Daemon, at);
    book.unknown = aside.unknown;
    if found.is_none() && book.unknown.is_empty() {
        book.cannot_know("what a validation says of it", "there was none of everything that asked it");
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FaultKind;

    #[test]
    fn what_there_is_not_is_refused_with_what_is_nearest() {
        let agent = serde_json::json!({ "name": "orders", "kind": "process" });
        let mut settings = Settings::default();
        settings.agents.push(serde_json::from_value(agent).expect("an agent"));
        assert!(matches!(subject(&settings, None), Ok(Subject::Fleet)));
        assert!(matches!(subject(&settings, Some("orders")), Ok(Subject::Agent(_))));
        assert!(matches!(subject(&settings, Some("db-001")), Ok(Subject::Check(_))));
        for (wrong, hint) in
            [("ordres", "`orders`"), ("db-0001", "`DB-001`"), ("\u{1b}[2J", "agentctl agent list")]
        {
            let Err(fault) = subject(&settings, Some(wrong)) else { panic!("{wrong} is something") };
            assert_eq!(fault.kind, FaultKind::NotFound);
            assert!(fault.hint.as_ref().is_some_and(|told| told.contains(hint)), "{fault:?}");
            assert!(!fault.message.contains('\u{1b}'), "{fault:?}");
        }
    }
}
