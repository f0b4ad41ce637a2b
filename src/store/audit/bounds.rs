//! What a row may hold: so much of each text, and nothing that was issued as a secret. Names and reasons come from
//! whoever asked, and a refusal may quote what it refuses.
use crate::domain::Act;

/// Characters of principal, origin, action, object, outcome, reason and correlation id.
const LONGEST: [usize; 7] = [128, 200, 100, 300, 20, 500, 20];
/// How our keys and sessions begin.
const ISSUED: &[&str] = &["agc_", "ags_"];
const MASK: &str = "********";
/// What follows quotes the body.
const BODY: &str = "cannot read the request: ";

/// The texts of a row in the order of its columns.
pub fn texts(act: &Act, outcome: String, reason: &str) -> [String; 7] {
    let reason = if reason.starts_with(BODY) { BODY.trim_end_matches(": ") } else { reason };
    let texts = [
        act.principal.to_string(),
        act.from.clone(),
        act.action.to_owned(),
        masked(&act.object),
        outcome,
        masked(reason),
        act.correlation.to_string(),
    ];
    let mut longest = LONGEST.into_iter();
    texts.map(|text| cut(text, longest.next().unwrap_or(0)))
}

fn cut(text: String, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text,
        Some(_) => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whatever begins as a key or a session does, to the end of the word.
fn masked(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ISSUED.iter().filter_map(|prefix| rest.find(prefix)).min() {
        let (head, tail) = rest.split_at(at);
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        safe.push_str(head);
        // The first four are no secret: they say what it was.
        safe.push_str(&tail[..4]);
        safe.push_str(MASK);
        rest = &tail[end..];
    }
    safe.push_str(rest);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Caller, Identity, Role};

    fn row(object: &str, reason: &str) -> [String; 7] {
        let identity = Identity { uid: 1000, gid: 1000, pid: Some(7) };
        let act = Act::new(&Caller::by_socket(identity, Role::Admin, None), "waivers/add", object);
        texts(&act, "refused".into(), reason)
    }

    #[test]
    fn a_row_is_bounded_and_quotes_neither_a_key_nor_a_body() {
        let secret = "agc_0badcafe_2hGQ8sTzzzzzzzzzz";
        let [principal, origin, _, object, _, reason, correlation] =
            row(&format!("agent/{secret} x"), &format!("cannot accept {secret}: no such key ({secret})"));
        assert_eq!((principal.as_str(), origin.as_str()), ("user:1000", "uid 1000 pid 7 by socket"));
        assert_eq!(object, "agent/agc_******** x");
        assert_eq!(reason, "cannot accept agc_********: no such key (agc_********)");
        assert_eq!(correlation.len(), 16);
        let said = row("", "cannot read the request: invalid type: string \"hunter2\", expected u64");
        assert_eq!(said[5], "cannot read the request");
        let long = row(&"é".repeat(5_000), &"x".repeat(5_000));
        assert_eq!((long[3].chars().count(), long[5].chars().count()), (300, 500));
        assert!(long[3].ends_with('…'));
        assert_eq!(row("waiver/7", "cannot: no")[5], "cannot: no");
    }
}
