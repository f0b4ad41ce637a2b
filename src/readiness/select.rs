//! Which checks a run asks: `--only` and `--skip` name ids or categories; an unknown name is an error.
use super::{
    RunRequest, Terms,
    asked::{Asked, Declared},
    checks::Section,
};
use crate::{
    config::ReadinessSettings,
    domain::{Category, Fault},
};
use std::sync::Arc;

/// What a run is to do, and by which terms it is judged.
pub struct Selection<E: 'static = super::Evidence> {
    pub checks: Vec<Asked<E>>,
    pub not_run: Vec<String>,
    pub terms: Terms,
}

/// Of each category our own checks come first, then what the manifest declares.
pub fn select(
    sections: &'static [Section],
    declared: &[Arc<Declared>],
    request: &RunRequest,
    settings: &ReadinessSettings,
) -> Result<Selection, Fault> {
    for name in request.only.iter().chain(&request.skip) {
        let declared = || declared.iter().map(|check| check.info.id.as_str());
        if !names(sections).chain(declared()).any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(unknown(sections, declared(), name));
        }
    }
    let named = |list: &[String], name: &str| list.iter().any(|given| given.eq_ignore_ascii_case(name));
    let category_asked = |category: Category| {
        let name = category.as_str();
        (request.only.is_empty() || named(&request.only, name)) && !named(&request.skip, name)
    };
    let (mut checks, mut not_run, mut categories) = (Vec::new(), Vec::new(), Vec::new());
    for section in sections {
        let category = &section.category;
        let before = (checks.len(), not_run.len());
        let own = section.all().map(Asked::BuiltIn);
        let theirs = declared.iter().filter(|check| check.info.category == *category);
        for check in own.chain(theirs.map(|check| Asked::Declared(Arc::clone(check)))) {
            let wanted = (category_asked(*category) || named(&request.only, check.id()))
                && !named(&request.skip, check.id())
                && !named(&request.skip, category.as_str());
            if wanted { checks.push(check) } else { not_run.push(check.id().to_owned()) }
        }
        let none = before == (checks.len(), not_run.len());
        let asked = if none { category_asked(*category) } else { checks.len() > before.0 };
        categories.push((*category, weight(*category, settings), asked));
    }
    if !categories.iter().any(|(.., asked)| *asked) {
        return Err(Fault::usage("cannot validate: --skip leaves nothing of what --only names")
            .hint("`agentctl check list` shows every check"));
    }
    let partial = !not_run.is_empty() || categories.iter().any(|(.., asked)| !asked);
    Ok(Selection {
        checks,
        not_run,
        terms: Terms { categories, bar: settings.bar, partial, checklist: false },
    })
}

/// Of a checklist's items, in their order; what is named here is an item or a group of theirs.
pub fn listed(items: &[Arc<Declared>], only: &[String], skip: &[String]) -> Result<Selection, Fault> {
    let groups =
        || Category::ALL.iter().filter(|group| items.iter().any(|item| item.info.category == **group));
    let known = || items.iter().map(|item| item.info.id.as_str()).chain(groups().map(|group| group.as_str()));
    for name in only.iter().chain(skip) {
        if !known().any(|known| known.eq_ignore_ascii_case(name)) {
            let hint = match crate::domain::nearest(name, known()) {
                Some(near) => {
                    format!("did you mean `{near}`? `agentctl deploy-check items` shows every item")
                }
                None => "`agentctl deploy-check items` shows every item, with its phases".into(),
            };
            let message =
                format!("cannot find an item or a group called `{}` in this phase", name.escape_debug());
            return Err(Fault::usage(message).hint(hint));
        }
    }
    let named = |list: &[String], item: &Declared| {
        let names = [item.info.id.as_str(), item.info.category.as_str()];
        list.iter().any(|given| names.iter().any(|name| name.eq_ignore_ascii_case(given)))
    };
    let (asked, left): (Vec<_>, Vec<_>) =
        items.iter().partition(|item| (only.is_empty() || named(only, item)) && !named(skip, item));
    if asked.is_empty() {
        return Err(Fault::usage("cannot check: --skip leaves nothing of what --only names")
            .hint("`agentctl deploy-check items` shows every item"));
    }
    let share = |group: Category| (group, 1.0, asked.iter().any(|item| item.info.category == group));
    let terms = Terms {
        categories: Category::ALL.into_iter().map(share).collect(),
        bar: 0.0,
        partial: !left.is_empty(),
        checklist: true,
    };
    let not_run = left.iter().map(|item| item.info.id.clone()).collect();
    let checks = asked.into_iter().map(|item| Asked::Declared(Arc::clone(item))).collect();
    Ok(Selection { checks, not_run, terms })
}

/// The fault for a name that is neither a check nor a category, with the nearest one.
pub fn unknown<'a>(sections: &'a [Section], declared: impl Iterator<Item = &'a str>, name: &str) -> Fault {
    let lower = name.to_ascii_lowercase();
    let nearest = names(sections)
        .chain(declared)
        .map(|known| (strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &lower), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2));
    let hint = match nearest {
        Some((_, known)) => format!("did you mean `{known}`? `agentctl check list` shows every check"),
        None => "`agentctl check list` shows every check".into(),
    };
    Fault::usage(format!("cannot find a check or a category called `{}`", name.escape_debug())).hint(hint)
}

fn names(sections: &[Section]) -> impl Iterator<Item = &str> {
    sections.iter().flat_map(|s| s.all().map(|c| c.id).chain([s.category.as_str()]))
}

fn weight(category: Category, settings: &ReadinessSettings) -> f64 {
    let default = super::score::DEFAULT_WEIGHTS.iter().find(|(c, _)| *c == category).map_or(0.0, |(_, w)| *w);
    settings.weights.get(&category).copied().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{FaultKind, Severity},
        readiness::{Check, Evidence, Found, declared},
    };
    use futures_util::future::BoxFuture;

    fn pass(_: &Evidence) -> BoxFuture<'_, Found> {
        Box::pin(async { Found::pass("well") })
    }

    const fn check(id: &'static str, category: Category) -> Check {
        Check {
            id,
            title: "t",
            category,
            severity: Severity::Blocker,
            weight: 1,
            why: "w",
            how: "h",
            fix: "f",
            exercised: true,
            quiet: false,
            run: pass,
        }
    }

    const SECTIONS: &[Section] = &[
        Section { category: Category::ErrorHandling, checks: &[] },
        Section {
            category: Category::Database,
            checks: &[&[check("DB-001", Category::Database), check("DB-002", Category::Database)]],
        },
        Section { category: Category::Security, checks: &[&[check("SE-001", Category::Security)]] },
    ];

    fn ask(only: &[&str], skip: &[&str]) -> Result<Selection, Fault> {
        ask_with(&[], only, skip)
    }

    fn ask_with(declared: &[Arc<Declared>], only: &[&str], skip: &[&str]) -> Result<Selection, Fault> {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        select(
            SECTIONS,
            declared,
            &RunRequest { only: own(only), skip: own(skip), ..RunRequest::default() },
            &ReadinessSettings::default(),
        )
    }

    #[test]
    fn what_is_asked() {
        // Only, skip → the checks that run, the categories that answer, whether it is partial.
        type Row = (
            &'static [&'static str],
            &'static [&'static str],
            &'static [&'static str],
            &'static [bool],
            bool,
        );
        let table: &[Row] = &[
            (&[], &[], &["DB-001", "DB-002", "SE-001"], &[true, true, true], false),
            (&["database"], &[], &["DB-001", "DB-002"], &[false, true, false], true),
            (&["db-002", "Security"], &[], &["DB-002", "SE-001"], &[false, true, true], true),
            (&[], &["DB-001"], &["DB-002", "SE-001"], &[true, true, true], true),
            (&[], &["error-handling"], &["DB-001", "DB-002", "SE-001"], &[false, true, true], true),
            (&["error-handling"], &[], &[], &[true, false, false], true),
            (&[], &["SE-001"], &["DB-001", "DB-002"], &[true, true, false], true),
        ];
        for (only, skip, ids, asked, partial) in table {
            let selection = ask(only, skip).expect("a selection");
            assert!(selection.checks.iter().map(Asked::id).eq(ids.iter().copied()), "{only:?} {skip:?}");
            let got: Vec<bool> = selection.terms.categories.iter().map(|(.., asked)| *asked).collect();
            assert_eq!((&got[..], selection.terms.partial), (*asked, *partial), "{only:?} {skip:?}");
            assert_eq!(selection.checks.len() + selection.not_run.len(), 3, "every check is accounted for");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_the_nearest() {
        for (only, skip, near) in [("DB-01", "", "DB-001"), ("", "databse", "database")] {
            let list = |name: &'static str| if name.is_empty() { vec![] } else { vec![name] };
            let fault = ask(&list(only), &list(skip)).err().expect("a refusal");
            assert_eq!(fault.kind, FaultKind::Usage);
            assert!(fault.hint.is_some_and(|hint| hint.contains(near)), "{near}");
        }
        assert!(ask(&["SE-001"], &["security"]).is_err(), "nothing is left to run");
    }

    #[test]
    fn declared_checks_are_chosen_by_id_and_category_and_measure_an_empty_one() {
        let written = serde_json::json!([
            {"id": "APP-login", "title": "t", "kind": "tcp", "category": "error-handling", "options": {"port": 1}},
            {"id": "APP-db", "title": "t", "kind": "tcp", "category": "database", "options": {"port": 1}},
        ]);
        let checks = serde_json::from_value(written).expect("checks");
        let settings = crate::config::Settings { checks, ..crate::config::Settings::default() };
        let declared = declared::declared(&settings);
        let ids = |only: &[&str], skip: &[&str]| {
            let selection = ask_with(&declared, only, skip).expect("a selection");
            let ids: Vec<String> = selection.checks.iter().map(|check| check.id().to_owned()).collect();
            assert_eq!(ids.len() + selection.not_run.len(), 5, "every check is accounted for");
            (ids.join(" "), selection.terms.partial)
        };
        assert_eq!(ids(&[], &[]), ("APP-login DB-001 DB-002 APP-db SE-001".into(), false));
        assert_eq!(ids(&["app-DB"], &[]), ("APP-db".into(), true));
        assert_eq!(ids(&["database"], &["DB-001"]), ("DB-002 APP-db".into(), true));
        assert_eq!(ids(&[], &["APP-login"]), ("DB-001 DB-002 APP-db SE-001".into(), true));
        let selection = ask_with(&declared, &[], &["APP-login"]).expect("a selection");
        assert!(!selection.terms.categories[0].2, "left out whole, the category was not asked");
        let fault = ask_with(&declared, &["APP-logn"], &[]).err().expect("a refusal");
        assert!(fault.hint.is_some_and(|hint| hint.contains("APP-login")));
    }
}
