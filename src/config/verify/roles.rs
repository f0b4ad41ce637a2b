//! Roles in the applications: names of their own, and nobody granted one that is not there.
use super::{Verifier, shown, with_nearest};
use crate::{
    config::{AgentSettings, ClientsSettings},
    domain::{Role, ShippedRole, check_client},
};
use std::collections::{BTreeSet, HashMap};

impl Verifier<'_> {
    pub(super) fn roles(&mut self) {
        let settings = self.settings;
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, role) in settings.roles.iter().enumerate() {
            let (at, name) = (format!("/role/{index}"), role.name.as_str());
            let named = format!("{at}/name");
            if ShippedRole::named(name).is_some() {
                let message = format!("the role `{name}` ships with agentd and stays as it is");
                self.tell(
                    message,
                    &named,
                    format!("`agentctl auth role explain {name}` says what it may do"),
                );
            } else if Role::ALL.iter().any(|known| known.as_str() == name) {
                let message = format!("`{name}` is a role at agentd itself");
                self.tell(message, &named, "roles in the applications need a name of their own");
            } else if let Some(first) = seen.get(name) {
                let line = self.place(&format!("/role/{first}/name"));
                let line = self.layers[line.layer as usize].text.line(line.start());
                let message = format!("the role `{}` is that of line {line} already", shown("", name));
                self.tell(message, &named, "give each a name of its own");
            } else {
                seen.insert(name, index);
            }
            let mut permissions = BTreeSet::new();
            for (place, permission) in role.permissions.iter().enumerate() {
                if !permissions.insert(permission) {
                    let pointer = format!("{at}/permissions/{place}");
                    self.tell(format!("`{permission}` stands twice"), &pointer, "once is enough");
                }
            }
        }
        for (index, agent) in settings.agents.iter().enumerate() {
            self.granted(&format!("/agent/{index}"), agent);
        }
    }

    fn granted(&mut self, at: &str, agent: &AgentSettings) {
        let settings = self.settings;
        let shipped = ShippedRole::ALL.iter().map(|role| role.name);
        let known = shipped.chain(settings.roles.iter().map(|role| role.name.as_str()));
        if let Some(role) = &agent.role
            && !known.clone().any(|name| name == role)
            && !self.maimed.iter().any(|lost| lost.starts_with("/role"))
        {
            let message = format!("there is no role `{}` in the applications", shown("role", role));
            let problem = self.problem(message, self.place(&format!("{at}/role")));
            self.problems.push(with_nearest(problem, role, known, "roles"));
        }
        let Some(clients) = &agent.clients else { return };
        let pointer = format!("{at}/clients");
        if agent.role.is_none() && !self.maimed.contains(at) {
            self.tell(
                "it has clients and no role, so it may do nothing for them",
                &pointer,
                "give it a `role`, or leave `clients` out",
            );
        }
        let ClientsSettings::Only(ids) = clients else { return };
        if ids.is_empty() {
            self.tell("`clients` names nobody", &pointer, "write \"all\" or ids, or leave it out");
        }
        for (place, id) in ids.iter().enumerate() {
            if let Err(why) = check_client(id) {
                self.tell(why, &format!("{pointer}/{place}"), "write it as the applications do");
            }
        }
    }
}
