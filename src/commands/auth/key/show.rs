//! Keys as people read them.
use super::serve::Entry;
use crate::{
    cli::{Ctl, Table, one_line},
    domain::{ApiKey, Clients, Holds, Network},
};
use jiff::Timestamp;

pub fn table(ctl: &Ctl, keys: &[Entry], all: bool, wide: bool) -> String {
    if keys.is_empty() {
        return if all { "no key is kept\n" } else { "no key is in force\n" }.into();
    }
    let mut head = vec!["ID", "PRINCIPAL", "ROLE", "STANDING", "EXPIRES", "LAST USED"];
    head.extend(
        wide.then_some(["APPLICATION ROLE", "CLIENTS", "FROM", "CREATED", "BY"]).into_iter().flatten(),
    );
    let mut table = Table::new(&head).painted(3, &ctl.ui, |word| match word {
        "in force" => Some("32"),
        _ => Some("2"),
    });
    for Entry { key, holds } in keys {
        let mut row = vec![
            key.id.clone(),
            key.principal.to_string(),
            key.role.to_string(),
            standing(key, *holds),
            key.expires_at.map_or_else(|| "never".into(), minute),
            key.last_used_at.map_or_else(|| "never".into(), minute),
        ];
        if wide {
            row.extend([
                key.application_role.clone().unwrap_or_else(|| "none".into()),
                whose(&key.clients),
                places(&key.networks),
                minute(key.created_at),
                key.created_by.to_string(),
            ]);
        }
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

pub fn described(Entry { key, holds }: &Entry) -> String {
    let mut lines = vec![
        format!("key {} of {}: {}", key.id, key.principal, standing(key, *holds)),
        format!("role              {}", key.role),
        format!("application role  {}", key.application_role.as_deref().unwrap_or("none")),
        format!("clients           {}", whose(&key.clients)),
        format!("from              {}", places(&key.networks)),
        format!("created           {} by {}", minute(key.created_at), key.created_by),
        format!("expires           {}", key.expires_at.map_or_else(|| "never".into(), minute)),
        format!("last used         {}", key.last_used_at.map_or_else(|| "never".into(), minute)),
    ];
    lines.extend(key.revoked_at.map(|at| format!("revoked           {}", minute(at))));
    lines.extend(key.replaced_by.as_ref().map(|id| format!("replaced by       {id}")));
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

fn standing(key: &ApiKey, holds: Holds) -> String {
    match (holds, &key.replaced_by) {
        (Holds::InForce, Some(_)) => "overlapping".into(),
        (holds, _) => holds.as_str().into(),
    }
}

fn whose(clients: &Clients) -> String {
    match clients {
        Clients::All => "all".into(),
        Clients::None => "none".into(),
        Clients::Only(clients) => clients.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn places(networks: &[Network]) -> String {
    match networks {
        [] => "anywhere".into(),
        networks => networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", "),
    }
}

pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
