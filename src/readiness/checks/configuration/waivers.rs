//! What is waived: few things, and each answered for by somebody who is known here.
use crate::{
    config::{Contact, Settings},
    domain::{Fault, Waiver},
    readiness::{Found, check::settle},
    store::Store,
};
#[cfg(test)]
use crate::{
    domain::Outcome,
    readiness::checks::{Saboteur, Tried, scratch_ground},
};
#[cfg(test)]
use futures_util::FutureExt;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// `at` is the day to judge for: what lapses until then is not counted.
pub async fn few_and_owned(store: &Store, settings: &Settings, at: Timestamp) -> Found {
    let look = async {
        let mut waivers = store.waivers(Some(at)).await.map_err(Fault::from)?;
        waivers.retain(|waiver| waiver.is_in_force(at));
        Ok(judge(&waivers, settings.readiness.max_waivers, &settings.contacts))
    };
    settle(look.await)
}

fn judge(waivers: &[Waiver], most: u32, contacts: &BTreeMap<String, Contact>) -> Found {
    let unknown: Vec<&Waiver> = waivers.iter().filter(|waiver| !is_known(&waiver.owner, contacts)).collect();
    let count = waivers.len();
    let found = if count as u64 > u64::from(most) {
        Found::fail(format!("{count} waivers are in force, and {most} may be"))
    } else if unknown.is_empty() {
        Found::pass(format!("{count} waivers are in force, of {most} that may be"))
    } else {
        Found::warn(format!("{} of {count} waivers have an owner who is no contact", unknown.len()))
    };
    found.all_seen(waivers.iter().map(|waiver| {
        let until = waiver.expires_at.strftime("%Y-%m-%d %H:%MZ");
        let who = if is_known(&waiver.owner, contacts) { "" } else { ", who is not under [contacts]" };
        format!("waiver {} of {} until {until}: {}{who}", waiver.id, waiver.check, waiver.owner)
    }))
}

/// By the key, the name or the address.
fn is_known(owner: &str, contacts: &BTreeMap<String, Contact>) -> bool {
    let is = |text: &str| text.eq_ignore_ascii_case(owner);
    contacts.iter().any(|(key, contact)| is(key) || is(&contact.name) || is(&contact.email))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur { of: "CF-020", at_work: || at_work().boxed() };

/// Waivers in a real store: as many as may be, then one that nobody knows the owner of, then one too many.
#[cfg(test)]
async fn at_work() -> Tried {
    let (_base, ground) = scratch_ground();
    let plot = ground.plot().expect("a plot");
    let mut settings = Settings::default();
    let ana = Contact { name: "Ana Sol".into(), email: "ana@shop.example".into() };
    settings.contacts.insert("ana".into(), ana);
    settings.readiness.max_waivers = 2;
    let store = ground.store(&plot, &settings.store).await.expect("a store");
    let now = Timestamp::now();
    let add = async |owner: &str, hours: i64| {
        let waiver = Waiver {
            id: 0,
            check: "SE-001".into(),
            resource: None,
            fingerprint: None,
            owner: owner.into(),
            reason: "mended next week".into(),
            expires_at: now + jiff::SignedDuration::from_hours(hours),
            added_at: now - jiff::SignedDuration::from_hours(9),
            added_by: "uid 0".into(),
            revoked_at: None,
        };
        store.add_waiver(crate::store::act(), waiver).await.expect("added").id
    };
    let look = async |hours: i64| {
        few_and_owned(&store, &settings, now + jiff::SignedDuration::from_hours(hours)).await
    };
    let mut tried = Tried { sound: vec![look(0).await], broken: Vec::new() };
    add("ana", 1).await;
    add("ana@shop.example", 30).await;
    add("mallory", -1).await; // has expired: nobody needs to answer for it
    tried.sound.push(look(0).await);
    let third = add("Ana Sol", 30).await;
    tried.broken.push(("one waiver too many", look(0).await));
    tried.sound.push(look(2).await); // by then the first has lapsed
    store.revoke_waiver(crate::store::act(), third, "uid 0".into()).await.expect("revoked");
    tried.sound.push(look(0).await);
    add("mallory", 30).await;
    tried.broken.push(("an owner whom nobody knows", look(2).await));
    store.close().await;
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_too_many_fails_and_an_unknown_owner_is_a_warning() {
        let tried = at_work().await;
        assert!(tried.sound.iter().all(|found| found.outcome == Outcome::Pass), "{:?}", tried.sound);
        let outcomes: Vec<_> = tried.broken.iter().map(|(_, found)| found.outcome).collect();
        assert_eq!(outcomes, [Outcome::Fail, Outcome::Warn], "{:?}", tried.broken);
        assert!(tried.broken[1].1.evidence.concat().contains("mallory, who is not under [contacts]"));
        assert_eq!(SABOTEUR.of, "CF-020");
    }
}
