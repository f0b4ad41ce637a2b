//! The daemon's end: its own clock says what now is.
use crate::{
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, Labels, Period, Permission, Stat},
    metrics::{Asked, Overview, Told, Used},
    protocol::{Endpoint, Verb},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

const DEFAULT_SINCE: Period = Period::secs(3600);

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    pub schema_version: u32,
    pub metrics: Vec<Overview>,
}

pub struct List;
impl Endpoint for List {
    const NAME: &'static str = "metrics/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Listed;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct QueryRequest {
    pub name: String,
    /// `agent=orders,instance=orders/0`; a comma in a value has a backslash before it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub labels: String,
    /// How far back; an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Period>,
    /// How long ago it ends; now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<Stat>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub schema_version: u32,
    #[serde(flatten)]
    pub told: Told,
}

pub struct Query;
impl Endpoint for Query {
    const NAME: &'static str = "metrics/query";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = QueryRequest;
    type Reply = Answer;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TopRequest {
    /// How far back; an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Period>,
    /// How long ago it ends; now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Period>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Ranking {
    pub schema_version: u32,
    pub since: Timestamp,
    pub until: Timestamp,
    /// The share of that time, 0 to 1, that there were looks in.
    pub observed: f64,
    pub agents: Vec<Used>,
}

pub struct Top;
impl Endpoint for Top {
    const NAME: &'static str = "metrics/top";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = TopRequest;
    type Reply = Ranking;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Query, _, _>(handle_query),
        Route::to::<Top, _, _>(handle_top),
    ]
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<Listed, Fault> {
    Ok(Listed { schema_version: 1, metrics: app.metrics.overview().await? })
}

async fn handle_query(app: App, _caller: Caller, request: QueryRequest) -> Result<Answer, Fault> {
    let labels: Labels =
        request.labels.parse().map_err(|wrong| Fault::usage(format!("cannot ask: {wrong}")))?;
    let (since, until) = time(app.clock.now(), request.since, request.until)?;
    let asked = Asked {
        name: request.name,
        labels,
        since,
        until,
        step: request.step.map(|step| step.0),
        stat: request.stat,
    };
    Ok(Answer { schema_version: 1, told: app.metrics.query(asked).await? })
}

async fn handle_top(app: App, _caller: Caller, request: TopRequest) -> Result<Ranking, Fault> {
    let (since, until) = time(app.clock.now(), request.since, request.until)?;
    let agents = app.metrics.used(since, until).await?;
    let observed = app.metrics.observed(since, until).await?;
    Ok(Ranking { schema_version: 1, since, until, observed, agents })
}

fn time(
    now: Timestamp,
    since: Option<Period>,
    until: Option<Period>,
) -> Result<(Timestamp, Timestamp), Fault> {
    let (since, until) = (since.unwrap_or(DEFAULT_SINCE), until.unwrap_or_default());
    if until >= since {
        let message =
            format!("cannot show from {since} ago until {until} ago: it would end before it begins");
        return Err(Fault::usage(message).hint("--since 3h --until 1h shows two hours"));
    }
    // Nothing is kept for longer: the room answers for as long as it has.
    let ago = |period: Period| {
        let back = SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
        now.checked_sub(back).unwrap_or(Timestamp::UNIX_EPOCH)
    };
    Ok((ago(since), ago(until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ends_now_or_some_time_ago_and_never_before_it_begins() {
        let now = Timestamp::from_second(1_700_000_000).expect("a time");
        let (hour, two) = (Some(Period::secs(3600)), Some(Period::secs(7200)));
        let span = |since, until| {
            time(now, since, until).ok().map(|(from, to)| (now.duration_since(from), now.duration_since(to)))
        };
        let hours = SignedDuration::from_hours;
        assert_eq!(span(None, None), Some((hours(1), hours(0))));
        assert_eq!(span(two, hour), Some((hours(2), hours(1))));
        for (since, until) in [(hour, two), (hour, hour), (None, hour)] {
            let refused = time(now, since, until).expect_err("it ends before it begins");
            assert!(refused.hint.is_some(), "{since:?} {until:?}");
        }
    }
}
