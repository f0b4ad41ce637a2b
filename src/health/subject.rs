//! One instance or dependency with its probes: who may be asked now, and what their standings amount to.
use super::{Target, judge::Judge, plan::Planned};
use crate::domain::{AgentState, Observation, ProbeResult, ProbeRole, ProbeState};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::time::Instant;

/// How often the owner of a listener is looked up while nothing changes: each so many looks.
const IDENTITY_EVERY: u8 = 10;

/// One probe on one subject.
pub struct Slot {
    pub id: u64,
    pub planned: Arc<Planned>,
    pub judge: Judge,
    pub last: Option<ProbeResult>,
    pub since: Option<Timestamp>,
    /// The last standing that was written down.
    pub recorded: Option<ProbeState>,
    /// Raised to void looks that are under way.
    pub round: u64,
    /// The one entry of the schedule that counts.
    pub ticket: u64,
    pub scheduled: bool,
    pub in_flight: bool,
    /// When the last look that has come back had begun.
    pub asked_at: Option<Instant>,
    /// Looks in this round.
    pub looks: u32,
    /// A verdict of failure waits for a look at what the agent depends on, since then.
    pub held: Option<Instant>,
    unidentified: u8,
}

impl Slot {
    pub fn new(id: u64, planned: Arc<Planned>) -> Self {
        Self {
            id,
            planned,
            judge: Judge::default(),
            last: None,
            since: None,
            recorded: None,
            round: 0,
            ticket: 0,
            scheduled: false,
            in_flight: false,
            asked_at: None,
            looks: 0,
            held: None,
            unidentified: 0,
        }
    }

    /// Whatever was seen so far was of another process.
    pub fn void(&mut self) {
        self.round += 1;
        self.scheduled = false;
        self.judge = Judge::default();
        self.last = None;
        self.since = None;
        self.looks = 0;
        self.held = None;
        self.unidentified = 0;
    }

    pub fn role(&self) -> ProbeRole {
        self.planned.settings.role
    }

    pub fn identity_is_due(&self) -> bool {
        self.unidentified == 0
    }

    /// Looks after a failure identify anew: what answers next may be somebody else.
    pub fn count_look(&mut self, ok: bool) {
        self.looks = self.looks.saturating_add(1);
        self.unidentified = if ok { (self.unidentified + 1) % IDENTITY_EVERY } else { 0 };
    }

    fn settled(&self) -> ProbeState {
        self.judge.state()
    }

    fn reason(&self) -> String {
        let detail = self.last.as_ref().map_or("", |last| &last.detail);
        format!("{}: {detail}", self.planned.settings.name)
    }
}

/// What was last told of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Ready,
    NotReady(String),
    Unhealthy,
}

pub struct Subject {
    pub slots: Vec<Slot>,
    /// None for a dependency, which is always there to be asked.
    pub state: Option<AgentState>,
    pub generation: u64,
    /// Where its looks go; each takes a copy, which shares the text.
    pub target: Target,
    pub depends_on: Vec<String>,
    /// What is down, with the reason.
    pub blocked_by: Option<String>,
    /// It may be asked at all.
    pub up: bool,
    pub ready_once: bool,
    pub told: Option<Told>,
}

impl Subject {
    pub fn new(target: Target) -> Self {
        Self {
            slots: Vec::new(),
            state: None,
            generation: 0,
            target,
            depends_on: Vec::new(),
            blocked_by: None,
            up: false,
            ready_once: false,
            told: None,
        }
    }

    /// It is expected to come up any moment, so failures decide nothing and the next look comes soon.
    pub fn is_starting(&self) -> bool {
        self.state == Some(AgentState::Starting) && !self.ready_once
    }

    pub fn void(&mut self, now: Instant) {
        self.slots.iter_mut().for_each(Slot::void);
        self.ready_once = false;
        self.told = None;
        self.target.reported = None;
        self.target.owned = Some(Arc::default());
        self.target.since = now;
    }

    fn started(&self) -> bool {
        self.slots
            .iter()
            .all(|slot| slot.role() != ProbeRole::Startup || slot.settled() == ProbeState::Passing)
    }

    /// Should this probe be asked as things stand?
    pub fn wants(&self, slot: &Slot) -> bool {
        if !self.up || self.blocked_by.is_some() {
            return false;
        }
        match slot.role() {
            ProbeRole::Startup => slot.settled() != ProbeState::Passing,
            ProbeRole::Readiness => self.started(),
            // A slow start is no reason to restart: it must have come up once.
            ProbeRole::Liveness => {
                let by_startup = self.slots.iter().any(|slot| slot.role() == ProbeRole::Startup);
                self.started() && (by_startup || self.ready_once || !self.is_starting())
            }
        }
    }

    /// What there is to tell now; None if nothing is known or nothing is new.
    pub fn news(&mut self) -> Option<Observation> {
        let now = self.verdict()?;
        let same = match (&self.told, &now) {
            (Some(Told::Ready), Observation::Ready)
            | (Some(Told::Unhealthy), Observation::Unhealthy { .. }) => true,
            // While it starts the reason is all there is to see of it; later a flood of wordings helps nobody.
            (Some(Told::NotReady(before)), Observation::NotReady { reason }) => {
                !self.is_starting() || before == reason
            }
            _ => false,
        };
        if same {
            return None;
        }
        self.told = Some(match &now {
            Observation::Ready => Told::Ready,
            Observation::NotReady { reason } => Told::NotReady(reason.clone()),
            Observation::Unhealthy { .. } => Told::Unhealthy,
        });
        if now == Observation::Ready {
            self.ready_once = true;
        }
        Some(now)
    }

    fn verdict(&self) -> Option<Observation> {
        if !self.up {
            return None;
        }
        if let Some(by) = &self.blocked_by {
            return Some(Observation::NotReady { reason: format!("blocked by {by}") });
        }
        let failing = |slot: &&Slot| slot.settled() == ProbeState::Failing;
        let (liveness, gating): (Vec<&Slot>, Vec<&Slot>) =
            self.slots.iter().partition(|slot| slot.role() == ProbeRole::Liveness);
        if let Some(slot) = liveness.iter().find(|slot| failing(slot)) {
            return Some(Observation::Unhealthy { reason: slot.reason() });
        }
        if gating.is_empty() {
            // Somebody else knows whether it is ready; all there is to say is that it is alive again, or that what it
            // needs is back: without that word it would stay degraded for good.
            let over = match &self.told {
                Some(Told::Unhealthy) => true,
                Some(Told::NotReady(_)) => !self.is_starting(),
                Some(Told::Ready) | None => false,
            };
            return over.then_some(Observation::Ready);
        }
        if let Some(slot) = gating.iter().find(|slot| failing(slot)) {
            return Some(Observation::NotReady { reason: slot.reason() });
        }
        if gating.iter().all(|slot| slot.settled() == ProbeState::Passing) {
            return Some(Observation::Ready);
        }
        let unlucky = gating.iter().find(|slot| slot.last.as_ref().is_some_and(|last| !last.ok));
        unlucky.filter(|_| self.is_starting()).map(|slot| Observation::NotReady { reason: slot.reason() })
    }
}
