//! Pure: who must be up before whom. Names that are no agent's (dependencies) order nothing among agents.
use crate::domain::{AgentName, Fault, FaultKind};
use std::collections::BTreeMap;

/// Agents in layers: those of a layer need only agents of earlier ones. Start goes up, stop goes down; within a
/// layer everything may happen at once. A cycle is a fault that names its members.
pub fn layers(needs: &BTreeMap<AgentName, Vec<String>>) -> Result<Vec<Vec<AgentName>>, Fault> {
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&str, Vec<&AgentName>> = BTreeMap::new();
    for (agent, list) in needs {
        let mut distinct: Vec<&str> = list
            .iter()
            .filter_map(|need| need.parse::<AgentName>().ok())
            .filter_map(|need| needs.get_key_value(&need).map(|(name, _)| name.as_str()))
            .collect();
        distinct.sort_unstable();
        distinct.dedup();
        missing.insert(agent.as_str(), distinct.len());
        for need in distinct {
            dependents.entry(need).or_default().push(agent);
        }
    }
    let mut layers = Vec::new();
    let mut layer: Vec<AgentName> =
        needs.keys().filter(|name| missing[name.as_str()] == 0).cloned().collect();
    let mut placed = 0;
    while !layer.is_empty() {
        placed += layer.len();
        let mut next = Vec::new();
        for name in &layer {
            for dependent in dependents.get(name.as_str()).into_iter().flatten() {
                if let Some(count) = missing.get_mut(dependent.as_str()) {
                    *count -= 1;
                    if *count == 0 {
                        next.push((*dependent).clone());
                    }
                }
            }
        }
        layers.push(std::mem::replace(&mut layer, next));
    }
    if placed == needs.len() {
        return Ok(layers);
    }
    Err(Fault::new(
        FaultKind::Config,
        format!("cannot order the agents: {} need each other", ring(needs, &missing)),
    )
    .hint("remove one of these from its `depends_on`"))
}

/// One cycle, as `a → b → a`. Follows unplaced needs until a name comes up again.
fn ring(needs: &BTreeMap<AgentName, Vec<String>>, missing: &BTreeMap<&str, usize>) -> String {
    let unplaced = |name: &str| missing.get(name).is_some_and(|count| *count > 0);
    let mut path: Vec<&str> = Vec::new();
    let mut at = needs.keys().map(AgentName::as_str).find(|name| unplaced(name));
    while let Some(name) = at {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            path.drain(..start);
            path.push(name);
            break;
        }
        path.push(name);
        at = name
            .parse::<AgentName>()
            .ok()
            .and_then(|agent| needs.get(&agent))
            .and_then(|list| list.iter().map(String::as_str).find(|need| unplaced(need)));
    }
    path.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needs(pairs: &[(&str, &[&str])]) -> BTreeMap<AgentName, Vec<String>> {
        pairs
            .iter()
            .map(|(name, list)| {
                (name.parse().expect("a name"), list.iter().map(|need| (*need).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn those_who_need_come_after_those_they_need() {
        let order = layers(&needs(&[
            ("api", &["db-agent", "cache", "orders-db"]),
            ("cache", &[]),
            ("db-agent", &["cache", "cache"]),
            ("lone", &[]),
        ]))
        .expect("an order");
        let names: Vec<Vec<_>> =
            order.iter().map(|layer| layer.iter().map(AgentName::as_str).collect()).collect();
        assert_eq!(names, [vec!["cache", "lone"], vec!["db-agent"], vec!["api"]]);
    }

    #[test]
    fn a_cycle_names_its_members_and_not_those_behind_it() {
        let fault =
            layers(&needs(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &["a"])])).unwrap_err();
        assert!(fault.message.contains("b → c → b"), "{}", fault.message);
        assert!(layers(&needs(&[("a", &["a"])])).unwrap_err().message.contains("a → a"));
    }

    proptest! {
        /// Edges that only point to smaller numbers have no cycle: everyone is placed, after all it needs.
        #[test]
        fn every_acyclic_fleet_has_an_order(edges in prop::collection::vec((0usize..30, 0usize..30), 0..120)) {
            let mut fleet: BTreeMap<AgentName, Vec<String>> =
                (0..30).map(|n| (format!("a{n:02}").parse().expect("a name"), Vec::new())).collect();
            for (x, y) in edges {
                if x != y {
                    let key = format!("a{:02}", x.max(y)).parse::<AgentName>().expect("a name");
                    fleet.get_mut(&key).expect("present").push(format!("a{:02}", x.min(y)));
                }
            }
            let order = layers(&fleet).expect("an order");
            let layer_of: BTreeMap<&str, usize> = order
                .iter()
                .enumerate()
                .flat_map(|(n, layer)| layer.iter().map(move |name| (name.as_str(), n)))
                .collect();
            prop_assert_eq!(layer_of.len(), fleet.len());
            for (name, list) in &fleet {
                for need in list {
                    prop_assert!(layer_of[need.as_str()] < layer_of[name.as_str()]);
                }
            }
        }
    }
}
