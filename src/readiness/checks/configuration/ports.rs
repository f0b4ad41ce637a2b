//! Two agents on one port: the loader must refuse it, and neither the settings in force nor the running fleet has it.
use super::loader::{Loader, Planted, exercise, refusal};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::Settings,
    domain::FleetSnapshot,
    readiness::{Evidence, Found, Ground, Proof, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::collections::BTreeMap;

pub async fn apart(evidence: &Evidence) -> Found {
    let taken = [("manifest", declared(&evidence.settings)), ("running fleet", running(evidence.fleet()))];
    look(&evidence.ground, refusal, &taken).await
}

/// Who has which port.
type Taken = Vec<(u32, String)>;

async fn look(ground: &Ground, loader: Loader, taken: &[(&str, Taken)]) -> Found {
    settle(exercise(ground, planted(), loader).await.map(|proof| judge(proof, taken)))
}

fn planted() -> Planted {
    let manifest = |second: u16, enabled: bool| {
        format!(
            "schema = 1\n[[agent]]\nname = \"first\"\nkind = \"service\"\nreplicas = 2\n\
             options = {{ command = [\"/bin/true\"], port = 28100 }}\n\
             [[agent]]\nname = \"second\"\nkind = \"service\"\nenabled = {enabled}\n\
             options = {{ command = [\"/bin/true\"], port = {second} }}\n\
             [[agent]]\nname = \"off\"\nkind = \"service\"\nenabled = false\n\
             options = {{ command = [\"/bin/true\"], port = 28100 }}\n"
        )
    };
    // The second replica of the first has the port after its own.
    Planted {
        sound: manifest(28102, true),
        wrong: manifest(28101, true),
        naming: &["28101", "first", "second"],
        hidden: None,
    }
}

fn declared(settings: &Settings) -> Taken {
    let fixed = settings.agents.iter().filter(|agent| agent.enabled).filter_map(|agent| {
        let port = agent.options.get("port")?.as_u64().and_then(|port| u32::try_from(port).ok())?;
        (port > 0).then_some((agent, port))
    });
    fixed
        .flat_map(|(agent, port)| {
            (0..agent.replicas).map(move |replica| (port + replica, format!("{}/{replica}", agent.name)))
        })
        .collect()
}

fn running(fleet: &FleetSnapshot) -> Taken {
    let up = fleet.instances().filter(|(_, instance)| instance.state.is_up());
    up.filter_map(|(_, instance)| Some((u32::from(instance.port?), instance.id.to_string()))).collect()
}

fn judge(mut proof: Proof, taken: &[(&str, Taken)]) -> Found {
    let mut shared = Vec::new();
    for (place, ports) in taken {
        let mut holders: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for (port, who) in ports {
            holders.entry(*port).or_default().push(who);
        }
        let mut alone = true;
        for (port, who) in holders.iter().filter(|(_, who)| who.len() > 1) {
            alone = false;
            proof.holds(false, format!("{place}: port {port} is that of {}", who.join(" and of ")));
            shared.push((*port, who.join(",")));
        }
        if alone {
            proof.holds(true, format!("{place}: {} fixed or given ports, each with one holder", ports.len()));
        }
    }
    let found = proof.judge("no two enabled agents are on one port");
    shared.into_iter().fold(found, |found, (port, who)| found.about(format!("port/{port}"), who))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-013",
    at_work: || {
        let taken = |second: u32| vec![(8100, "orders/0".to_owned()), (second, "stock/0".to_owned())];
        let broken: [(_, (Loader, Taken)); 3] = [
            ("a loader that takes two agents on one port", (|_| None, taken(8101))),
            ("a loader that refuses everything", (|_| Some("28101 first second".into()), taken(8101))),
            ("settings in force with two agents on one port", (refusal, taken(8100))),
        ];
        tried(in_force, (refusal, taken(8101)), broken).boxed()
    },
};

#[cfg(test)]
async fn in_force(ground: &Ground, (loader, ports): (Loader, Taken)) -> Found {
    look(ground, loader, &[("manifest", ports)]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_take_the_ports_after_the_first() {
        let settings: Settings = serde_json::from_value(serde_json::json!({ "agent": [
            { "name": "a", "kind": "service", "replicas": 3, "options": { "command": ["x"], "port": 8000 } },
            { "name": "any", "kind": "service", "options": { "command": ["x"], "port": 0 } },
            { "name": "off", "kind": "service", "enabled": false, "options": { "command": ["x"], "port": 8002 } },
        ] }))
        .expect("settings");
        let taken = declared(&settings);
        assert_eq!(taken.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [8000, 8001, 8002]);
        assert_eq!(taken[2].1, "a/2");
    }
}
