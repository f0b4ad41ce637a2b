//! The daemon's end: what is pending is written first, so that who asks sees what has just failed.
use crate::{
    daemon::{App, Route},
    domain::{
        Act, Audited, Caller, ErrorFilter, ErrorGroup, ErrorPattern, ErrorState, Fault, FaultCategory,
        FaultSeverity, Ignored, Occurrence, PatternBy, Period, Permission,
    },
    protocol::{Endpoint, Verb},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A note or a name is not longer.
const LONGEST_NOTE: usize = 1_000;

macro_rules! endpoint {
    ($name:ident, $path:literal, $verb:ident, $needs:ident, $audited:ident, $request:ty => $reply:ty $(, $object:expr)?) => {
        pub struct $name;
        impl Endpoint for $name {
            const NAME: &'static str = $path;
            const VERB: Verb = Verb::$verb;
            const NEEDS: Permission = Permission::$needs;
            const AUDITED: Audited = Audited::$audited;
            type Request = $request;
            type Reply = $reply;
            $(fn object(request: &$request) -> String {
                let object: fn(&$request) -> String = $object;
                object(request)
            })?
        }
    };
}

endpoint!(List, "errors/list", Read, FleetRead, Not, ListRequest => Groups);
endpoint!(Show, "errors/show", Read, FleetRead, Not, ShowRequest => Shown);
endpoint!(Patterns, "errors/patterns", Read, FleetRead, Not, PatternsRequest => Counted);
endpoint!(Resolve, "errors/resolve", Write, ErrorResolve, WithEffect, ResolveRequest => Changed, |r| format!("error/{}", r.id));
endpoint!(Ignore, "errors/ignore", Write, ErrorResolve, WithEffect, IgnoreRequest => Changed, |r| format!("error/{}", r.id));
endpoint!(Assign, "errors/assign", Write, ErrorResolve, WithEffect, AssignRequest => Changed, |r| format!("error/{}", r.id));
endpoint!(Reopen, "errors/reopen", Write, ErrorResolve, WithEffect, ReopenRequest => Changed, |r| format!("error/{}", r.id));

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    /// Seen in so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
    #[serde(default = "page")]
    pub limit: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<FaultCategory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ErrorState>,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<FaultSeverity>,
    /// Resolved and ignored ones too.
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Groups {
    pub schema_version: u32,
    pub at: Timestamp,
    pub errors: Vec<ErrorGroup>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {
    pub id: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    pub schema_version: u32,
    pub at: Timestamp,
    #[serde(flatten)]
    pub group: ErrorGroup,
    /// Newest first; as many as are kept.
    pub occurrences: Vec<Occurrence>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PatternsRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PatternBy>,
    /// 24h if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Period>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Counted {
    pub schema_version: u32,
    pub by: PatternBy,
    pub since: Timestamp,
    pub patterns: Vec<ErrorPattern>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ResolveRequest {
    pub id: u64,
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct IgnoreRequest {
    pub id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// From now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// So many more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AssignRequest {
    pub id: u64,
    /// To nobody without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReopenRequest {
    pub id: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Changed {
    pub schema_version: u32,
    #[serde(flatten)]
    pub group: ErrorGroup,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Patterns, _, _>(handle_patterns),
        Route::to::<Resolve, _, _>(handle_resolve),
        Route::to::<Ignore, _, _>(handle_ignore),
        Route::to::<Assign, _, _>(handle_assign),
        Route::to::<Reopen, _, _>(handle_reopen),
    ]
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Groups, Fault> {
    app.errors.flush().await;
    let at = app.clock.now();
    let ListRequest { within, limit, category, operation, agent, state, severity, all } = request;
    let since = within.map(|period| before(at, period));
    let filter = ErrorFilter { since, category, operation, agent, state, severity, all };
    let errors = app.store.error_groups(filter, at, app.errors.rule(), limit).await?;
    Ok(Groups { schema_version: 1, at, errors })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<Shown, Fault> {
    app.errors.flush().await;
    let at = app.clock.now();
    let found = app.store.error_group(request.id, at, app.errors.rule()).await?;
    let (group, occurrences) = found.ok_or_else(|| absent(request.id))?;
    Ok(Shown { schema_version: 1, at, group, occurrences })
}

async fn handle_patterns(app: App, _caller: Caller, request: PatternsRequest) -> Result<Counted, Fault> {
    app.errors.flush().await;
    let (at, by) = (app.clock.now(), request.by.unwrap_or_default());
    // The present hour counts as one of them.
    let period = request.since.unwrap_or(Period::secs(24 * 3600));
    let since = before(at, period).checked_add(SignedDuration::from_hours(1)).unwrap_or(at).min(at);
    let patterns = app.store.error_patterns(by, since, at).await?;
    Ok(Counted { schema_version: 1, by, since, patterns })
}

async fn handle_resolve(app: App, caller: Caller, request: ResolveRequest) -> Result<Changed, Fault> {
    // What happened before it was resolved is no regression.
    app.errors.flush().await;
    let note = app.errors.redactor().clean(&request.note, LONGEST_NOTE);
    let act = Act::new(&caller, Resolve::NAME, "");
    let done = app.store.resolve_error(request.id, note, act).await?;
    changed(&app, request.id, done).await
}

async fn handle_ignore(app: App, caller: Caller, request: IgnoreRequest) -> Result<Changed, Fault> {
    app.errors.flush().await;
    let now = app.clock.now();
    let until = match (request.until, request.period) {
        (Some(_), Some(_)) => {
            return Err(Fault::usage("cannot ignore it until a date and for a time: give one"));
        }
        (Some(at), None) => Some(at),
        (None, period) => period.and_then(|period| {
            now.checked_add(SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX)).ok()
        }),
    };
    if until.is_some_and(|until| until <= now) {
        return Err(Fault::usage("cannot ignore it until then: that is past"));
    }
    let note = app.errors.redactor().clean(&request.note, LONGEST_NOTE);
    let ignored = Ignored { until, until_count: request.count, note };
    let done = app.store.ignore_error(request.id, ignored, Act::new(&caller, Ignore::NAME, "")).await?;
    changed(&app, request.id, done).await
}

async fn handle_assign(app: App, caller: Caller, request: AssignRequest) -> Result<Changed, Fault> {
    let to = request.to.map(|name| app.errors.redactor().clean(&name, LONGEST_NOTE));
    if to.as_ref().is_some_and(String::is_empty) {
        return Err(Fault::usage("cannot assign it: the name is blank").hint("--nobody takes it back"));
    }
    let done = app.store.assign_error(request.id, to, Act::new(&caller, Assign::NAME, "")).await?;
    changed(&app, request.id, done).await
}

async fn handle_reopen(app: App, caller: Caller, request: ReopenRequest) -> Result<Changed, Fault> {
    let done = app.store.reopen_error(request.id, Act::new(&caller, Reopen::NAME, "")).await?;
    changed(&app, request.id, done).await
}

async fn changed(app: &App, id: u64, done: bool) -> Result<Changed, Fault> {
    let found =
        if done { app.store.error_group(id, app.clock.now(), app.errors.rule()).await? } else { None };
    let (group, _) = found.ok_or_else(|| absent(id))?;
    Ok(Changed { schema_version: 1, group })
}

fn absent(id: u64) -> Fault {
    Fault::not_found(format!("cannot find error {id}: there is none"))
        .hint("`agentctl error list --all` shows them")
}

fn before(at: Timestamp, period: Period) -> Timestamp {
    at.checked_sub(SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX))
        .unwrap_or(Timestamp::MIN)
}

fn page() -> u32 {
    100
}
