//! For the saboteurs: the meter that serves, behind a gate of a few lines that can be told to misuse it. That the
//! daemon's gate does not is seen where a whole daemon is validated.
use crate::{
    auth::Meter,
    config::{QuotaSettings, Settings},
    domain::{Allowance, Caller, Permission, Role},
    readiness::{Answered, Question, Serve, Served, Stage},
    store::Store,
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manners {
    Sound,
    CountsNothing,
    /// One more than the quota is served.
    OneMore,
    /// All principals share what each should have.
    OnePurse,
    NoHeaders,
    CountsLooks,
    RefusesAll,
    /// Each daemon keeps what it reserved in a store of its own.
    Forgets,
    /// A new daemon takes all that is left to be used.
    ForfeitsAll,
    NeverTires,
    TiresOfAll,
    NeverForgives,
    /// Who waits may not even come without a key.
    TiresOfTheKernel,
}

impl Manners {
    fn what(self) -> &'static str {
        match self {
            Self::Sound => "nothing",
            Self::CountsNothing => "a gate that counts nothing",
            Self::OneMore => "a gate that serves one more than the quota",
            Self::OnePurse => "a gate that counts everybody as one",
            Self::NoHeaders => "a gate that tells nobody what is left",
            Self::CountsLooks => "a gate that keeps an operator from looking",
            Self::RefusesAll => "a gate that refuses everything",
            Self::Forgets => "a daemon that forgets what the last one served",
            Self::ForfeitsAll => "a daemon that forfeits all that was left",
            Self::NeverTires => "a gate that lets a source guess",
            Self::TiresOfAll => "a gate that makes everybody wait for one",
            Self::NeverForgives => "a gate that never looks at a key of that source again",
            Self::TiresOfTheKernel => "a gate that refuses who waits even without a key",
        }
    }
}

pub fn sound() -> Arc<dyn Serve> {
    Arc::new(Metered(Manners::Sound))
}

pub fn broken<const N: usize>(all: [Manners; N]) -> [(&'static str, Arc<dyn Serve>); N] {
    all.map(|manners| (manners.what(), Arc::new(Metered(manners)) as Arc<dyn Serve>))
}

struct Metered(Manners);

struct Gate {
    manners: Manners,
    meter: Meter,
    /// Where a forgetful one keeps its own store.
    _own: Option<(TempDir, Store)>,
    _settings: watch::Sender<Arc<Settings>>,
}

impl Serve for Metered {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
        let manners = self.0;
        async move {
            let mut settings = Settings::clone(&stage.settings);
            if manners == Manners::OneMore {
                let more = |quota: &mut QuotaSettings| quota.per_hour = quota.per_hour.map(|hour| hour + 1);
                settings.quotas.principals.values_mut().for_each(more);
            }
            if manners == Manners::ForfeitsAll
                && !stage.store.quotas_of_hour(hour(&stage)).await.expect("read").is_empty()
            {
                let all = |quota: &mut QuotaSettings| quota.per_hour = Some(1);
                settings.quotas.principals.values_mut().for_each(all);
            }
            let own = (manners == Manners::Forgets).then(|| {
                let home = tempfile::tempdir().expect("a directory");
                let (path, backups) = (home.path().join("own.db"), home.path().join("backups"));
                let store =
                    Store::open(&path, &backups, &settings.store, stage.clock.clone()).expect("opens");
                (home, store)
            });
            let store = own.as_ref().map_or(&stage.store, |(_, store)| store).clone();
            let (sender, settings) = watch::channel(Arc::new(settings));
            let meter = Meter::new(settings, store, stage.clock);
            Box::new(Gate { manners, meter, _own: own, _settings: sender }) as Box<dyn Served>
        }
        .boxed()
    }
}

fn hour(stage: &Stage) -> i64 {
    stage.clock.now().as_second().div_euclid(3600)
}

impl Served for Gate {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
        async move {
            let mut caller = Caller::by_socket(question.identity, Role::Operator, None);
            if matches!(self.manners, Manners::OnePurse | Manners::TiresOfAll) {
                caller.principal = crate::domain::Principal::user(super::scene::BOUNDED);
            }
            let looks = question.body.is_none();
            let (outcome, allowance) = self.pass(&caller, looks, question.bearer.is_some()).await;
            let status = outcome.err().unwrap_or(if looks { 200 } else { 404 });
            let mut headers = Vec::new();
            if let Some(of) = allowance.filter(|_| self.manners != Manners::NoHeaders) {
                let mut tell = |name: &str, figure: u64| headers.push((name.to_owned(), figure.to_string()));
                tell("ratelimit-limit", of.limit);
                tell("ratelimit-remaining", of.remaining);
                tell("ratelimit-reset", of.reset_s);
                if let Some(seconds) = of.retry_after_s {
                    tell("retry-after", seconds);
                }
            }
            Answered { status, headers, body: Value::Null }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

impl Gate {
    async fn pass(&self, caller: &Caller, looks: bool, key: bool) -> (Result<(), u16>, Option<Allowance>) {
        if self.manners == Manners::RefusesAll {
            return (Err(429), None);
        }
        let tries = key || self.manners == Manners::TiresOfTheKernel;
        if tries
            && self.manners != Manners::NeverTires
            && let Err(refusal) = self.meter.patience(caller)
        {
            return (Err(429), Some(refusal.allowance));
        }
        if key {
            let times = if self.manners == Manners::NeverForgives { 9 } else { 1 };
            (0..times).for_each(|_| self.meter.failed(caller));
            return (Err(401), None);
        }
        let needs = match self.manners {
            Manners::CountsNothing => Permission::FleetRead,
            Manners::CountsLooks => Permission::ReadinessWaive,
            _ if looks => Permission::FleetRead,
            _ => Permission::ReadinessWaive,
        };
        match self.meter.charge(caller, needs).await {
            Ok(allowance) => (Ok(()), allowance),
            Err(refusal) => (Err(429), Some(refusal.allowance)),
        }
    }
}
