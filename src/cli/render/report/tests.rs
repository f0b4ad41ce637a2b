//! The table form of one rich report, and the verdict's exit code.
use super::*;
use crate::{
    cli::{ColorChoice, Exit, Ui},
    domain::{Report, Verdict, sample},
};

fn said(wide: bool) -> String {
    report(&Ui::new(ColorChoice::Never, true), &sample::rich(), wide)
}

#[test]
fn the_verdict_leads_trouble_follows_worst_first_and_nothing_drives_the_terminal() {
    let text = said(false);
    assert!(
        text.starts_with(
            "NOT READY (partial run: it answers for what it ran alone)  score 41.25–66.25 of 100 (43–68 without what is waived), bar 85, coverage 76 %\n"
        ),
        "{text}"
    );
    assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J"), "{text}");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is missing: {text}"));
    let order = [
        "judged as of 2027-02-14",
        "because  gate DB-003",
        "not met  the score is 41.25",
        "CATEGORY ",
        "-4.5 points at the low end since run 11",
        "FAIL           DB-003",
        "FAIL           CF-002",
        "ERROR          AO-001",
        "WARN           AU-004",
        "1 finding is waived: the score is 41.25–66.25, and 43–68 without",
        "WAIVED FAIL    SE-002",
        "Ada <ada@example.org> answers for it until 2027-02-24 (waiver 1): the key is rotated",
        "no longer waived: DB-004: waiver 2 of Ada <ada@example.org>, expired 2027-01-25",
        "waived without need: CF-009",
        "not run: SE-009 SE-010",
        "4 checks passed or do not apply",
    ];
    assert!(order.map(at).is_sorted(), "{text}");
    assert!(!text.contains("DB-001") && said(true).contains("PASS           DB-001"));
    assert!(said(true).contains("PASS           APP-001  GET /api/v2/bookings answers  [declared]"));
}

#[test]
fn what_is_waived_is_struck_through_where_there_is_colour() {
    let text = report(&Ui::new(ColorChoice::Always, true), &sample::rich(), false);
    assert!(text.contains("\x1b[9mthe control of SE-002 holds\x1b[0m"), "{text}");
}

#[test]
fn many_checks_that_were_not_run_are_counted_and_named_when_asked() {
    let mut many = sample::rich();
    many.not_run = (0..75).map(|n| format!("XX-{n:03}")).collect();
    let said = |wide| report(&Ui::new(ColorChoice::Never, true), &many, wide);
    assert!(
        said(false).contains("not run: 75 checks; -o wide names them\n") && !said(false).contains("XX-001")
    );
    assert!(said(true).contains("XX-000 ") && said(true).contains("XX-074\n"));
}

#[test]
fn the_verdict_and_the_demands_decide_the_exit_code() {
    let table = [
        (Verdict::Ready, Exit::Ok),
        (Verdict::Partial, Exit::Ok),
        (Verdict::NotReady, Exit::Negative),
        (Verdict::Inconclusive, Exit::Inconclusive),
    ];
    for (verdict, exit) in table {
        let met = Report { verdict, unmet: Vec::new(), ..sample::rich() };
        assert_eq!(exit_of(&met), exit, "{verdict:?}");
        let unmet = Report { verdict, ..sample::rich() };
        assert_eq!(exit_of(&unmet), Exit::Negative, "{verdict:?} with a demand that is not met");
    }
}
