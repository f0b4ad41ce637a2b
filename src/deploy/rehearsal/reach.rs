//! What agents would reach with what they are given: a live database, or an agent that is not part of the rehearsal.
//! What stands behind references is looked up for that, and never shown.
use super::{
    cast::{Cast, DATABASES, command, environment},
    ports::{named_in, words},
};
use crate::{
    config::{self, AgentSettings, Settings},
    domain::one_line,
};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

/// How addresses begin of what keeps data or passes it on.
const STORES: &[&str] = &[
    "amqp",
    "amqps",
    "cassandra",
    "clickhouse",
    "cockroachdb",
    "couchdb",
    "kafka",
    "mariadb",
    "memcached",
    "mongodb",
    "mssql",
    "mysql",
    "nats",
    "neo4j",
    "oracle",
    "postgres",
    "postgresql",
    "redis",
    "rediss",
    "sqlite",
    "sqlserver",
    "valkey",
];
/// An address that is shorter says nothing when it is found in another text.
const SHORTEST: usize = 6;

/// A declared database, as it is reached today.
struct Live {
    name: String,
    address: Option<SecretString>,
}

/// Why it must not be begun, a sentence each. `today` are the settings in force, `recorded` those of the release.
pub async fn against(cast: &Cast, recorded: &Settings, today: &Settings) -> Vec<String> {
    let overlay = looked_up(&today.rehearsal.env).await;
    let live = live(recorded, today).await;
    let mut against = Vec::new();
    for (name, value) in &overlay {
        if let Some(known) = value.as_ref().and_then(|value| leads_to(value.expose_secret(), &live)) {
            let name = one_line(name);
            against.push(format!("`{name}` of [rehearsal.env] leads to {known}, which is live"));
        }
    }
    for agent in &cast.agents {
        against.extend(of_agent(agent, cast, recorded, &overlay, &live).await);
    }
    against
}

type Given = BTreeMap<String, Option<SecretString>>;

async fn of_agent(
    agent: &AgentSettings,
    cast: &Cast,
    recorded: &Settings,
    overlay: &Given,
    live: &[Live],
) -> Vec<String> {
    let name = &agent.name;
    let way_out = format!("or --without {name}");
    let mut against = Vec::new();
    let mut replaced = overlay.values().flatten().any(|value| is_store(value.expose_secret()));
    for (variable, value) in looked_up(&environment(agent)).await {
        let Some(value) = value else { continue };
        let value = value.expose_secret();
        let leads =
            leads_to(value, live).or_else(|| is_store(value).then(|| "a database or broker".to_owned()));
        let shown = one_line(&variable);
        match overlay.get(&variable) {
            Some(Some(other)) if other.expose_secret() != value => replaced |= leads.is_some(),
            Some(_) if leads.is_some() => {
                against.push(format!("`{shown}` of [rehearsal.env] gives {name} what it has already"));
            }
            Some(_) => {}
            None => {
                if let Some(leads) = leads {
                    against.push(format!(
                        "{name} would reach {leads}, which is live, by {shown}: give it another under [rehearsal.env], {way_out}"
                    ));
                }
                against.extend(calls(value, &variable, cast).map(|other| {
                    format!("{name} would call the living {other} by {shown}: give it another under [rehearsal.env], {way_out}")
                }));
            }
        }
    }
    let command = command(agent);
    for (word, before) in words(&command) {
        if let Some(leads) =
            leads_to(word, live).or_else(|| is_store(word).then(|| "a database or broker".into()))
        {
            against.push(format!(
                "{name} would reach {leads}, which is live, by its command: {}",
                &way_out[3..]
            ));
        }
        against.extend(
            calls(word, before, cast).map(|other| {
                format!("{name} would call the living {other} by its command: {}", &way_out[3..])
            }),
        );
    }
    if !replaced && against.is_empty() {
        let databases = recorded.dependencies.iter().filter(|other| DATABASES.contains(&other.kind.as_str()));
        let declared = recorded.agents.iter().find(|known| known.name == *name);
        let needs = |other: &&config::DependencySettings| {
            declared.is_some_and(|agent| agent.depends_on.contains(&other.name))
        };
        against.extend(databases.filter(needs).map(|other| {
            let other = &other.name;
            format!("{name} needs {other}, which is live, and nothing under [rehearsal.env] leads it elsewhere: add what does, {way_out}")
        }));
    }
    against
}

/// Every database that somebody declared: for backups, or as something that agents need.
async fn live(recorded: &Settings, today: &Settings) -> Vec<Live> {
    let mut found = Vec::new();
    for database in recorded.backups.databases.iter().chain(&today.backups.databases) {
        let address = match &database.url {
            Some(url) => config::resolve(url).await.ok(),
            None => None,
        };
        found.push(Live { name: database.name.clone(), address });
    }
    for dependency in recorded.dependencies.iter().chain(&today.dependencies) {
        if !DATABASES.contains(&dependency.kind.as_str()) {
            continue;
        }
        let text = |key: &str| dependency.options.get(key).and_then(serde_json::Value::as_str);
        let address = match text("url").or_else(|| text("path")) {
            Some(url) => config::resolve(url).await.ok(),
            None => None,
        };
        found.push(Live { name: dependency.name.clone(), address });
    }
    found
}

/// What cannot be looked up is none: whoever is started with it will say so.
async fn looked_up(given: &BTreeMap<String, String>) -> Given {
    let mut found = Given::new();
    for (name, value) in given {
        found.insert(name.clone(), config::resolve(value).await.ok());
    }
    found
}

fn leads_to(value: &str, live: &[Live]) -> Option<String> {
    let known = live.iter().find(|known| {
        let address = known.address.as_ref().map(ExposeSecret::expose_secret);
        address.is_some_and(|address| address.len() >= SHORTEST && value.contains(address))
    });
    known.map(|known| one_line(&known.name))
}

/// `postgresql+asyncpg://…`, `sqlite:///…`, `--db=redis://…`
fn is_store(value: &str) -> bool {
    let Some((before, _)) = value.split_once("://") else { return false };
    let scheme = before.rsplit(['=', ' ', ',', '"', '\'']).next().unwrap_or_default().to_ascii_lowercase();
    let scheme = scheme.trim_start_matches("jdbc:");
    scheme.split(['+', ':']).next().is_some_and(|scheme| STORES.contains(&scheme))
}

/// Agents that are not started and would be called where they live.
fn calls<'a>(text: &str, named: &str, cast: &'a Cast) -> impl Iterator<Item = &'a str> + use<'a> {
    named_in(text, named).into_iter().filter_map(|port| Some(cast.held.get(&port)?.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn asked(agents: Value, dependencies: Value, env: Value, held: &[(u16, &str)]) -> Vec<String> {
        let settings = json!({
            "agent": agents, "dependency": dependencies, "rehearsal": { "env": env },
            "backups": { "database": [{ "name": "ledger", "kind": "postgres", "url": "host=db dbname=ledger" }] },
        });
        let settings: Settings = serde_json::from_value(settings).expect("settings");
        let cast = Cast {
            agents: settings.agents.clone(),
            held: held.iter().map(|(port, name)| (*port, name.parse().expect("a name"))).collect(),
            ..Cast::default()
        };
        against(&cast, &settings, &settings).await
    }

    fn orders(environment: Value) -> Value {
        json!([{ "name": "orders", "kind": "process", "options": { "command": ["x"], "environment": environment } }])
    }

    #[tokio::test]
    async fn a_live_database_must_be_replaced_and_by_another() {
        let url = || orders(json!({ "DATABASE_URL": "postgresql+asyncpg://u:hunter2@db/shop" }));
        let found = asked(url(), json!([]), json!({}), &[]).await;
        assert!(
            found.len() == 1 && found[0].contains("DATABASE_URL") && found[0].contains("--without orders")
        );
        assert!(!found[0].contains("hunter2"), "{found:?}");
        let other = json!({ "DATABASE_URL": "postgresql://u@db/scratch" });
        assert_eq!(asked(url(), json!([]), other, &[]).await, Vec::<String>::new());
        let same = json!({ "DATABASE_URL": "postgresql+asyncpg://u:hunter2@db/shop" });
        assert_eq!(asked(url(), json!([]), same, &[]).await.len(), 1);
        // By what backups know of it, whatever it looks like; and an overlay that leads there.
        let odd = orders(json!({ "LEDGER": "host=db dbname=ledger sslmode=require" }));
        let found = asked(odd.clone(), json!([]), json!({}), &[]).await;
        assert!(found.len() == 1 && found[0].contains("reach ledger"), "{found:?}");
        assert_eq!(asked(odd, json!([]), json!({ "LEDGER": "host=other dbname=x" }), &[]).await.len(), 0);
        let there = json!({ "OTHER": "host=db dbname=ledger" });
        assert_eq!(asked(orders(json!({})), json!([]), there, &[]).await.len(), 1);
        let by_command =
            json!([{ "name": "a", "kind": "process", "options": { "command": ["x", "--db=redis://r/0"] } }]);
        assert_eq!(asked(by_command, json!([]), json!({}), &[]).await.len(), 1);
        assert_eq!(
            asked(orders(json!({ "API": "https://api.example" })), json!([]), json!({}), &[]).await.len(),
            0
        );
    }

    #[tokio::test]
    async fn a_database_that_is_needed_is_replaced_or_nothing_is_begun() {
        let agents = |more: Value| {
            let options = json!({ "command": ["x"], "environment": more });
            json!([{ "name": "orders", "kind": "process", "depends_on": ["db"], "options": options }])
        };
        let dependencies =
            || json!([{ "name": "db", "kind": "sqlite", "options": { "path": "/var/lib/orders.db" } }]);
        let found = asked(agents(json!({})), dependencies(), json!({}), &[]).await;
        assert!(found.len() == 1 && found[0].contains("needs db"), "{found:?}");
        let given = json!({ "DB_PATH": "/var/lib/orders.db" });
        let found = asked(agents(given.clone()), dependencies(), json!({}), &[]).await;
        assert!(found.len() == 1 && found[0].contains("DB_PATH"), "{found:?}");
        assert_eq!(
            asked(agents(given), dependencies(), json!({ "DB_PATH": "/tmp/x.db" }), &[]).await.len(),
            0
        );
        let elsewhere = json!({ "DATABASE_URL": "sqlite:////tmp/x.db" });
        assert_eq!(asked(agents(json!({})), dependencies(), elsewhere, &[]).await.len(), 0);
    }

    #[tokio::test]
    async fn an_agent_that_is_left_out_is_not_called_where_it_lives() {
        let calls = || orders(json!({ "BILLING_URL": "http://127.0.0.1:8000/v1" }));
        let found = asked(calls(), json!([]), json!({}), &[(8000, "billing")]).await;
        assert!(found.len() == 1 && found[0].contains("call the living billing"), "{found:?}");
        assert_eq!(asked(calls(), json!([]), json!({}), &[(8001, "billing")]).await.len(), 0);
        let overlay = json!({ "BILLING_URL": "http://127.0.0.1:9999" });
        assert_eq!(asked(calls(), json!([]), overlay, &[(8000, "billing")]).await.len(), 0);
    }
}
