//! The roles with which agents come to their PostgreSQL servers: do they have more rights than they need, and are the
//! applications' migrations at head?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    config::DependencySettings,
    health::inspect_postgres,
    readiness::{Evidence, Found, checks::configuration::is_development},
};
use futures_util::future::join_all;
#[cfg(test)]
use futures_util::{FutureExt, future::ready};
use tokio::time::timeout;

/// A dependency's name, and what was objected to there; or why it could not be asked.
type Inspected = (String, Result<Vec<String>, String>);

pub async fn fit(evidence: &Evidence) -> Found {
    let dependencies = &evidence.settings.dependencies;
    let servers = dependencies.iter().filter(|dependency| dependency.kind == "postgres");
    let inspected: Vec<Inspected> = join_all(servers.map(inspected)).await;
    judge(&inspected, is_development(&evidence.settings.environment))
}

async fn inspected(server: &DependencySettings) -> Inspected {
    let limit = server.deadline.0;
    let asked = timeout(limit, inspect_postgres(&server.options)).await;
    let late = || Err(format!("no answer within {} ms", limit.as_millis()));
    (server.name.clone(), asked.unwrap_or_else(|_| late()))
}

fn judge(inspected: &[Inspected], development: bool) -> Found {
    if inspected.is_empty() {
        return Found::not_applicable("the manifest declares no PostgreSQL server");
    }
    let objections: Vec<(&str, &str)> = inspected
        .iter()
        .flat_map(|(name, lines)| lines.iter().flatten().map(|line| (name.as_str(), line.as_str())))
        .collect();
    let unasked = inspected.iter().find_map(|(name, lines)| Some((name, lines.as_ref().err()?)));
    let found = match (objections.first(), unasked) {
        (Some((name, line)), None) if development => Found::warn(format!("{name}: {line}")),
        (Some((name, line)), _) => Found::fail(format!("{name}: {line}")),
        (None, Some((name, why))) => {
            Found::error(format!("{name} could not be asked: {}", why.escape_debug()))
        }
        (None, None) => Found::pass("no role has more rights than it needs, no migration is missing"),
    };
    let found = objections.iter().fold(found, |found, (name, line)| {
        found.seen(format!("{name}: {}", line.escape_debug())).about(format!("dependency/{name}"), *line)
    });
    found.all_seen(inspected.iter().filter(|(_, lines)| lines.as_ref().is_ok_and(Vec::is_empty)).map(
        |(name, _)| {
            format!("{name}: nothing to object to (source: pg_roles, pg_class, the declared migration)")
        },
    ))
}

/// With what a real server says; that it says so is proved with one.
#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-012",
    at_work: || {
        let says = |line: &str| vec![("base".to_owned(), Ok(vec![line.to_owned()]))];
        let sound = vec![("base".to_owned(), Ok(Vec::new()))];
        let broken = vec![
            ("a superuser", judge(&says("the role is a superuser"), false)),
            ("a migration that was not applied", judge(&says("migration 7 was not applied"), false)),
            ("a superuser in development", judge(&says("the role is a superuser"), true)),
        ];
        ready(Tried { sound: vec![judge(&sound, false)], broken }).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_server_that_cannot_be_asked_is_no_pass_and_none_is_not_applicable() {
        let silent = ("base".to_owned(), Err("connection refused".to_owned()));
        let wide = ("more".to_owned(), Ok(vec!["the role may create roles".to_owned()]));
        assert_eq!(judge(&[], false).outcome, Outcome::NotApplicable);
        assert_eq!(judge(std::slice::from_ref(&silent), true).outcome, Outcome::Error);
        let found = judge(&[silent, wide], false);
        assert_eq!((found.outcome, found.affected[0].resource.as_str()), (Outcome::Fail, "dependency/more"));
    }
}
