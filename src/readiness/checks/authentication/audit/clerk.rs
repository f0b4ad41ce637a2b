//! A daemon's gate as it should write the trail, and as it should not. For the saboteurs only.
use super::trail::VIEWER;
use crate::{
    domain::{Act, AuditOutcome, Caller, CorrelationId, Principal, Role, Waiver},
    readiness::{Answered, Question, Serve, Served, Stage},
};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;
use serde_json::Value;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    Sound,
    ForgetsRefusals,
    NamesAnother,
    WritesTwice,
    WritesLooks,
    SaysDone,
    OverlooksStrangers,
    ForgetsIntents,
    ForgetsOutcomes,
}

pub struct Clerk(Manners);

impl Clerk {
    pub fn of(manners: Manners) -> Arc<dyn Serve> {
        Arc::new(Self(manners))
    }
}

impl Serve for Clerk {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
        let desk = Desk { manners: self.0, stage };
        async move { Box::new(desk) as Box<dyn Served> }.boxed()
    }
}

struct Desk {
    manners: Manners,
    stage: Stage,
}

impl Served for Desk {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
        self.answer(question).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

impl Desk {
    async fn answer(&self, question: Question) -> Answered {
        let Question { identity, bearer, path, body } = question;
        let own = identity.uid == rustix::process::geteuid().as_raw();
        let mut caller = Caller::by_socket(identity, Role::Admin, None);
        caller.correlation = CorrelationId(fastrand::u64(1..));
        if self.manners == Manners::NamesAnother {
            caller.principal = Principal::user(1);
        }
        let headers = vec![("agentd-correlation".to_owned(), caller.correlation.to_string())];
        let body = body.unwrap_or_default();
        let status = match path.as_str() {
            _ if !own && identity.uid != VIEWER => {
                if self.manners != Manners::OverlooksStrangers {
                    self.write(Act::of_stranger(identity), AuditOutcome::Refused).await;
                }
                403
            }
            "/v1/status" if bearer.is_some() => {
                self.refuse(Act::new(&caller, "status", "")).await;
                401
            }
            "/v1/status" => {
                if self.manners == Manners::WritesLooks {
                    self.write(Act::new(&caller, "status", ""), AuditOutcome::Done).await;
                }
                200
            }
            "/v1/waivers/add" if !own => {
                self.refuse(Act::new(&caller, "waivers/add", "check/CF-001")).await;
                403
            }
            "/v1/waivers/add" => {
                let act = Act::new(&caller, "waivers/add", "");
                self.stage.store.add_waiver(act.clone(), self.waiver()).await.expect("added");
                if self.manners == Manners::WritesTwice {
                    self.write(act.on("waiver/1"), AuditOutcome::Done).await;
                }
                200
            }
            "/v1/waivers/revoke" => {
                self.fail(Act::new(&caller, "waivers/revoke", "waiver/77")).await;
                404
            }
            _ => self.stop(&caller, &body).await,
        };
        Answered { status, headers, body: Value::Null }
    }

    async fn stop(&self, caller: &Caller, body: &Value) -> u16 {
        let agent = body["agents"][0].as_str().expect("an agent");
        let act = Act::new(caller, "agents/stop", format!("agent/{agent}"));
        if self.manners != Manners::ForgetsIntents {
            self.write(act.clone(), AuditOutcome::Intended).await;
        }
        let stopped = self.stage.supervisor.stop(&[agent.parse().expect("a name")]).await;
        match (&stopped, self.manners) {
            (_, Manners::ForgetsOutcomes) => {}
            (Ok(()), _) => self.write(act, AuditOutcome::Done).await,
            (Err(_), _) => self.fail(act).await,
        }
        if stopped.is_ok() { 200 } else { 404 }
    }

    async fn refuse(&self, act: Act) {
        if self.manners != Manners::ForgetsRefusals {
            self.write(act, AuditOutcome::Refused).await;
        }
    }

    async fn fail(&self, act: Act) {
        let says = if self.manners == Manners::SaysDone { AuditOutcome::Done } else { AuditOutcome::Failed };
        self.write(act, says).await;
    }

    async fn write(&self, act: Act, outcome: AuditOutcome) {
        self.stage.store.record_act(act, outcome, String::new()).await.expect("written");
    }

    fn waiver(&self) -> Waiver {
        let now = self.stage.clock.now();
        Waiver {
            id: 0,
            check: "CF-001".into(),
            resource: None,
            fingerprint: None,
            owner: "scratch".into(),
            reason: "to see it audited".into(),
            expires_at: now + SignedDuration::from_hours(1),
            added_at: now,
            added_by: "uid 0".into(),
            revoked_at: None,
        }
    }
}
