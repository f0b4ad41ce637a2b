//! Pure: who of a release takes part in its rehearsal and under which ports, who does not, and why.
use super::ports::{Moves, moved_in, named_in, words};
use crate::{
    agents::is_distinctive,
    config::{AgentSettings, AgentSystem, DaemonSettings, DependencySettings, ProbeSettings, Settings},
    domain::{AgentName, Fault, LeftOut, Period},
    store::FORMER,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What is asked of databases themselves. In a rehearsal that would be the live ones.
pub const DATABASES: &[&str] = &["postgres", "redis", "sqlite"];
/// Probes are asked at least so often: nobody waits half a minute for the first answer.
const EVERY: Period = Period::secs(2);
const SLOT: &str = "{port}";

/// What is known before.
pub struct Facts<'a> {
    /// The configuration that the release was recorded with.
    pub recorded: &'a Settings,
    /// Who is not to be started, and why.
    pub leave_out: BTreeMap<AgentName, String>,
    /// Who was stopped by hand.
    pub stopped: BTreeSet<AgentName>,
    /// Ports on which living agents listen without having been given them.
    pub of_its_own: BTreeMap<AgentName, BTreeSet<u16>>,
    /// What every agent gets in a rehearsal.
    pub env: &'a BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub struct Cast {
    pub agents: Vec<AgentSettings>,
    pub dependencies: Vec<DependencySettings>,
    pub left_out: Vec<LeftOut>,
    pub unproved: Vec<String>,
    /// Live ports of agents that are not started.
    pub held: BTreeMap<u16, AgentName>,
}

/// One instance of each agent that can be started without touching what is live. `free` finds a port that nobody has.
pub fn cast(facts: &Facts<'_>, mut free: impl FnMut() -> Result<u16, Fault>) -> Result<Cast, Fault> {
    let recorded = facts.recorded;
    let (mut cast, mut moves) = (Cast::default(), Moves::new());
    for agent in recorded.agents.iter().filter(|agent| agent.enabled) {
        if agent.options.get("command").is_none() {
            let (name, kind) = (&agent.name, &agent.kind);
            cast.unproved.push(format!("{name} was not asked: agents of kind {kind} are only watched"));
            continue;
        }
        let ports = fixed_ports(agent);
        if let Some(why) = why_not(agent, facts) {
            cast.held.extend(ports.into_iter().map(|port| (port, agent.name.clone())));
            cast.left_out.push(LeftOut { agent: agent.name.clone(), why });
            continue;
        }
        if let Some(first) = ports.first() {
            let to = free()?;
            // Whoever called another replica calls the one that there is.
            moves.extend(ports.iter().map(|port| (*port, to)));
            moves.insert(*first, to);
        }
        cast.agents.push(agent.clone());
    }
    for dependency in &recorded.dependencies {
        if DATABASES.contains(&dependency.kind.as_str()) {
            cast.unproved.push(format!("{} was not asked: it is the live one", dependency.name));
        } else {
            let mut dependency = dependency.clone();
            moved_in(&mut dependency.options, "", &moves);
            cast.dependencies.push(dependency);
        }
    }
    let names: BTreeSet<String> = cast.agents.iter().map(|agent| agent.name.to_string()).collect();
    let here = |name: &String| {
        names.contains(name) || cast.dependencies.iter().any(|dependency| dependency.name == *name)
    };
    let mut agents = std::mem::take(&mut cast.agents);
    for agent in &mut agents {
        agent.replicas = 1;
        agent.depends_on.retain(here);
        moved_in(&mut agent.options, "", &moves);
    }
    for agent in &mut agents {
        let name = agent.name.clone();
        agent.probes.retain(|probe| match why_not_asked(probe, &moves) {
            None => true,
            Some(why) => {
                cast.unproved.push(format!("probe {} of {name} was not asked: {why}", probe.name));
                false
            }
        });
        for probe in &mut agent.probes {
            moved_in(&mut probe.options, "", &moves);
            probe.every = probe.every.min(EVERY).max(probe.deadline);
        }
    }
    cast.agents = agents;
    Ok(cast)
}

impl Cast {
    /// Of a daemon that runs this and nothing else, with the code that lies in `releases`.
    pub fn settings(&self, recorded: &Settings, env: &BTreeMap<String, String>, releases: &Path) -> Settings {
        let mut agents = self.agents.clone();
        for agent in &mut agents {
            let Some(options) = agent.options.as_object_mut() else { continue };
            let given = options.entry("environment").or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(given) = given.as_object_mut() {
                given.extend(env.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
            }
        }
        let mut settings = Settings {
            environment: recorded.environment.clone(),
            daemon: DaemonSettings {
                start_concurrency: recorded.daemon.start_concurrency,
                cgroups: recorded.daemon.cgroups,
                ..DaemonSettings::default()
            },
            agents,
            dependencies: self.dependencies.clone(),
            policies: recorded.policies.clone(),
            agent_system: AgentSystem::On,
            ..Settings::default()
        };
        settings.releases.dir = Some(releases.to_owned());
        settings
    }
}

/// The words of its command.
pub fn command(agent: &AgentSettings) -> Vec<String> {
    let words = agent.options.get("command").and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What it is given, as it is written.
pub fn environment(agent: &AgentSettings) -> BTreeMap<String, String> {
    let given = agent.options.get("environment").and_then(Value::as_object).into_iter().flatten();
    given.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Of all its replicas.
fn fixed_ports(agent: &AgentSettings) -> Vec<u16> {
    let port = agent.options.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let Some(first) = port.filter(|port| *port > 0) else { return Vec::new() };
    (0..agent.replicas).filter_map(|replica| first.checked_add(u16::try_from(replica).ok()?)).collect()
}

fn why_not(agent: &AgentSettings, facts: &Facts<'_>) -> Option<String> {
    let name = &agent.name;
    if let Some(why) = facts.leave_out.get(name) {
        return Some(why.clone());
    }
    if facts.stopped.contains(name) {
        return Some("it was stopped by hand, and a return would leave it so".into());
    }
    if name.as_str().starts_with(FORMER) {
        return Some("its name is one that rehearsals keep for themselves".into());
    }
    if agent.user.as_deref().is_some_and(is_distinctive) {
        return Some("its user is the mark by which its living processes are known".into());
    }
    let ports = fixed_ports(agent);
    let strange = facts.of_its_own.get(name).into_iter().flatten();
    let exposed = agent.exposes.iter().filter(|port| **port > 0 && !ports.contains(port));
    if let Some(port) = strange.chain(exposed).find(|port| !movable(agent, facts, **port)) {
        return Some(format!("it listens on port {port}, which it chooses itself: nobody can move it"));
    }
    let port = ports.first()?;
    let heeds = movable(agent, facts, *port);
    (!heeds).then(|| {
        format!(
            "neither its command nor its environment speaks of its port {port}: it might take the live one ({SLOT} \
             stands for the one that it is given)"
        )
    })
}

/// Would it hear that this port is another one now?
fn movable(agent: &AgentSettings, facts: &Facts<'_>, port: u16) -> bool {
    let given = fixed_ports(agent).contains(&port);
    let tells =
        |text: &str, named: &str| given && (text.contains(SLOT) || named_in(text, named).contains(&port));
    let (command, mut given) = (command(agent), environment(agent));
    given.extend(facts.env.clone());
    words(&command).any(|(word, before)| tells(word, before))
        || given.iter().any(|(name, value)| tells(value, name))
}

/// A probe that would look at something live proves nothing of what was started.
fn why_not_asked(probe: &ProbeSettings, moves: &Moves) -> Option<String> {
    let text = |key: &str| probe.options.get(key).and_then(Value::as_str);
    let kind = probe.kind.as_str();
    if DATABASES.contains(&kind) {
        return Some("it looks at the live database".into());
    }
    if kind == "heartbeat" {
        return Some("nobody listens for heartbeats in a rehearsal".into());
    }
    let port = probe.options.get("port").and_then(Value::as_u64);
    if let Some(port) =
        port.filter(|port| u16::try_from(*port).map_or(true, |port| !moves.contains_key(&port)))
    {
        return Some(format!("it looks at port {port}, which is nobody's in the rehearsal"));
    }
    let elsewhere = |url: &str| named_in(url, "").iter().all(|port| !moves.contains_key(port));
    if text("url").is_some_and(elsewhere) || text("host").is_some_and(|host| !is_loopback(host)) {
        return Some("it looks at a place that is not of the rehearsal".into());
    }
    None
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(agents: Value, dependencies: Value) -> Settings {
        serde_json::from_value(json!({ "agent": agents, "dependency": dependencies })).expect("settings")
    }

    fn facts<'a>(recorded: &'a Settings, env: &'a BTreeMap<String, String>) -> Facts<'a> {
        Facts {
            recorded,
            leave_out: BTreeMap::new(),
            stopped: BTreeSet::new(),
            of_its_own: BTreeMap::new(),
            env,
        }
    }

    fn of(facts: &Facts<'_>) -> Cast {
        let mut next = 40_000;
        cast(facts, || {
            next += 1;
            Ok(next)
        })
        .expect("a cast")
    }

    fn names(cast: &Cast) -> Vec<&str> {
        cast.agents.iter().map(|agent| agent.name.as_str()).collect()
    }

    #[test]
    fn services_move_and_whoever_speaks_of_them_hears_of_it() {
        let recorded = settings(
            json!([
                { "name": "orders", "kind": "service", "replicas": 3,
                  "probe": [{ "name": "up", "kind": "http", "options": { "path": "/health" } },
                            { "name": "side", "kind": "http", "options": { "url": "http://127.0.0.1:8000/x" } },
                            { "name": "public", "kind": "http", "options": { "url": "https://orders.example/" } },
                            { "name": "beat", "kind": "heartbeat", "options": { "within": "30s" } }],
                  "options": { "command": ["serve", "--port", "{port}"], "port": 8000 } },
                { "name": "billing", "kind": "process", "depends_on": ["orders", "db"],
                  "options": { "command": ["bill", "--orders=http://localhost:8002"],
                               "environment": { "ORDERS_URL": "http://127.0.0.1:8000" } } },
                { "name": "plain", "kind": "service",
                  "options": { "command": ["uvicorn", "--port", "9000"], "port": 9000 } },
                { "name": "any", "kind": "service", "options": { "command": ["x"], "port": 0 } },
                { "name": "asleep", "kind": "process", "enabled": false, "options": { "command": ["x"] } },
            ]),
            json!([{ "name": "db", "kind": "postgres", "options": { "url": "env:DB" } }]),
        );
        let env = BTreeMap::from([("DB".to_owned(), "env:SCRATCH".to_owned())]);
        let cast = of(&facts(&recorded, &env));
        assert_eq!(names(&cast), ["orders", "billing", "plain", "any"]);
        assert_eq!(cast.left_out, []);
        let [orders, billing, plain, any] = &cast.agents[..] else { panic!("{cast:?}") };
        assert_eq!((orders.options["port"].as_u64(), orders.replicas), (Some(40_001), 1));
        assert_eq!(orders.options["command"][2], "{port}");
        let asked: Vec<&str> = orders.probes.iter().map(|probe| probe.name.as_str()).collect();
        assert_eq!(asked, ["up", "side"]);
        assert_eq!(orders.probes[1].options["url"], "http://127.0.0.1:40001/x");
        assert_eq!(billing.depends_on, ["orders"]);
        assert_eq!(billing.options["environment"]["ORDERS_URL"], "http://127.0.0.1:40001");
        // Of three replicas there is one.
        assert_eq!(billing.options["command"][1], "--orders=http://localhost:40001");
        assert_eq!(
            (plain.options["port"].as_u64(), &plain.options["command"][2]),
            (Some(40_002), &json!("40002"))
        );
        assert_eq!(any.options["port"], 0);
        assert_eq!(cast.unproved.len(), 3, "{:?}", cast.unproved);
        let scratch = cast.settings(&recorded, &env, Path::new("/code"));
        assert!(scratch.agents.iter().all(|agent| agent.options["environment"]["DB"] == "env:SCRATCH"));
        assert_eq!(scratch.agents[1].options["environment"]["ORDERS_URL"], "http://127.0.0.1:40001");
        assert_eq!(scratch.releases.dir.as_deref(), Some(Path::new("/code")));
    }

    #[test]
    fn what_cannot_be_moved_is_left_out_and_said() {
        let recorded = settings(
            json!([
                { "name": "deaf", "kind": "service", "options": { "command": ["x"], "port": 8000 } },
                { "name": "elsewhere", "kind": "http", "options": { "url": "http://10.0.0.1/" } },
                { "name": "stopped", "kind": "process", "options": { "command": ["x"] } },
                { "name": "sends", "kind": "process", "options": { "command": ["x"] } },
                { "name": "opens", "kind": "process", "options": { "command": ["x"] } },
                { "name": "exposed", "kind": "process", "exposes": [9100], "options": { "command": ["x"] } },
                { "name": "marked", "kind": "process", "user": "61300", "options": { "command": ["x"] } },
                { "name": "former-holder-of.61200", "kind": "process", "options": { "command": ["x"] } },
                { "name": "hears", "kind": "service",
                  "options": { "command": ["x"], "environment": { "PORT": "{port}" }, "port": 8100 } },
            ]),
            json!([]),
        );
        let env = BTreeMap::new();
        let facts = Facts {
            leave_out: BTreeMap::from([("sends".parse().expect("a name"), "it sends text messages".into())]),
            stopped: BTreeSet::from(["stopped".parse().expect("a name")]),
            of_its_own: BTreeMap::from([("opens".parse().expect("a name"), BTreeSet::from([9200]))]),
            ..facts(&recorded, &env)
        };
        let cast = of(&facts);
        assert_eq!(names(&cast), ["hears"]);
        assert!(cast.unproved[0].contains("elsewhere was not asked"), "{:?}", cast.unproved);
        for (agent, why) in [
            ("deaf", "speaks of its port 8000"),
            ("stopped", "stopped by hand"),
            ("sends", "text messages"),
            ("opens", "port 9200"),
            ("exposed", "port 9100"),
            ("marked", "user"),
            ("former-holder-of.61200", "name"),
        ] {
            let left = cast.left_out.iter().find(|left| left.agent.as_str() == agent).expect(agent);
            assert!(left.why.contains(why), "{left:?}");
        }
        assert_eq!(cast.held.keys().copied().collect::<Vec<_>>(), [8000]);
    }
}
