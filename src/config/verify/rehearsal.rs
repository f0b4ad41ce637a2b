//! Rehearsals: names that can be given, commands that hold no secret, and what is made is taken away.
use super::{Verifier, escape, shown, with_nearest};
use crate::config::{problem::Severity, secret};

impl Verifier<'_> {
    pub(super) fn rehearsal(&mut self) {
        let settings = self.settings;
        let rehearsal = &settings.rehearsal;
        self.not_zero("/rehearsal/max_age", rehearsal.max_age.0);
        self.not_zero("/rehearsal/deadline", rehearsal.deadline.0);
        for name in rehearsal.env.keys() {
            let at = format!("/rehearsal/env/{}", escape(name));
            if name.is_empty() || name.contains(['=', '\0']) {
                self.tell("is no name for a variable", &at, "use letters, digits and _");
            } else if name.starts_with("AGENTD_") {
                self.tell("is set by agentd", &at, "choose a name that does not start with AGENTD_");
            }
        }
        if let Some(node) = self.root.find("/rehearsal/env") {
            self.secrets(node, "", false);
        }
        for (key, command) in [("prepare", &rehearsal.prepare), ("discard", &rehearsal.discard)] {
            for (nth, word) in command.iter().enumerate() {
                let at = format!("/rehearsal/{key}/{nth}");
                if nth == 0 && word.is_empty() {
                    self.tell("names no program", &at, "write the program first");
                }
                if word.contains('\0') {
                    self.tell("contains a zero byte", &at, "remove it");
                }
                if secret::is_reference(word) {
                    let message = "a secret in an argument is visible to every user of this machine";
                    self.tell(message, &at, "put it under `env` and let the program read it there");
                }
            }
        }
        if !rehearsal.prepare.is_empty() && rehearsal.discard.is_empty() {
            let hint = "say in `discard` what is run to remove it";
            self.tell("nothing takes away what `prepare` makes", "/rehearsal/prepare", hint);
        }
        for (name, why) in &rehearsal.leave_out {
            let at = format!("/rehearsal/leave_out/{}", escape(name));
            if why.trim().is_empty() {
                self.tell("no reason is given", &at, "say why it cannot be rehearsed");
            }
            // A release that is returned to may have had it.
            if !settings.agents.iter().any(|agent| agent.name.as_str() == name)
                && !self.maimed.contains("/agent")
            {
                let message = format!("no agent is called `{}`", shown("name", name));
                let known = settings.agents.iter().map(|agent| agent.name.as_str());
                let mut problem = with_nearest(self.problem(message, self.place(&at)), name, known, "agents");
                problem.severity = Severity::Warning;
                self.problems.push(problem);
            }
        }
    }
}
