//! The keyring on a store of its own, with a clock that the tests turn.
use super::*;
use crate::{
    auth::{Names, Policy},
    config::{AccessSettings, Settings, StoreSettings},
    domain::{Act, AuditOutcome, Caller, Clients, Fault, FaultKind, Holds, Identity, Means, Period, Role},
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{sync::watch, time::advance};

const VIEWER: u32 = 4242;

struct Bench {
    home: TempDir,
    keyring: Keyring,
    store: Store,
    clock: Clock,
    settings: watch::Sender<Arc<Settings>>,
    policy: watch::Sender<Arc<Policy>>,
}

fn policy(viewers: &[u32]) -> Arc<Policy> {
    let viewer_users = viewers.iter().map(u32::to_string).collect();
    let access = AccessSettings { viewer_users, ..AccessSettings::default() };
    Arc::new(Policy::resolve(&access, &Names::default(), 1000).0)
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Clock::anchored(Timestamp::from_second(1_800_000_000).expect("a time"));
        let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
        let store = Store::open(&path, &backups, &StoreSettings::default(), clock.clone()).expect("opens");
        let settings = watch::Sender::new(Arc::new(Settings::default()));
        let policy = watch::Sender::new(policy(&[VIEWER]));
        let keyring = Keyring::new(settings.subscribe(), policy.subscribe(), store.clone(), clock.clone());
        Self { home, keyring, store, clock, settings, policy }
    }

    /// The same store under another daemon.
    fn restarted(&self) -> Keyring {
        let (settings, policy) = (self.settings.subscribe(), self.policy.subscribe());
        Keyring::new(settings, policy, self.store.clone(), self.clock.clone())
    }

    async fn key(
        &self,
        principal: &str,
        expires_in: Option<Period>,
    ) -> (crate::domain::ApiKey, SecretString) {
        self.create(KeyRequest { expires_in, ..request(principal) }).await.expect("created")
    }

    async fn create(&self, request: KeyRequest) -> Result<(crate::domain::ApiKey, SecretString), Fault> {
        let admin = user(0, Role::Admin);
        self.keyring.create_key(&admin, request, Act::new(&admin, "keys/create", "")).await
    }

    async fn shown(&self, token: &SecretString) -> Result<Caller, Why> {
        self.shown_by(&user(VIEWER, Role::Viewer), token).await
    }

    async fn shown_by(&self, caller: &Caller, token: &SecretString) -> Result<Caller, Why> {
        self.keyring.recognise(caller, None, token).await.map_err(|refusal| refusal.why)
    }

    async fn login(&self, caller: &Caller) -> Result<(crate::domain::Session, SecretString), Fault> {
        self.keyring.open_session(caller, Act::new(caller, "sessions/open", "")).await
    }
}

fn request(principal: &str) -> KeyRequest {
    KeyRequest {
        principal: principal.parse().expect("a principal"),
        role: None,
        application_role: None,
        clients: Clients::None,
        networks: Vec::new(),
        expires_at: None,
        expires_in: None,
    }
}

fn user(uid: u32, role: Role) -> Caller {
    Caller::by_socket(Identity { uid, gid: uid, pid: Some(1) }, role, None)
}

fn act() -> Act {
    Act::new(&user(0, Role::Admin), "keys/revoke", "")
}

fn over(outcome: Result<Caller, Why>) -> Holds {
    match outcome {
        Err(Why::Over(_, _, holds)) => holds,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_right_key_opens_and_every_other_is_refused_for_its_own_reason_in_one_sentence() {
    let bench = Bench::new();
    let (key, token) = bench.key("service:billing", None).await;
    let (other, other_token) = bench.key("service:other", None).await;
    let caller = bench.shown(&token).await.expect("let in");
    assert_eq!((caller.principal.to_string().as_str(), caller.role), ("service:billing", Role::Service));
    assert_eq!((caller.means, caller.identity.uid), (Means::Key(key.id.clone()), VIEWER));
    let text = token.expose_secret();
    // The id of one with the secret of the other, and a checksum that is right.
    let spliced = format!("{}_{}", key.id, &other_token.expose_secret()[17..60]);
    let check = crate::auth::checksum(spliced.as_bytes());
    let spliced = format!("agc_{spliced}{}", String::from_utf8_lossy(&check));
    let stranger = crate::auth::mint(crate::auth::TokenKind::Key).expect("minted");
    let mut sentences = std::collections::BTreeSet::new();
    for (shown, why) in [
        (text[..text.len() - 1].to_owned(), "malformed: it has not"),
        (String::new(), "malformed: it has not"),
        (format!("{text}x"), "malformed: it has not"),
        (text.replace(&key.id, &other.id), "malformed: its checksum"),
        (stranger.token.expose_secret().to_owned(), "unknown: "),
        (spliced, "wrong: "),
        (text.replace("agc_", "ags_"), "unknown: there is no session"),
    ] {
        let by = user(VIEWER, Role::Viewer);
        let refusal = bench.keyring.recognise(&by, None, &shown.clone().into()).await.expect_err(&shown);
        let (told, answer) = (refusal.for_the_trail().to_string(), refusal.answer());
        assert!(told.starts_with(why), "{told}");
        assert!(shown.is_empty() || !told.contains(&shown), "the trail repeats what was shown: {told}");
        assert_eq!(answer.kind, FaultKind::Unauthenticated);
        sentences.insert(format!("{answer} {:?}", answer.hint));
    }
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    assert!(bench.shown(&token).await.is_ok() && bench.shown(&other_token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_when_it_expires_is_replaced_or_revoked_and_not_before() {
    let bench = Bench::new();
    let (_, short) = bench.key("service:short", Some(Period::secs(60))).await;
    let (old, old_token) = bench.key("service:old", Some(Period::secs(3600))).await;
    let admin = user(0, Role::Admin);
    let rotation = bench.keyring.rotate_key(&admin, &old.id, Period::secs(30), act()).await.expect("rotated");
    assert_eq!(rotation.old.replaced_by.as_deref(), Some(&*rotation.new.id));
    assert_eq!((&rotation.new.principal, rotation.new.lifetime()), (&old.principal, old.lifetime()));
    let again = bench.keyring.rotate_key(&admin, &old.id, Period::secs(30), act()).await;
    assert_eq!(again.map(|_| ()).expect_err("twice").kind, FaultKind::Conflict);
    advance(Duration::from_secs(29)).await;
    for token in [&short, &old_token, &rotation.token] {
        assert!(bench.shown(token).await.is_ok());
    }
    advance(Duration::from_secs(1)).await;
    assert_eq!(over(bench.shown(&old_token).await), Holds::Replaced);
    assert!(bench.shown(&short).await.is_ok() && bench.shown(&rotation.token).await.is_ok());
    advance(Duration::from_secs(30)).await;
    assert_eq!(over(bench.shown(&short).await), Holds::Expired);
    bench.keyring.revoke_key(&rotation.new.id, act()).await.expect("revoked");
    assert_eq!(over(bench.shown(&rotation.token).await), Holds::Revoked);
    assert_eq!(over(bench.shown(&old_token).await), Holds::Replaced);
    let restarted = bench.restarted();
    let by = user(VIEWER, Role::Viewer);
    assert!(restarted.recognise(&by, None, &rotation.token).await.is_err(), "a restart gave it back");
    for id in ["", "nobody", "000000000000"] {
        let unknown = bench.keyring.revoke_key(id, act()).await.expect_err("unknown");
        assert_eq!(unknown.kind, FaultKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_stays_an_agent_whatever_it_shows() {
    let bench = Bench::new();
    let wide = |principal: &str, role| KeyRequest {
        role: Some(role),
        clients: Clients::All,
        application_role: Some("system".into()),
        ..request(principal)
    };
    let (_, admins) = bench.create(wide("service:ops", Role::Admin)).await.expect("created");
    let (_, own) = bench.create(wide("agent:orders", Role::Agent)).await.expect("created");
    let identity = Identity { uid: 60_001, gid: 60_001, pid: Some(7) };
    let agent = Caller::by_socket(identity, Role::Agent, Some("orders".parse().expect("a name")));
    let stolen = bench.shown_by(&agent, &admins).await.expect("recognised");
    assert_eq!((stolen.role, stolen.principal.to_string().as_str()), (Role::Agent, "agent:orders"));
    assert_eq!((stolen.clients, stolen.application_role), (Clients::None, None), "nothing of another's key");
    let by_own = bench.shown_by(&agent, &own).await.expect("recognised");
    assert_eq!((by_own.role, &by_own.clients), (Role::Agent, &Clients::All));
    // The same key in the hands of a process that is no agent's.
    let elsewhere = bench.shown(&own).await.expect("recognised");
    assert_eq!((elsewhere.role, &elsewhere.agent), (Role::Agent, &None));
    let operator = bench.shown(&admins).await.expect("recognised");
    assert_eq!(operator.role, Role::Admin);

    for caller in [&agent, &by_own] {
        assert_eq!(bench.login(caller).await.map(|_| ()).expect_err("a session").kind, FaultKind::Forbidden);
        let made = bench.keyring.create_key(caller, request("service:x"), act()).await;
        assert_eq!(made.map(|_| ()).expect_err("a key").kind, FaultKind::Forbidden);
    }
    assert_eq!(bench.login(&elsewhere).await.map(|_| ()).expect_err("a session").kind, FaultKind::Forbidden);
    let (_, session) = bench.login(&operator).await.expect("opened");
    assert_eq!(bench.shown_by(&agent, &session).await.expect("recognised").role, Role::Agent);
    for role in [Role::Viewer, Role::Operator, Role::Admin, Role::Service] {
        let refused = bench.create(wide("agent:orders", role)).await.map(|_| ()).expect_err("made");
        assert_eq!(refused.kind, FaultKind::Refused);
    }
    assert!(bench.create(request("user:1000")).await.is_err(), "a key for a user");
    let viewer = user(VIEWER, Role::Viewer);
    let lifted = bench.keyring.create_key(&viewer, wide("service:x", Role::Operator), act()).await;
    assert_eq!(lifted.map(|_| ()).expect_err("lifted").kind, FaultKind::Forbidden);
}

#[tokio::test(start_paused = true)]
async fn an_allow_list_counts_by_address_and_an_unknown_address_is_refused_clearly() {
    let bench = Bench::new();
    let networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let (_, token) = bench.create(KeyRequest { networks, ..request("service:far") }).await.expect("created");
    let by = user(VIEWER, Role::Viewer);
    let from = async |address: &str| {
        let address = Some(address.parse().expect("an address"));
        bench.keyring.recognise(&by, address, &token).await
    };
    assert!(from("10.2.3.4").await.is_ok() && from("::ffff:10.2.3.4").await.is_ok());
    assert!(matches!(from("11.0.0.1").await.expect_err("elsewhere").why, Why::NotFromHere(_)));
    let refusal = bench.keyring.recognise(&by, None, &token).await.expect_err("no address");
    assert_eq!(refusal.answer().kind, FaultKind::Forbidden);
    assert!(refusal.answer().message.contains("Unix socket"));
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_it_idles_when_its_time_is_up_and_when_it_is_ended() {
    let bench = Bench::new();
    let viewer = user(VIEWER, Role::Viewer);
    let (session, token) = bench.login(&viewer).await.expect("opened");
    let caller = bench.shown(&token).await.expect("let in");
    assert_eq!((caller.means.clone(), caller.role), (Means::Session(session.id), Role::Viewer));
    let again = bench.login(&caller).await.map(|_| ()).expect_err("a session from a session");
    assert_eq!(again.kind, FaultKind::Refused);
    // 30 minutes idle, 12 hours at most.
    for _ in 0..24 {
        advance(Duration::from_secs(29 * 60)).await;
        assert!(bench.shown(&token).await.is_ok(), "it was used within half an hour");
    }
    advance(Duration::from_secs(24 * 60)).await;
    assert_eq!(over(bench.shown(&token).await), Holds::Expired);
    let (_, idle) = bench.login(&viewer).await.expect("opened");
    advance(Duration::from_secs(30 * 60)).await;
    assert_eq!(over(bench.shown(&idle).await), Holds::Idle);
    let (_, token) = bench.login(&viewer).await.expect("opened");
    let caller = bench.shown(&token).await.expect("let in");
    bench.keyring.close_session(&caller, act()).await.expect("closed");
    assert_eq!(over(bench.shown(&token).await), Holds::Ended);
    assert!(bench.keyring.close_session(&viewer, act()).await.is_err(), "without a session");
}

#[tokio::test(start_paused = true)]
async fn a_session_never_has_more_than_what_it_was_opened_from_has_now() {
    let bench = Bench::new();
    let (key, token) = bench.key("service:billing", Some(Period::secs(600))).await;
    let by_key = bench.shown(&token).await.expect("let in");
    let (session, of_key) = bench.login(&by_key).await.expect("opened");
    assert_eq!(Some(session.expires_at), key.expires_at, "it would outlive its key");
    assert_eq!(bench.shown(&of_key).await.expect("let in").principal, key.principal);
    bench.keyring.revoke_key(&key.id, act()).await.expect("revoked");
    assert!(bench.shown(&of_key).await.is_err(), "its key is gone");

    let viewer = user(VIEWER, Role::Viewer);
    let (_, of_user) = bench.login(&viewer).await.expect("opened");
    let stranger = user(VIEWER + 1, Role::Admin);
    assert!(matches!(bench.shown_by(&stranger, &of_user).await, Err(Why::NotTheirs(_))));
    // Whoever became more since then logs in again; whoever became less has less at once.
    let risen = user(VIEWER, Role::Admin);
    assert_eq!(bench.shown_by(&risen, &of_user).await.expect("let in").role, Role::Viewer);
    bench.policy.send_replace(policy(&[]));
    assert_eq!(over(bench.shown(&of_user).await), Holds::Void);
    bench.policy.send_replace(policy(&[VIEWER]));
    assert!(bench.shown(&of_user).await.is_ok());
    let (_, of_admin) = bench.login(&user(1000, Role::Admin)).await.expect("opened");
    assert_eq!(bench.shown_by(&user(1000, Role::Admin), &of_admin).await.expect("let in").role, Role::Admin);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_session_ends_when_one_too_many_is_opened_and_only_of_that_principal() {
    let bench = Bench::new();
    let mut settings = Settings::default();
    settings.sessions.per_principal = 2;
    bench.settings.send_replace(Arc::new(settings));
    let (viewer, other) = (user(VIEWER, Role::Viewer), user(1000, Role::Admin));
    let (_, others) = bench.login(&other).await.expect("opened");
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(bench.login(&viewer).await.expect("opened").1);
        advance(Duration::from_secs(1)).await;
    }
    assert!(bench.shown(&tokens[0]).await.is_err(), "three are open");
    assert!(bench.shown(&tokens[1]).await.is_ok() && bench.shown(&tokens[2]).await.is_ok());
    assert!(bench.shown_by(&other, &others).await.is_ok(), "another's was ended");
    let ended = bench.keyring.end_sessions_of(viewer.principal.clone(), act()).await.expect("ended");
    assert_eq!(ended, 2);
    assert!(bench.shown(&tokens[2]).await.is_err());
    let listed = bench.keyring.sessions(true).await.expect("listed");
    let holds: Vec<_> = listed.iter().map(|(_, holds)| *holds).collect();
    assert_eq!(holds.iter().filter(|holds| **holds == Holds::Ended).count(), 3, "{holds:?}");
}

#[tokio::test(start_paused = true)]
async fn every_change_has_its_row_and_no_secret_is_stored() {
    let bench = Bench::new();
    let (key, token) = bench.key("service:billing", None).await;
    let caller = bench.shown(&token).await.expect("let in");
    let (session, session_token) = bench.login(&caller).await.expect("opened");
    let rotation = bench
        .keyring
        .rotate_key(&user(0, Role::Admin), &key.id, Period::secs(1), act())
        .await
        .expect("rotated");
    bench.keyring.revoke_key(&key.id, act()).await.expect("revoked");
    let rows = bench.store.audit_events(0, 9).await.expect("read");
    let objects: Vec<_> = rows.iter().map(|row| (row.object.as_str(), row.outcome)).collect();
    let on = |object: &str| (object.to_owned(), AuditOutcome::Done);
    let wanted = [
        on(&format!("key/{}", key.id)),
        on(&format!("session/{}", session.id)),
        on(&format!("key/{}", key.id)),
        on(&format!("key/{}", key.id)),
    ];
    assert!(
        objects.iter().map(|(object, outcome)| ((*object).to_owned(), *outcome)).eq(wanted),
        "{objects:?}"
    );
    bench.store.close().await;
    for token in [&token, &session_token, &rotation.token] {
        for entry in std::fs::read_dir(bench.home.path()).expect("a directory").flatten() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            let secret = &token.expose_secret().as_bytes()[17..60];
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "a secret is in {}", entry.path().display());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_use_is_kept_without_a_write_each() {
    let bench = Bench::new();
    let (key, token) = bench.key("service:billing", None).await;
    assert_eq!(bench.keyring.key(&key.id).await.expect("known").last_used_at, None);
    let stored = async || bench.store.keys().await.expect("read")[0].key.last_used_at;
    bench.shown(&token).await.expect("let in");
    let first = bench.clock.now();
    while stored().await.is_none() {
        tokio::task::yield_now().await;
    }
    let writes = bench.store.stats().writes;
    for _ in 0..50 {
        advance(Duration::from_secs(1)).await;
        bench.shown(&token).await.expect("let in");
    }
    assert_eq!((stored().await, bench.store.stats().writes), (Some(first), writes), "a write each");
    assert_eq!(bench.keyring.key(&key.id).await.expect("known").last_used_at, Some(bench.clock.now()));
    advance(Duration::from_secs(10)).await;
    bench.shown(&token).await.expect("let in");
    let now = bench.clock.now();
    while stored().await != Some(now) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_lasts_ends_with_the_key_and_not_before() {
    let bench = Bench::new();
    let (key, token) = bench.key("service:billing", None).await;
    let caller = bench.shown(&token).await.expect("let in");
    let lapse = bench.keyring.lapse(&caller.means);
    tokio::pin!(lapse);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut lapse).await.is_err(), "it is in force");
    bench.keyring.revoke_key(&key.id, act()).await.expect("revoked");
    tokio::time::timeout(Duration::from_secs(1), lapse).await.expect("it goes on");
    let by_socket = bench.keyring.lapse(&Means::Socket);
    assert!(tokio::time::timeout(Duration::from_secs(3600), by_socket).await.is_err());
}
