//! The breaker's machine against a plainer one, over any sequence of calls, outcomes and times, backward ones included.
use super::machine::*;
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

const OPEN_FOR: u64 = 30_000;

fn rules(failures: u32, probes: u32) -> BreakerRules {
    BreakerRules {
        failures,
        rate: None,
        window: Duration::from_secs(60),
        minimum: 10,
        open_for: Duration::from_millis(OPEN_FOR),
        probes,
    }
}

#[derive(Clone, Debug)]
enum Move {
    Begin,
    /// The oldest call under way ends so.
    End(u8),
    /// Milliseconds, backward too.
    Pass(i64),
    Trip,
    Reset,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        5 => Just(Move::Begin),
        5 => (0u8..3).prop_map(Move::End),
        2 => (-40_000i64..40_000).prop_map(Move::Pass),
        1 => Just(Move::Reset),
        1 => Just(Move::Trip),
    ];
    proptest::collection::vec(one, 0..200)
}

proptest! {
    #[test]
    fn it_does_as_a_plainer_machine_does(moves in moves(), failures in 1u32..6, probes in 1u32..4) {
        let mut machine = Machine::new(rules(failures, probes));
        let start = Instant::now() + Duration::from_secs(1_000_000);
        let (mut now, mut under_way) = (start, std::collections::VecDeque::new());
        // The model: a phase counted up by changes, failures in a row, trials out and passed, since when it is open.
        let (mut phase, mut age, mut streak, mut out, mut passed, mut held, mut since) =
            (Phase::Closed, 0u32, 0, 0, 0, false, now);
        for one in moves {
            match one {
                Move::Pass(ms) => {
                    let by = Duration::from_millis(ms.unsigned_abs());
                    now = if ms < 0 { now - by } else { now + by };
                }
                Move::Trip => {
                    machine.trip(now);
                    (phase, age, held, since) = (Phase::Open, age + 1, true, now);
                }
                Move::Reset => {
                    machine.reset();
                    (phase, age, streak, held) = (Phase::Closed, age + 1, 0, false);
                }
                Move::Begin => {
                    let waited = now.saturating_duration_since(since) >= Duration::from_millis(OPEN_FOR);
                    if phase == Phase::Open && !held && waited {
                        (phase, age, out, passed) = (Phase::HalfOpen, age + 1, 0, 0);
                    }
                    let may = match phase {
                        Phase::Closed => true,
                        Phase::Open => false,
                        Phase::HalfOpen => out + passed < probes,
                    };
                    let refused = machine.refuses(now);
                    let ticket = machine.admit(now);
                    prop_assert_eq!(ticket.is_ok(), may);
                    prop_assert_eq!(refused.is_none(), may, "looking and asking differ");
                    if let Ok(ticket) = ticket {
                        out += u32::from(phase == Phase::HalfOpen);
                        under_way.push_back((ticket, age));
                    }
                }
                Move::End(how) => {
                    let Some((ticket, then)) = under_way.pop_front() else { continue };
                    let ended = [Ended::Well, Ended::Failed, Ended::Unknown][usize::from(how)];
                    let turned = machine.settle(ticket, ended, now);
                    if then != age {
                        prop_assert_eq!(turned, None, "a call of another phase counted");
                        continue;
                    }
                    let mut wanted = None;
                    match (phase, ended) {
                        (Phase::Closed, Ended::Well) => streak = 0,
                        (Phase::Closed, Ended::Failed) => {
                            streak += 1;
                            if streak >= failures {
                                wanted = Some(Phase::Open);
                            }
                        }
                        (Phase::HalfOpen, _) => {
                            out -= 1;
                            passed += u32::from(ended == Ended::Well);
                            if ended == Ended::Failed {
                                wanted = Some(Phase::Open);
                            } else if passed >= probes {
                                wanted = Some(Phase::Closed);
                            }
                        }
                        _ => {}
                    }
                    prop_assert_eq!(turned, wanted);
                    if let Some(turned) = wanted {
                        (phase, age, streak, held, since) = (turned, age + 1, 0, false, now);
                    }
                }
            }
            prop_assert_eq!(machine.phase(), phase);
            if phase == Phase::HalfOpen {
                prop_assert!(out + passed <= probes, "{} on trial, {} allowed", out + passed, probes);
            }
            if let Some(left) = machine.refuses(now).and_then(|refused| refused.again_in) {
                prop_assert!(left <= Duration::from_millis(OPEN_FOR), "open for longer than it may be");
            }
        }
    }

    #[test]
    fn a_share_of_failures_opens_it_exactly_where_it_is_reached(
        ends in proptest::collection::vec(any::<bool>(), 0..100), minimum in 1u32..30, rate in 0.05f64..1.0,
    ) {
        let mut machine =
            Machine::new(BreakerRules { failures: 0, rate: Some(rate), minimum, ..rules(0, 1) });
        let now = Instant::now();
        let (mut all, mut failed) = (0u32, 0u32);
        for well in ends {
            let Ok(ticket) = machine.admit(now) else { break };
            let turned = machine.settle(ticket, if well { Ended::Well } else { Ended::Failed }, now);
            all += 1;
            failed += u32::from(!well);
            let reached = !well && all >= minimum && f64::from(failed) >= rate * f64::from(all);
            prop_assert_eq!(turned.is_some(), reached);
        }
    }
}

#[test]
fn failures_that_are_old_are_no_share_of_what_happens_now() {
    let mut machine = Machine::new(BreakerRules { failures: 0, rate: Some(0.5), minimum: 4, ..rules(0, 1) });
    let start = Instant::now();
    let mut turn = |after: u64, ended| {
        let now = start + Duration::from_secs(after);
        let ticket = machine.admit(now).expect("closed");
        machine.settle(ticket, ended, now)
    };
    for _ in 0..3 {
        assert_eq!(turn(0, Ended::Failed), None);
    }
    assert_eq!(turn(61, Ended::Failed), None, "four failures, and three of them too old");
    for _ in 0..2 {
        assert_eq!(turn(62, Ended::Failed), None);
    }
    assert_eq!(turn(62, Ended::Failed), Some(Phase::Open));
}
