//! Section 7 of the manual: how a deployment, a rollback and an incident go. Made from what the code holds (steps, budgets,
//! phases, kinds, states, exit codes), so that a page changes when one of them does; a test compares.
use super::generate::exit_status;
use crate::{
    daemon::kinds,
    deploy::{every_step, step_title},
    domain::{AgentState, ErrorState, FaultCategory, FaultSeverity, Phase, ProbeRole, WayKind},
};
use schemars::schema_for;
use serde_json::Value;

/// File and text of each page.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("agentctl-deployment.7", deployment()),
        ("agentctl-rollback.7", rollback()),
        ("agentctl-incident.7", incident()),
    ]
}

fn deployment() -> String {
    let mut page =
        Page::new("agentctl-deployment", "how a release is made, checked, deployed and called good");
    page.heading("DESCRIPTION").text(
        "A release is a record that is never changed: the configuration, a copy of each artifact with its digest, the revision, the last validation, the newest backup, and the declared migration. A deployment puts one in the place of the one that runs, and goes back by itself if it does not come up.",
    );
    page.heading("FROM A CHANGE TO A STABLE RELEASE")
        .item("agentctl validate", "proves that the fleet is ready; without a fresh proof a deployment is refused, unless somebody answers for it with --unproved")
        .item("agentctl release create --note TEXT", "records what would ship")
        .item("agentctl deploy-check --phase pre", "answers go, no-go or inconclusive to the checklist")
        .item("agentctl deploy RELEASE --reason TEXT", "carries out the steps below, as one operation")
        .item("agentctl deploy-check --phase post", "asks the checklist again")
        .item("agentctl release bless RELEASE", "calls it stable: what a rollback returns to");
    steps(&mut page, WayKind::Deploy);
    page.text("Each step is written to a journal before it runs and after. When one fails, what was done is undone in reverse order; over a migration that is declared irreversible it stops where it is instead, and says so. After a crash the next start of agentd goes on with it.");
    page.heading("DECLARED COMMANDS").text("Under [releases.migration], program and arguments, run without a shell and with AGENTD_OPERATION_KEY, which is the same whenever a crash makes a step run again.");
    described(&mut page, &schema_for!(crate::config::MigrationSettings).to_value()["properties"]);
    page.heading("PHASES OF THE CHECKLIST");
    variants(&mut page, &schema_for!(Phase).to_value());
    page.heading("KINDS OF ITEMS").text("Of [[checklist.item]]; those of [[check]] may be used as well.");
    let kinds = kinds();
    for kind in kinds.items.iter().chain(&kinds.checks) {
        page.item(kind.name, kind.about);
    }
    page.end(&[
        "agentctl-rollback(7)",
        "agentctl-incident(7)",
        "agentctl-deploy(1)",
        "agentctl-release(1)",
        "agentctl-deploy-check(1)",
        "agentd.toml(5)",
    ])
}

fn rollback() -> String {
    let mut page = Page::new("agentctl-rollback", "the ways back, their steps and their budgets");
    page.heading("DESCRIPTION").text(
        "A rollback is planned first: agentctl rollback plan shows its steps, what each took before, what would be lost and what stands against it, and does nothing. agentctl rollback run carries out exactly that plan, as an operation that survives a crash, and shows the time it took against its budget.",
    );
    for kind in WayKind::ROLLBACKS {
        page.heading(&format!("--mode {kind}")).text(match kind {
            WayKind::Immediate => "The fleet is switched off and proved to be off, by what the kernel says is alive. It stays off, over restarts and reloads, until agentctl system on or a rollback in full. While it is off, no work is taken of anybody.",
            WayKind::Full => "The fleet runs the release that was stable before, or the one that --to names, verified. If that does not come up, it is as it was.",
            WayKind::Database => "The database of agentd, and those that the manifest declares, are put back to the backup that --backup names, while the fleet is off. What has ended since stays ended: keys, sessions, waivers. The release that runs stays the same. A backup of now is made and verified first, and what was there before is put back if the fleet does not come up.",
            // No way back, and not in the list of those.
            WayKind::Deploy => "",
        });
        steps(&mut page, kind);
    }
    page.heading("WHEN IT STOPS IN BETWEEN")
        .item("agentctl operation list", "shows what is under way, and what stopped for somebody to look")
        .item("agentctl operation show OPERATION --follow", "its steps, and how they stand")
        .item("agentctl operation cancel OPERATION", "calls it off: what was done is undone")
        .item("agentctl runbook", "where things are, what runs, and the commands with the ids of today");
    page.end(&[
        "agentctl-deployment(7)",
        "agentctl-incident(7)",
        "agentctl-rollback(1)",
        "agentctl-operation(1)",
        "agentctl-system(1)",
    ])
}

fn incident() -> String {
    let mut page = Page::new("agentctl-incident", "what to look at and to type when something is wrong");
    page.heading("DESCRIPTION").text(
        "Look first, then stop the harm, then mend, and say why in each --reason: whoever looks next is told. agentctl runbook has all of this page with the names, ids and people of the fleet at hand, also while no daemon answers.",
    );
    page.heading("LOOK")
        .item("agentctl runbook", "the fleet: what is wrong and who says so, the way back, who to ask")
        .item("agentctl runbook AGENT", "one agent: its probes and what their failure means, whom it needs and who needs it, its last words")
        .item("agentctl runbook CHECK", "why a check matters, how it is measured, what to do")
        .item("agentctl status --watch", "how it fares, as it changes")
        .item("agentctl error list", "failures, each group of one cause once")
        .item("agentctl audit list", "who did what before it");
    page.heading("STOP THE HARM")
        .item(
            "agentctl system limited --clients PRINCIPAL,... --reason TEXT",
            "the fleet runs, and works for these alone",
        )
        .item(
            format!("agentctl rollback run --mode {} --reason TEXT", WayKind::Immediate),
            format!("all of it off, proved, within {}", WayKind::Immediate.budget()),
        )
        .item(
            format!("agentctl rollback run --mode {} --reason TEXT", WayKind::Full),
            format!("the release that was stable before, within {}", WayKind::Full.budget()),
        )
        .item("agentctl agent stop AGENT", "one agent, until somebody starts it")
        .item("agentctl breaker trip NAME --reason TEXT", "no calls to a dependency");
    page.heading("WHAT PROBES DECIDE");
    variants(&mut page, &schema_for!(ProbeRole).to_value());
    page.heading("STATES OF AN AGENT").list(AgentState::ALL.iter().map(|state| state.as_str()));
    page.heading("HOW BAD A FAILURE IS").list(FaultSeverity::ALL.iter().map(|severity| severity.as_str()));
    page.heading("WHAT A FAILURE IS ABOUT").list(FaultCategory::ALL.iter().map(|category| category.as_str()));
    page.heading("STATES OF AN ERROR GROUP").list(ErrorState::ALL.iter().map(|state| state.as_str()));
    page.end(&[
        "agentctl-deployment(7)",
        "agentctl-rollback(7)",
        "agentctl-runbook(1)",
        "agentctl-status(1)",
        "agentctl-error(1)",
        "agentctl-system(1)",
    ])
}

fn steps(page: &mut Page, kind: WayKind) {
    let said =
        format!("Budget {}. Its steps, those of data only where a release declares them:", kind.budget());
    if kind == WayKind::Deploy {
        page.heading("STEPS");
    }
    page.text(&said);
    for step in every_step(kind) {
        page.item(step, step_title(step));
    }
}

/// The keys of a table of the manifest, with what their comments say.
fn described(page: &mut Page, properties: &Value) {
    for (name, schema) in properties.as_object().into_iter().flatten() {
        page.item(name, schema["description"].as_str().unwrap_or_default());
    }
}

/// The values of an enumeration, with what their comments say.
fn variants(page: &mut Page, schema: &Value) {
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        let name = variant["const"].as_str().unwrap_or_default();
        page.item(name, variant["description"].as_str().unwrap_or_default());
    }
}

/// A page of the manual, as `man` reads it.
struct Page(String);

impl Page {
    fn new(name: &str, about: &str) -> Self {
        let title = name.to_uppercase();
        let mut page = Self(format!(
            ".TH {title} 7 \"\" \"agentctl {}\" \"agentctl manual\"\n",
            env!("CARGO_PKG_VERSION")
        ));
        page.heading("NAME");
        page.0.push_str(&format!("{} \\- {}\n", roff(name), roff(about)));
        page
    }

    fn heading(&mut self, text: &str) -> &mut Self {
        self.0.push_str(&format!(".SH \"{}\"\n", roff(text)));
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(&format!(".PP\n{}\n", roff(text)));
        self
    }

    fn item(&mut self, term: impl AsRef<str>, text: impl AsRef<str>) -> &mut Self {
        self.0.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(term.as_ref()), roff(text.as_ref())));
        self
    }

    fn list<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> &mut Self {
        let words: Vec<&str> = words.collect();
        self.text(&words.join(", "))
    }

    fn end(mut self, see: &[&str]) -> String {
        self.0.push_str(&exit_status());
        self.heading("SEE ALSO");
        self.text(&see.join(", "));
        self.0
    }
}

/// One line that is text and no request.
fn roff(text: &str) -> String {
    let line = text.replace('\\', "\\e").replace('-', "\\-").replace('\n', " ").replace('`', "\\(ga");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    #[test]
    fn a_step_a_budget_and_an_exit_code_are_on_their_pages() {
        let pages = pages();
        let text = |file: &str| pages.iter().find(|(name, _)| *name == file).expect(file).1.clone();
        for (file, kinds) in [
            ("agentctl-deployment.7", &[WayKind::Deploy][..]),
            ("agentctl-rollback.7", &WayKind::ROLLBACKS[..]),
        ] {
            let page = text(file);
            for kind in kinds {
                assert!(page.contains(&roff(&format!("Budget {}", kind.budget()))), "{file}: {kind}");
                for step in every_step(*kind) {
                    assert!(!step_title(step).is_empty(), "{step} has no title");
                    assert!(
                        page.contains(&format!("\\fB{}\\fR\n{}\n", roff(step), roff(step_title(step)))),
                        "{file}: {step}"
                    );
                }
            }
        }
        for (file, page) in &pages {
            for (exit, meaning) in Exit::ALL {
                assert!(page.contains(&format!("\\fB{}\\fR\n{meaning}\n", *exit as u8)), "{file}: {meaning}");
            }
        }
        let deployment = text("agentctl-deployment.7");
        for word in ["\\fBpre\\fR\n", "\\fBpost\\fR\n", "\\fBprepare\\fR\n", "\\fBattest\\fR\n"] {
            assert!(deployment.contains(word), "{word}: {deployment}");
        }
    }

    #[test]
    fn no_text_is_taken_for_a_request() {
        assert_eq!(roff(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(roff("a\\b -c\n.d"), "a\\eb \\-c .d");
        for (file, page) in pages() {
            let requests = page.lines().filter(|line| line.starts_with('.'));
            for line in requests {
                let known = [".TH ", ".SH ", ".PP", ".TP"].iter().any(|known| line.starts_with(known));
                assert!(known, "{file}: {line}");
            }
            assert!(page.lines().all(|line| !line.starts_with('\'')), "{file}");
        }
    }
}
