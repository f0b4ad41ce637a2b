//! Rollouts: a pace that nobody could keep, and an end before anything could be judged.
use super::Verifier;
use crate::domain::Period;

const QUICKEST: Period = Period::millis(10);
const LONGEST: Period = Period::secs(30 * 86400);

impl Verifier<'_> {
    pub(super) fn rollout(&mut self) {
        let rollout = self.settings.rollout.clone();
        if rollout.every < QUICKEST {
            let message = format!("`every` is {}; at least 10ms is needed", rollout.every);
            self.tell(message, "/rollout/every", "make it longer, or take it out");
        }
        if rollout.judge_every < rollout.every {
            let message = format!(
                "`judge_every` is {} and shorter than `every`, which is {}",
                rollout.judge_every, rollout.every
            );
            self.tell(message, "/rollout/judge_every", "judge once a round at most");
        }
        let needed = rollout.every.0.saturating_mul(rollout.samples).max(rollout.judge_every.0);
        if rollout.longest > LONGEST {
            let message = format!("`longest` is {}; at most 30d", rollout.longest);
            self.tell(message, "/rollout/longest", "promote it or end it before");
        } else if rollout.longest.0 < needed {
            let message = format!(
                "`longest` is {}: it would be ended before it has been looked at {} times",
                rollout.longest, rollout.samples
            );
            self.tell(message, "/rollout/longest", "lengthen it, or look more often with `every`");
        }
    }
}
