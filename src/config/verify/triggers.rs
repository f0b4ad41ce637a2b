//! Triggers: a metric that there is, a statistic that can be told of it, and limits that can be passed.
use super::{Verifier, shown};
use crate::{
    config::{Kinds, TriggerSettings, check::with_nearest, kinds::Measured},
    domain::{MetricKind, Period, Stat},
};
use std::collections::HashMap;

/// Between two looks of the recorder.
const LOOK_S: u64 = 10;
const LONGEST: Period = Period::secs(24 * 3600);
const LONGEST_HOLD: Period = Period::secs(30 * 86400);

impl Verifier<'_> {
    pub(super) fn triggers(&mut self, kinds: &Kinds) {
        let settings = self.settings;
        let hold = settings.triggers.max_hold;
        if hold.0.is_zero() || hold > LONGEST_HOLD {
            let message = format!("`max_hold` is {hold}; a hold that never comes or never ends is none");
            self.tell(message, "/triggers/max_hold", "write it like 24h; 30d at most");
        }
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, trigger) in settings.triggers_declared.iter().enumerate() {
            let at = format!("/trigger/{index}");
            if self.maimed.contains(&at) {
                continue;
            }
            if let Some(first) = seen.get(trigger.name.as_str()) {
                let line = self.place(&format!("/trigger/{first}/name"));
                let line = self.layers[line.layer as usize].text.line(line.start());
                let message =
                    format!("the trigger `{}` is that of line {line} already", shown("", &trigger.name));
                self.tell(message, &format!("{at}/name"), "give each a name of its own");
            } else {
                seen.insert(&trigger.name, index);
            }
            self.times(&at, trigger);
            let Some(metric) = kinds.metrics.iter().find(|known| known.name == trigger.metric) else {
                let message = format!("there is no metric `{}`", shown("", &trigger.metric));
                let problem = self.problem(message, self.place(&format!("{at}/metric")));
                let known = kinds.metrics.iter().map(|known| known.name);
                self.problems.push(with_nearest(problem, &trigger.metric, known, "metrics"));
                continue;
            };
            self.measured(&at, trigger, *metric);
        }
    }

    fn times(&mut self, at: &str, trigger: &TriggerSettings) {
        for (key, period, least) in [
            ("window", trigger.window, LOOK_S),
            ("for", trigger.lasting, 0),
            ("cooldown", trigger.cooldown, LOOK_S),
        ] {
            if period < Period::secs(least) || period > LONGEST {
                let message = format!("`{key}` is {period}; it is {least}s at least and 24h at most");
                self.tell(message, &format!("{at}/{key}"), "a look is made every 10s; write it like 5m");
            }
        }
    }

    fn measured(&mut self, at: &str, trigger: &TriggerSettings, metric: Measured) {
        let statistic = trigger.statistic.unwrap_or(metric.kind.statistic());
        if !statistic.suits(metric.kind) {
            let suits: Vec<&str> =
                Stat::ALL.iter().filter(|stat| stat.suits(metric.kind)).map(|stat| stat.as_str()).collect();
            let (kind, suits) = (metric.kind.as_str(), suits.join(", "));
            let message =
                format!("{} cannot be told of `{}`: it is a {kind}", statistic.as_str(), metric.name);
            self.tell(message, &format!("{at}/statistic"), format!("of a {kind} it is one of {suits}"));
        }
        let looks = trigger.window.0.as_secs() / LOOK_S;
        if metric.kind != MetricKind::Histogram && u64::from(trigger.min_samples) > looks {
            let message = format!(
                "`min_samples` is {}, and there are at most {looks} looks in the window",
                trigger.min_samples
            );
            self.tell(
                message,
                &format!("{at}/window"),
                "a look is made every 10s: lengthen the window, or ask for fewer",
            );
        }
        if let Some(agent) = &trigger.agent {
            if !metric.name.starts_with("agent_") {
                let message = format!("`{}` is not told by agent", metric.name);
                let hint = "name series by `labels`, as `agentctl metrics query` shows them";
                self.tell(message, &format!("{at}/agent"), hint);
            } else if !self.settings.agents.iter().any(|known| known.name == *agent)
                && !self.maimed.contains("/agent")
            {
                let problem =
                    self.problem(format!("there is no agent `{agent}`"), self.place(&format!("{at}/agent")));
                let known = self.settings.agents.iter().map(|known| known.name.as_str());
                self.problems.push(with_nearest(problem, agent.as_str(), known, "agents"));
            }
        }
        let mut values = [None, None];
        for (slot, (key, limit)) in
            values.iter_mut().zip([("above", &trigger.above), ("below", &trigger.below)])
        {
            match limit.as_ref().map(|limit| limit.value(metric.unit)) {
                Some(Ok(value)) => *slot = Some(value),
                Some(Err(why)) => {
                    let message = format!("`{key}` is no limit of `{}`: {why}", metric.name);
                    self.tell(message, &format!("{at}/{key}"), "a number is meant in the unit of the metric");
                }
                None => {}
            }
        }
        match values {
            [None, None] if trigger.above.is_none() && trigger.below.is_none() => {
                self.tell("it has neither `above` nor `below`", at, "say what must not be passed");
            }
            [Some(above), Some(below)] if above < below => {
                let message = "`above` is less than `below`: everything is beyond one of them";
                self.tell(message, &format!("{at}/above"), "between the two is what is good");
            }
            [Some(above), _] if above < 0.0 && metric.kind != MetricKind::Gauge => {
                let message = format!("`{}` is always above {above}", metric.name);
                self.tell(message, &format!("{at}/above"), "it would always fire");
            }
            [_, Some(below)] if below <= 0.0 && metric.kind != MetricKind::Gauge => {
                let message = format!("`{}` is never below {below}", metric.name);
                self.tell(message, &format!("{at}/below"), "it could never fire");
            }
            _ => {}
        }
    }
}
