//! Every subject and the schedule of looks, as a plain machine: fleet, results and time in; looks, news and
//! transitions out. The monitor turns it; tests turn it without a clock.
use super::{
    Target,
    plan::Plan,
    probe::Ask,
    roll::Key,
    schedule::{self, Schedule},
    subject::{Slot, Subject},
};
use crate::domain::{
    FleetSnapshot, InstanceId, Observation, ProbeResult, ProbeRole, ProbeState, ProbeStatus, ProbeTransition,
};
use crate::resilience::Policy;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// While a verdict waits for a look at a dependency, the next look comes after this …
const HELD_AGAIN: Duration = Duration::from_millis(250);
/// … and it waits no longer than this.
const HELD_AT_MOST: Duration = Duration::from_secs(30);

/// A look to be made now.
pub struct Look {
    pub slot: u64,
    pub round: u64,
    pub probe: Arc<dyn Ask>,
    pub policy: Option<Policy>,
    pub target: Target,
    pub deadline: Duration,
    pub began: Instant,
}

/// What others are to hear.
#[derive(Debug, PartialEq)]
pub enum News {
    Instance(InstanceId, u64, Observation),
    Dependency(Arc<str>, Observation),
    /// With whether it is worth an event of its own.
    Turned(ProbeTransition, bool),
}

#[derive(Default)]
pub struct Board {
    pub(super) plan: Plan,
    pub(super) subjects: BTreeMap<Key, Subject>,
    /// Where each slot is: its subject, and its place among that one's.
    pub(super) slots: HashMap<u64, (Key, usize)>,
    schedule: Schedule,
    pub(super) fleet: FleetSnapshot,
    down: BTreeMap<String, String>,
    pub(super) last_slot: u64,
    news: Vec<News>,
}

impl Board {
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn next(&self) -> Option<Instant> {
        self.schedule.next()
    }

    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// What is down now: blocks what needs it.
    pub fn set_down(&mut self, down: BTreeMap<String, String>, now: Instant, at: Timestamp) {
        if down == self.down {
            return;
        }
        self.down = down;
        let needy: Vec<Key> = self
            .subjects
            .iter()
            .filter(|(_, subject)| !subject.depends_on.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        for key in needy {
            self.arrange(&key, now, at);
        }
    }

    /// The agent has reported. False if there is no such instance.
    pub fn heard(&mut self, id: &InstanceId, now: Instant) -> bool {
        let Some(subject) = self.subjects.get_mut(&Key::Instance(id.clone())).filter(|subject| subject.up)
        else {
            return false;
        };
        subject.target.reported = Some(now);
        for slot in &mut subject.slots {
            let waits =
                slot.planned.settings.kind == "heartbeat" && slot.judge.state() != ProbeState::Passing;
            if waits && slot.scheduled {
                enter(&mut self.schedule, slot, now);
            }
        }
        true
    }

    /// Every look that is due. Each is under way until `take` has its result.
    pub fn due(&mut self, now: Instant) -> Vec<Look> {
        let mut looks = Vec::new();
        while let Some((id, ticket)) = self.schedule.pop_due(now) {
            let Some((key, place)) = self.slots.get(&id) else { continue };
            let Some(subject) = self.subjects.get_mut(key) else { continue };
            let Some(slot) = subject.slots.get_mut(*place) else { continue };
            if slot.ticket != ticket || !slot.scheduled || slot.in_flight {
                continue;
            }
            slot.scheduled = false;
            slot.in_flight = true;
            looks.push(Look {
                slot: id,
                round: slot.round,
                probe: Arc::clone(&slot.planned.probe),
                policy: slot.planned.policy.clone(),
                target: Target {
                    role: slot.role(),
                    check_identity: slot.identity_is_due(),
                    ..subject.target.clone()
                },
                deadline: slot.planned.settings.deadline.0,
                began: now,
            });
        }
        looks
    }

    /// Takes in the result of a look.
    pub fn take(&mut self, id: u64, round: u64, began: Instant, result: ProbeResult, now: Instant) {
        let Some((key, place)) = self.slots.get(&id).cloned() else { return };
        let Some(subject) = self.subjects.get(&key) else { return };
        let Some(slot) = subject.slots.get(place) else { return };
        let at = result.at;
        if slot.round == round {
            let hold = self.holds(subject, slot, result.ok, now);
            let starting = subject.is_starting();
            let Some(slot) = self.slot_mut(&key, place) else { return };
            slot.in_flight = false;
            slot.asked_at = Some(began);
            slot.count_look(result.ok);
            slot.held = if hold { slot.held.or(Some(now)) } else { None };
            if !hold {
                let thresholds = slot.planned.thresholds();
                slot.judge.take(result.ok, starting, thresholds);
            }
            slot.last = Some(result);
            if hold {
                self.hurry_dependencies(&key, now);
            }
            self.note(&key, place, at);
        } else if let Some(slot) = self.slot_mut(&key, place) {
            slot.in_flight = false; // of another process: it proves nothing
        }
        self.arrange(&key, now, at);
    }

    /// Ordered by target, dependencies last; then as in the manifest.
    pub fn snapshot(&self) -> Vec<ProbeStatus> {
        let mut statuses = Vec::with_capacity(self.slots.len());
        for (key, subject) in &self.subjects {
            let target = key.to_string();
            statuses.extend(subject.slots.iter().map(|slot| {
                let settings = &slot.planned.settings;
                let state = slot.judge.state();
                ProbeStatus {
                    target: target.clone(),
                    name: settings.name.clone(),
                    kind: settings.kind.clone(),
                    role: settings.role,
                    state,
                    last: slot.last.clone(),
                    streak: slot.judge.streak,
                    since: slot.since,
                    every_s: settings.every.0.as_secs_f64(),
                    blocked_by: subject.blocked_by.clone().filter(|_| state == ProbeState::Blocked),
                }
            }));
        }
        statuses
    }

    /// Kind and role of a probe.
    pub fn about(&self, target: &str, probe: &str) -> Option<(String, ProbeRole)> {
        let mut subjects = self.subjects.iter().filter(|(key, _)| key.to_string() == target);
        let slots = &subjects.next()?.1.slots;
        let slot = slots.iter().find(|slot| slot.planned.settings.name == probe)?;
        Some((slot.planned.settings.kind.clone(), slot.role()))
    }

    fn slot_mut(&mut self, key: &Key, place: usize) -> Option<&mut Slot> {
        self.subjects.get_mut(key)?.slots.get_mut(place)
    }

    /// After any change: blocks or unblocks, schedules what is wanted and is not under way, and tells what is new.
    pub(super) fn arrange(&mut self, key: &Key, now: Instant, at: Timestamp) {
        let Some(subject) = self.subjects.get_mut(key) else { return };
        let by = subject.depends_on.iter().find_map(|name| Some(format!("{name}: {}", self.down.get(name)?)));
        let by = by.filter(|_| subject.up);
        if by.is_some() != subject.blocked_by.is_some() {
            // That it has come up once stays true.
            let passed = |slot: &&mut Slot| {
                slot.role() == ProbeRole::Startup && slot.judge.state() == ProbeState::Passing
            };
            for slot in subject.slots.iter_mut().filter(|slot| !passed(slot)) {
                slot.judge.block(by.is_some());
                slot.round += 1;
                slot.looks = 0;
                slot.held = None;
            }
        }
        subject.blocked_by = by;
        let news = subject.news();
        for place in 0..subject.slots.len() {
            let wanted = subject.wants(&subject.slots[place]);
            let delay = delay(subject, &subject.slots[place], key);
            let slot = &mut subject.slots[place];
            if !wanted {
                slot.scheduled = false;
            } else if !slot.scheduled && !slot.in_flight {
                enter(&mut self.schedule, slot, now + delay);
            }
        }
        let generation = subject.generation;
        for place in 0..self.subjects.get(key).map_or(0, |subject| subject.slots.len()) {
            self.note(key, place, at);
        }
        match (key, news) {
            (Key::Instance(id), Some(told)) => self.news.push(News::Instance(id.clone(), generation, told)),
            (Key::Dependency(name), Some(told)) => self.news.push(News::Dependency(Arc::clone(name), told)),
            (_, None) => {}
        }
        let subjects = &self.subjects;
        let slots = &self.slots;
        self.schedule.tidy(slots.len(), |id, ticket| {
            let slot = slots.get(&id).and_then(|(key, place)| subjects.get(key)?.slots.get(*place));
            slot.is_some_and(|slot| slot.scheduled && slot.ticket == ticket)
        });
    }

    /// Writes a change of standing down, once. That all is well at the beginning is no change.
    fn note(&mut self, key: &Key, place: usize, at: Timestamp) {
        let Some(slot) = self.slot_mut(key, place) else { return };
        let state = slot.judge.state();
        if state == ProbeState::Unknown {
            return;
        }
        slot.since.get_or_insert(at);
        if slot.recorded == Some(state) {
            return;
        }
        let from = slot.recorded.replace(state);
        slot.since = Some(at);
        if from.is_none() && state == ProbeState::Passing {
            return;
        }
        let detail = slot.last.as_ref().map(|last| last.detail.clone()).unwrap_or_default();
        let probe = slot.planned.settings.name.clone();
        let from = from.unwrap_or(ProbeState::Unknown);
        // One outage is one event: that of the dependency, not one of each probe that it blocks.
        let is_event = state != ProbeState::Blocked && from != ProbeState::Blocked;
        let blocked_by = self.subjects.get(key).and_then(|subject| subject.blocked_by.clone());
        let detail = blocked_by.filter(|_| state == ProbeState::Blocked).unwrap_or(detail);
        let turned = ProbeTransition { at, target: key.to_string(), probe, from, to: state, detail };
        self.news.push(News::Turned(turned, is_event));
    }

    /// Should a failure that would decide wait until what the agent depends on has been looked at? Or a database
    /// that is down would first be reported by each of its agents, whose probes may come round sooner.
    fn holds(&self, subject: &Subject, slot: &Slot, ok: bool, now: Instant) -> bool {
        if ok || subject.is_starting() || !slot.judge.is_on_the_edge(slot.planned.thresholds()) {
            return false;
        }
        let since = slot.held.unwrap_or(now);
        if now - since > HELD_AT_MOST {
            return false;
        }
        self.dependencies_of(subject).any(|dependency| {
            dependency.slots.iter().any(|slot| {
                let looked_since = slot.asked_at.is_some_and(|asked| asked >= since);
                // One that fails is about to block this probe: the news is only under way.
                let ill = slot.judge.is_doubtful() || slot.judge.state() == ProbeState::Failing;
                ill || !looked_since
            })
        })
    }

    fn hurry_dependencies(&mut self, key: &Key, now: Instant) {
        let Some(subject) = self.subjects.get(key) else { return };
        let keys: Vec<Key> =
            subject.depends_on.iter().map(|name| Key::Dependency(name.as_str().into())).collect();
        for key in keys {
            let Some(dependency) = self.subjects.get_mut(&key) else { continue };
            for slot in dependency.slots.iter_mut().filter(|slot| slot.scheduled && !slot.judge.is_doubtful())
            {
                enter(&mut self.schedule, slot, now);
            }
        }
    }

    fn dependencies_of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Subject> {
        subject.depends_on.iter().filter_map(|name| self.subjects.get(&Key::Dependency(name.as_str().into())))
    }
}

fn enter(schedule: &mut Schedule, slot: &mut Slot, at: Instant) {
    slot.ticket += 1;
    slot.scheduled = true;
    schedule.push(at, slot.id, slot.ticket);
}

/// Until the next look, as things stand.
fn delay(subject: &Subject, slot: &Slot, key: &Key) -> Duration {
    let every = slot.planned.settings.every.0;
    let chance = fastrand::f64();
    let is_dependency = matches!(key, Key::Dependency(_));
    // Much waits for a dependency: whether it is there, and whether it is really gone, is settled quickly.
    let soon = if is_dependency {
        slot.judge.state() == ProbeState::Unknown || slot.judge.is_doubtful()
    } else {
        subject.is_starting() && slot.judge.state() != ProbeState::Passing
    };
    match slot.looks {
        0 => schedule::first(every, soon, chance),
        _ if slot.held.is_some() => HELD_AGAIN.min(every),
        looks if soon => {
            schedule::quick(every, if is_dependency { slot.judge.streak.max(1) } else { looks }, chance)
        }
        _ => schedule::usual(every, chance),
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
