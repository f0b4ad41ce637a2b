//! Quotas per principal and hour, rates per second, and patience with sources that fail to prove who they are.
//! Nothing is written per request: a block of an hour is reserved in the store, and served from memory.
mod account;
mod patience;
mod standing;
mod window;

#[cfg(test)]
mod tests;

pub use standing::{HourUsed, Penalty, QuotaStanding};

use crate::{
    config::{Quota, Settings},
    domain::{Allowance, Caller, Fault, FaultKind, Means, Permission, Principal, PrincipalKind},
    resilience::{Clock, Wait},
    store::Store,
};
use account::{Account, Taken};
use futures_util::future::join_all;
use patience::Patience;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};
use window::{Era, Moment, Window};

#[derive(Clone)]
pub struct Meter {
    settings: watch::Receiver<Arc<Settings>>,
    store: Store,
    clock: Clock,
    inner: Arc<Inner>,
}

struct Inner {
    /// Of those who are bounded and asked in this hour or the one before.
    accounts: RwLock<HashMap<Principal, Arc<Account>>>,
    window: Arc<Window>,
    /// One at a time opens an hour that was before.
    putting_back: Semaphore,
    /// By who the kernel says that they are: one of the agents, or else a uid.
    patience: Mutex<Patience<Principal>>,
}

/// A request that is not served for want of room.
#[derive(Clone, Debug)]
pub struct TurnedAway {
    pub fault: Box<Fault>,
    pub allowance: Allowance,
    /// Of this principal in this hour: the trail has one row of it, not one for each request of a flood.
    pub first: bool,
}

/// What a request counts for.
#[derive(Clone, Copy, PartialEq)]
enum Counts {
    Nothing,
    Speed,
    All,
}

impl Meter {
    pub fn new(settings: watch::Receiver<Arc<Settings>>, store: Store, clock: Clock) -> Self {
        let inner = Inner {
            accounts: RwLock::default(),
            window: Arc::default(),
            putting_back: Semaphore::new(1),
            patience: Mutex::default(),
        };
        Self { settings, store, clock, inner: Arc::new(inner) }
    }

    /// Takes one request from what the caller has left. None where nothing bounds it.
    pub async fn charge(&self, caller: &Caller, needs: Permission) -> Result<Option<Allowance>, TurnedAway> {
        let principal = &caller.principal;
        let quota = match counts(caller, needs) {
            Counts::Nothing => return Ok(None),
            Counts::Speed => Quota { per_hour: None, ..self.quota(principal) },
            Counts::All => self.quota(principal),
        };
        if quota.per_hour.is_none() && quota.speed.is_none() {
            return Ok(None);
        }
        let account = self.account(principal);
        let mut allowance = None;
        if let Some(speed) = quota.speed {
            let (rate, burst) = (speed.per_second.get(), speed.burst.get());
            match account.pace(speed, self.clock.instant()) {
                Ok(left) => {
                    allowance = Some(Allowance {
                        limit: burst.into(),
                        remaining: left.left.into(),
                        reset_s: seconds(left.whole_in),
                        retry_after_s: None,
                    });
                }
                Err(Wait(wait)) => {
                    let fault =
                        busy(format!("cannot take this on: {principal} asks faster than {rate} a second"))
                            .hint(format!(
                                "it may ask again in {}; an administrator sets per_second under [quotas]",
                                told(wait)
                            ));
                    let (era, _) = self.hour(principal).await?;
                    return Err(refusal(fault, burst.into(), wait, account.refuse(era)));
                }
            }
        }
        let Some(limit) = quota.per_hour.map(std::num::NonZero::get) else { return Ok(allowance) };
        loop {
            let (era, left) = self.hour(principal).await?;
            match account.take(era, limit) {
                Taken::Served { used } => {
                    return Ok(Some(Allowance {
                        limit,
                        remaining: limit - used,
                        reset_s: seconds(left),
                        retry_after_s: None,
                    }));
                }
                Taken::Spent => {
                    let fault = busy(format!(
                        "cannot take this on: {principal} has used the {limit} requests of this hour"
                    ))
                    .hint(format!(
                        "it has all of them again in {}; `agentctl auth quota show {principal}`, and an \
                         administrator may reset it",
                        told(left)
                    ));
                    return Err(refusal(fault, limit, left, account.refuse(era)));
                }
                Taken::Empty => self.reserve(principal, &account, era, quota.block, limit).await?,
            }
        }
    }

    /// May this source try to prove itself now? Refuses one that failed too often. Without a key nothing is tried, so
    /// whom the kernel knows is never kept out by what others do under the same uid.
    pub fn patience(&self, caller: &Caller) -> Result<(), TurnedAway> {
        let source = &caller.principal;
        let Some((wait, first)) = self.patient().wait(source, self.clock.instant()) else { return Ok(()) };
        let tolerated = self.settings.borrow().quotas.failures.tolerated;
        let fault = busy(format!("cannot look at this key: too many came from {source} that prove nothing"))
            .hint(format!(
                "it may try again in {}; without a key or a session, the socket still says who you are",
                told(wait)
            ));
        Err(refusal(fault, tolerated.into(), wait, first))
    }

    /// It showed something that proves nothing.
    pub fn failed(&self, caller: &Caller) {
        let settings = self.settings.borrow().clone();
        let rules = &settings.quotas.failures;
        self.patient().failed(caller.principal.clone(), self.clock.instant(), rules);
    }

    /// Returns what was reserved and not served. What is asked after this reserves anew.
    pub async fn close(&self) {
        let returns = self.accounts().into_iter().filter_map(|(principal, account)| {
            let (hour, unused) = account.take_back()?;
            Some(self.store.return_quota(principal, hour, unused))
        });
        // What could not be returned is forfeit until the next hour.
        join_all(returns).await;
    }

    /// The hour for quotas, and how long it lasts.
    async fn hour(&self, principal: &Principal) -> Result<(Era, Duration), TurnedAway> {
        let window = &self.inner.window;
        loop {
            match window.at(self.clock.now(), self.clock.instant()) {
                Moment::Within { era, left, opened } => {
                    if opened {
                        self.sweep(era);
                    }
                    return Ok((era, left));
                }
                Moment::Over { .. } => {
                    let _turn = self.inner.putting_back.acquire().await;
                    let now = self.clock.instant();
                    if let Moment::Over { hour } = window.at(self.clock.now(), now) {
                        let forgotten = self.store.forget_quotas_from(hour).await;
                        forgotten.map_err(|error| unreserved(principal, error.into()))?;
                        window.put_back(hour, now);
                    }
                }
            }
        }
    }

    /// One caller reserves, the others wait for that one. It is carried through even if the caller goes away: a block
    /// that nobody is credited with would be forfeit.
    async fn reserve(
        &self,
        principal: &Principal,
        account: &Arc<Account>,
        era: Era,
        block: u64,
        limit: u64,
    ) -> Result<(), TurnedAway> {
        let Ok(turn) = Arc::clone(&account.turn).acquire_owned().await else { return Ok(()) };
        if !account.is_empty(era, limit) {
            return Ok(());
        }
        let (store, clock, window) = (self.store.clone(), self.clock.clone(), Arc::clone(&self.inner.window));
        let (name, account) = (principal.clone(), Arc::clone(account));
        let reservation = tokio::spawn(async move {
            let _turn = turn;
            let reserved = store.reserve_quota(name, era.hour, block, limit).await?;
            let later = reserved.hour > era.hour;
            let era = if later { window.raise(reserved.hour, clock.instant()) } else { era };
            account.credit(era, reserved);
            Ok::<(), Fault>(())
        });
        let reserved = reservation.await.unwrap_or_else(|panic| {
            Err(Fault::internal(format!("cannot reserve a part of a quota: {panic}")))
        });
        reserved.map_err(|fault| unreserved(principal, fault))
    }

    fn quota(&self, principal: &Principal) -> Quota {
        self.settings.borrow().quotas.of(principal)
    }

    fn account(&self, principal: &Principal) -> Arc<Account> {
        let accounts = self.inner.accounts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(principal) {
            return Arc::clone(account);
        }
        drop(accounts);
        let mut accounts = self.inner.accounts.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(principal.clone()).or_default())
    }

    fn accounts(&self) -> HashMap<Principal, Arc<Account>> {
        self.inner.accounts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who did not ask for an hour has nothing to be remembered.
    fn sweep(&self, era: Era) {
        let now = self.clock.instant();
        let mut accounts = self.inner.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| Arc::strong_count(account) > 1 || account.is_fresh(era, now));
    }

    fn patient(&self) -> MutexGuard<'_, Patience<Principal>> {
        self.inner.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who looks, mends or stops by the kernel's word is never counted: a quota must not keep an operator from an incident,
/// nor from revoking a key that was stolen, nor from raising a quota that is wrong. Agents tell of themselves as often as their probes say, so that counts for
/// their speed alone: a refused heartbeat would make a healthy agent look dead.
fn counts(caller: &Caller, needs: Permission) -> Counts {
    let person = caller.means == Means::Socket && caller.principal.kind == PrincipalKind::User;
    match needs {
        Permission::FleetRead
        | Permission::AuditRead
        | Permission::AccessManage
        | Permission::PolicyChange
        | Permission::DaemonControl
            if person && caller.role.may(needs) =>
        {
            Counts::Nothing
        }
        Permission::AgentReport => Counts::Speed,
        _ => Counts::All,
    }
}

fn busy(message: String) -> Fault {
    Fault::new(FaultKind::Busy, message)
}

fn refusal(fault: Fault, limit: u64, wait: Duration, first: bool) -> TurnedAway {
    let reset_s = seconds(wait).max(1);
    TurnedAway {
        fault: Box::new(fault),
        allowance: Allowance { limit, remaining: 0, reset_s, retry_after_s: Some(reset_s) },
        first,
    }
}

/// What cannot be counted is not served: the promise is about every request.
fn unreserved(principal: &Principal, fault: Fault) -> TurnedAway {
    let message = format!("cannot count this against the quota of {principal}: {}", fault.message);
    let hint = fault.hint.unwrap_or_else(|| "`agentctl daemon logs` has the details".into());
    let fault = Fault::new(fault.kind, message).hint(hint);
    refusal(fault, 0, Duration::from_secs(1), true)
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// As people read it: seconds, or minutes and seconds.
fn told(time: Duration) -> String {
    crate::domain::Period::secs(seconds(time).max(1)).to_string()
}
