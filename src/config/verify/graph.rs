//! The graph of dependencies: no edge leads nowhere, and none leads back.
use super::Verifier;
use crate::{config::check::shown, domain::nearest};
use std::collections::{HashMap, HashSet};

impl Verifier<'_> {
    pub(super) fn dependencies(&mut self) {
        let settings = self.settings;
        let known: HashSet<&str> = (settings.agents.iter().map(|agent| agent.name.as_str()))
            .chain(settings.dependencies.iter().map(|dependency| dependency.name.as_str()))
            .collect();
        for (index, agent) in settings.agents.iter().enumerate() {
            for (nth, needs) in agent.depends_on.iter().enumerate() {
                let at = format!("/agent/{index}/depends_on/{nth}");
                if needs == agent.name.as_str() {
                    self.tell(format!("agent `{needs}` depends on itself"), &at, "take it out");
                } else if !known.contains(&**needs) {
                    let message = format!(
                        "agent `{}` depends on `{}`, which is not here",
                        agent.name,
                        shown("", needs)
                    );
                    let problem = self.problem(message, self.place(&at));
                    self.problems.push(match nearest(needs, known.iter().copied()) {
                        Some(near) => problem.hint(format!("did you mean `{near}`?")),
                        None => problem.hint("name an [[agent]] or a [[dependency]] of this file"),
                    });
                }
            }
        }
    }

    /// Takes away what depends on nothing that is left; what cannot be taken away turns in a circle.
    pub(super) fn cycles(&mut self) {
        let settings = self.settings;
        let index: HashMap<&str, usize> =
            settings.agents.iter().enumerate().map(|(at, agent)| (agent.name.as_str(), at)).collect();
        let needs: Vec<Vec<usize>> = settings
            .agents
            .iter()
            .enumerate()
            .map(|(at, agent)| {
                let known = agent.depends_on.iter().filter_map(|name| index.get(&**name).copied());
                known.filter(|needed| *needed != at).collect()
            })
            .collect();
        let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
        for (at, needs) in needs.iter().enumerate() {
            for needed in needs {
                needed_by[*needed].push(at);
            }
        }
        let mut free: Vec<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
        while let Some(done) = free.pop() {
            for at in &needed_by[done] {
                open[*at] -= 1;
                if open[*at] == 0 {
                    free.push(*at);
                }
            }
        }
        let mut told: HashSet<usize> = HashSet::new();
        for start in 0..open.len() {
            if open[start] == 0 || told.contains(&start) {
                continue;
            }
            // Following what is stuck ends in a circle; what only hangs on one is not told again.
            let mut path = vec![start];
            let mut at = start;
            let circle = loop {
                let Some(next) = needs[at].iter().copied().find(|next| open[*next] > 0) else { break None };
                if let Some(from) = path.iter().position(|step| *step == next) {
                    break Some(path[from..].to_vec());
                }
                path.push(next);
                at = next;
            };
            told.extend(&path);
            let Some(circle) = circle else { continue };
            let mut names: Vec<&str> = circle.iter().map(|at| settings.agents[*at].name.as_str()).collect();
            names.push(names[0]);
            let message = format!("agents depend on each other in a circle: {}", names.join(" → "));
            self.tell(
                message,
                &format!("/agent/{}/depends_on", circle[0]),
                "take one of these dependencies out",
            );
        }
    }
}
