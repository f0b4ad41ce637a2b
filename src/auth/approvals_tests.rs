use super::*;
use crate::{
    config::{ApprovalSettings, StoreSettings},
    domain::{AuditOutcome, Identity, Means, Period, Principal},
};
use proptest::{collection::vec, prelude::*};
use serde_json::json;
use std::collections::BTreeMap;
use tempfile::TempDir;

const APART: Separation = Separation::OwnUser;

struct Desk {
    approvals: Approvals,
    store: Store,
    _home: TempDir,
    settings: watch::Sender<Arc<Settings>>,
}

impl Desk {
    fn new(by: ApprovedBy, valid_for: Period) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Clock::system();
        let store =
            Store::open(&home.path().join("db"), home.path(), &StoreSettings::default(), clock.clone());
        let store = store.expect("opens");
        let required = ["waivers/add".to_owned()].into();
        let approvals = ApprovalSettings { required, valid_for, by };
        let (sender, settings) = watch::channel(Arc::new(Settings { approvals, ..Settings::default() }));
        let approvals = Approvals::new(settings, store.clone(), clock);
        Self { approvals, store, _home: home, settings: sender }
    }

    fn another() -> Self {
        Self::new(ApprovedBy::Another, Period::secs(3600))
    }

    async fn claim(&self, caller: &Caller, what: u64) -> Result<(), Fault> {
        self.approvals.claim(caller, action(what), APART).await
    }

    /// The open approval that a refused claim speaks of.
    async fn asked(&self, caller: &Caller, what: u64) -> u64 {
        let fault = self.claim(caller, what).await.expect_err("nobody said yes");
        assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
        let open = self.approvals.list(false).await.expect("read");
        let mine = open.iter().find(|a| a.action == action(what) && a.asked_by == caller.principal);
        let id = mine.expect("asked for").id;
        assert!(fault.hint.is_some_and(|hint| hint.contains(&format!("approval give {id}"))));
        id
    }
}

fn action(what: u64) -> Action {
    Action { action: "waivers/add".into(), object: String::new(), request: json!({ "what": what }) }
}

fn person(uid: u32) -> Caller {
    Caller::by_socket(Identity { uid, gid: uid, pid: Some(9) }, Role::Operator, None)
}

/// A process of `uid` that shows a key of somebody.
fn bearer(uid: u32, principal: &str, role: Role) -> Caller {
    let principal: Principal = principal.parse().expect("a principal");
    Caller { principal, means: Means::Key("k1".into()), role, ..person(uid) }
}

/// Everything that an agent may be seen by.
fn agents() -> [Caller; 4] {
    let own =
        Caller::by_socket(person(61_300).identity, Role::Agent, Some("orders".parse().expect("a name")));
    [
        // It shows the session of an admin: the kernel still says whose process it is.
        Caller { agent: own.agent.clone(), role: Role::Admin, ..bearer(61_300, "user:0", Role::Admin) },
        bearer(2, "agent:orders", Role::Admin),
        bearer(2, "service:orders", Role::Agent),
        own,
    ]
}

fn kind(outcome: Result<impl Sized, Fault>) -> Option<FaultKind> {
    outcome.err().map(|fault| fault.kind)
}

#[tokio::test]
async fn an_agent_gives_nothing_whatever_it_shows() {
    for by in [ApprovedBy::Another, ApprovedBy::Anybody] {
        let desk = Desk::new(by, Period::secs(60));
        let id = desk.asked(&person(1), 1).await;
        for agent in agents() {
            let given = desk.approvals.give(&agent, id, APART).await;
            assert_eq!(kind(given), Some(FaultKind::Forbidden), "{agent:?}");
            assert_eq!(kind(desk.claim(&agent, 2).await), Some(FaultKind::Forbidden), "it asked: {agent:?}");
        }
        assert_eq!(desk.approvals.find(id).await.expect("there").state, ApprovalState::Pending);
        desk.approvals.give(&person(2), id, APART).await.expect("a person's");
        desk.claim(&person(1), 1).await.expect("through");
    }
}

#[tokio::test]
async fn two_keys_of_one_user_are_one_person_and_so_is_one_name_from_two_users() {
    let desk = Desk::another();
    let id = desk.asked(&bearer(1, "service:deploy", Role::Operator), 1).await;
    for own in [
        bearer(1, "service:deploy", Role::Operator),
        bearer(1, "service:other", Role::Admin),
        person(1),
        bearer(2, "service:deploy", Role::Operator),
    ] {
        let fault = desk.approvals.give(&own, id, APART).await.expect_err("given to oneself");
        assert_eq!(fault.kind, FaultKind::Refused, "{own:?}");
        assert!(fault.message.contains("that is you"), "{fault}");
    }
    let nobody = desk.approvals.give(&person(NOBODY), id, APART).await;
    assert_eq!(kind(nobody), Some(FaultKind::Forbidden), "of no user at all");
    desk.approvals.give(&person(2), id, APART).await.expect("another's");
    // Anybody may mean oneself, where the manifest says so.
    let desk = Desk::new(ApprovedBy::Anybody, Period::secs(60));
    let id = desk.asked(&person(1), 1).await;
    desk.approvals.give(&person(1), id, APART).await.expect("one's own");
    desk.claim(&person(1), 1).await.expect("through");
}

#[tokio::test]
async fn where_nothing_separates_agents_nothing_is_asked_given_or_used() {
    let desk = Desk::another();
    for apart in [Separation::None, Separation::OwnCgroup] {
        let fault = desk.approvals.claim(&person(1), action(1), apart).await.expect_err("asked");
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.hint.expect("a hint").contains("user = \"auto\""));
    }
    assert_eq!(desk.approvals.list(true).await.expect("read"), []);
    let id = desk.asked(&person(1), 1).await;
    assert_eq!(kind(desk.approvals.give(&person(2), id, Separation::None).await), Some(FaultKind::Refused));
    desk.approvals.give(&person(2), id, APART).await.expect("given");
    // An agent that came since could have given it.
    let late = desk.approvals.claim(&person(1), action(1), Separation::None).await;
    assert_eq!(kind(late), Some(FaultKind::Refused));
    desk.claim(&person(1), 1).await.expect("through once they are apart again");
}

#[tokio::test]
async fn it_is_for_one_exact_action_of_one_asker_and_once() {
    let desk = Desk::another();
    let id = desk.asked(&person(1), 1).await;
    assert_eq!(desk.asked(&person(1), 1).await, id, "asked twice");
    desk.approvals.give(&person(2), id, APART).await.expect("given");
    let elsewhere = Action { object: "x".into(), ..action(1) };
    let renamed = Action { action: "waivers/revoke".into(), ..action(1) };
    for other in [action(2), elsewhere, renamed] {
        let claimed = desk.approvals.claim(&person(1), other, APART).await;
        assert_eq!(kind(claimed), Some(FaultKind::Refused));
    }
    assert_eq!(kind(desk.claim(&person(3), 1).await), Some(FaultKind::Refused), "somebody else's");
    desk.claim(&person(1), 1).await.expect("through");
    assert_ne!(desk.asked(&person(1), 1).await, id, "used twice");
    let rows = desk.store.audit_events(0, 99).await.expect("read");
    let of_it: Vec<_> = rows.iter().filter(|row| row.object == format!("approval/{id}")).collect();
    let told: Vec<_> = of_it.iter().map(|row| (row.action.as_str(), row.principal.as_str())).collect();
    assert_eq!(
        told,
        [("approvals/ask", "user:1"), ("approvals/give", "user:2"), ("approvals/use", "user:1")]
    );
    assert!(of_it.iter().all(|row| row.outcome == AuditOutcome::Done));
}

#[tokio::test]
async fn a_no_stands_a_yes_can_be_taken_back_and_only_the_asker_withdraws() {
    let desk = Desk::another();
    let id = desk.asked(&person(1), 1).await;
    assert_eq!(kind(desk.approvals.deny(&person(2), id, "  ").await), Some(FaultKind::Usage));
    desk.approvals.give(&person(2), id, APART).await.expect("given");
    desk.approvals.deny(&person(2), id, "not\ntonight").await.expect("thought again");
    let fault = desk.claim(&person(1), 1).await.expect_err("denied");
    assert!(fault.message.contains("user:2 denied approval 1: not tonight"), "{fault}");
    assert_eq!(kind(desk.approvals.give(&person(2), id, APART).await), Some(FaultKind::Conflict));
    let id = desk.asked(&person(1), 2).await;
    assert_eq!(kind(desk.approvals.withdraw(&person(2), id).await), Some(FaultKind::Forbidden));
    desk.approvals.withdraw(&person(1), id).await.expect("withdrawn");
    assert_eq!(kind(desk.approvals.give(&person(2), id, APART).await), Some(FaultKind::Conflict));
    for unknown in [0, 99, u64::MAX] {
        assert_eq!(kind(desk.approvals.give(&person(2), unknown, APART).await), Some(FaultKind::NotFound));
        assert_eq!(kind(desk.approvals.deny(&person(2), unknown, "no").await), Some(FaultKind::NotFound));
    }
}

#[tokio::test]
async fn what_was_not_given_or_used_in_time_has_lapsed() {
    let desk = Desk::new(ApprovedBy::Another, Period::millis(1));
    let lapsed =
        async |id| while desk.approvals.find(id).await.expect("there").state != ApprovalState::Expired {};
    // What is asked and given from here on can wait so long.
    let wait = |valid_for| {
        desk.settings.send_modify(|now| Arc::make_mut(now).approvals.valid_for = valid_for);
    };
    assert_eq!(kind(desk.claim(&person(1), 1).await), Some(FaultKind::Refused));
    lapsed(1).await;
    assert_eq!(kind(desk.approvals.give(&person(2), 1, APART).await), Some(FaultKind::Conflict));
    wait(Period::secs(3600));
    let next = desk.asked(&person(1), 1).await;
    assert_eq!(next, 2);
    wait(Period::millis(1));
    desk.approvals.give(&person(2), next, APART).await.expect("given");
    lapsed(next).await;
    assert_eq!(kind(desk.claim(&person(1), 1).await), Some(FaultKind::Refused), "used too late");
}

#[tokio::test]
async fn what_nobody_can_read_is_not_asked_for() {
    let desk = Desk::another();
    let long = Action { request: json!("x".repeat(LONGEST_REQUEST)), ..action(1) };
    assert_eq!(kind(desk.approvals.claim(&person(1), long, APART).await), Some(FaultKind::Usage));
    assert_eq!(desk.approvals.list(true).await.expect("read"), []);
}

#[test]
fn no_two_actions_read_alike() {
    let of = |action: &str, object: &str, request: serde_json::Value| {
        digest(&Action { action: action.into(), object: object.into(), request })
    };
    let digests = [
        of("a", "bc", json!(null)),
        of("ab", "c", json!(null)),
        of("a", "b", json!("c")),
        of("a", "b", json!(["c"])),
        of("a", "b", json!({ "c": 1 })),
        of("a", "b", json!({ "c": "1" })),
    ];
    let different: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
    assert_eq!(of("a", "b", json!(1)), of("a", "b", json!(1)));
}

#[derive(Clone, Debug)]
enum Move {
    Claim(u32, u64),
    Give(u32, u64),
    Deny(u32, u64),
    Withdraw(u32, u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (0..4u8, 1..4u32, 1..6u64).prop_map(|(which, who, what)| match which {
        0 => Move::Claim(who, what % 2),
        1 => Move::Give(who, what),
        2 => Move::Deny(who, what),
        _ => Move::Withdraw(who, what),
    });
    vec(one, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: each yes of another person lets one action of one asker through, once.
    #[test]
    fn nothing_passes_without_a_yes_of_its_own(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let desk = Desk::another();
            // Who asked for what, and of those the ones that somebody said yes to.
            let mut asked: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
            let mut yes: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
            for step in moves {
                match step {
                    Move::Claim(who, what) => {
                        let ready = yes.iter().find(|(_, of)| **of == (who, what)).map(|(id, _)| *id);
                        let passed = desk.claim(&person(who), what).await.is_ok();
                        assert_eq!(passed, ready.is_some(), "{who} did {what}");
                        match ready {
                            Some(id) => _ = yes.remove(&id),
                            None => {
                                for open in desk.approvals.list(false).await.expect("read") {
                                    let what = open.action.request["what"].as_u64().expect("a number");
                                    asked.insert(open.id, (open.asked_uid, what));
                                }
                            }
                        }
                    }
                    Move::Give(who, id) => {
                        if desk.approvals.give(&person(who), id, APART).await.is_ok() {
                            let of = asked[&id];
                            assert_ne!(of.0, who, "one's own");
                            yes.insert(id, of);
                        }
                    }
                    Move::Deny(who, id) => {
                        if desk.approvals.deny(&person(who), id, "no").await.is_ok() {
                            yes.remove(&id);
                        }
                    }
                    Move::Withdraw(who, id) => {
                        if desk.approvals.withdraw(&person(who), id).await.is_ok() {
                            assert_eq!(asked[&id].0, who);
                            yes.remove(&id);
                        }
                    }
                }
            }
            desk.store.close().await;
        });
    }
}
