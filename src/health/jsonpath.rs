//! The part of JSONPath that assertions need: `$.a.b[0]`, `$['a b']`, `$.items.length()`. Parsed once, walked
//! without allocating; filters and wildcards are left out, since an assertion names one value.
use serde_json::Value;
use std::fmt;

/// The longest path accepted, in steps: nothing legible needs more.
const MAX_STEPS: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Length,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    Value(&'a Value),
    Length(usize),
    /// Nothing is there.
    Missing,
}

impl JsonPath {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!("`{}` is not a JSON path: {why}; write it like $.a.b[0]", text.escape_debug()))
        };
        let Some(mut rest) = text.strip_prefix('$') else { return wrong("it does not start with $") };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if steps.last() == Some(&Step::Length) {
                return wrong("nothing can follow length()");
            }
            if steps.len() == MAX_STEPS {
                return wrong("it has too many steps");
            }
            let parsed = if let Some(after) = rest.strip_prefix('.') { dotted(after) } else { bracket(rest) };
            let Some((step, after)) = parsed else { return wrong("a step is malformed") };
            steps.push(step);
            rest = after;
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    pub fn find<'a>(&self, root: &'a Value) -> Found<'a> {
        let mut here = root;
        for step in &self.steps {
            let next = match step {
                Step::Key(key) => here.get(key.as_str()),
                Step::Index(index) => here.get(*index),
                Step::Length => return length(here).map_or(Found::Missing, Found::Length),
            };
            match next {
                Some(value) => here = value,
                None => return Found::Missing,
            }
        }
        Found::Value(here)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `a`, `length()` or `a-b` up to the next `.` or `[`.
fn dotted(text: &str) -> Option<(Step, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name {
        "" => None,
        "length()" => Some((Step::Length, rest)),
        name if name.contains(['(', ')', ']', '*', '\'', '"', ' ']) => None,
        name => Some((Step::Key(name.to_owned()), rest)),
    }
}

/// `[0]`, `['a']` or `["a"]`; a quoted key may hold anything but its own quote.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let inside = text.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (key, rest) = quoted.split_once(quote)?;
            return Some((Step::Key(key.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (digits, rest) = inside.split_once(']')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((Step::Index(digits.parse().ok()?), rest))
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => Some(members.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_not_a_path_is_refused() {
        for bad in
            ["", "a", "$a", "$.", "$..a", "$[", "$[]", "$[-1]", "$['a]", "$.a[*]", "$.length().a", "$.a b"]
        {
            assert!(JsonPath::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(JsonPath::parse(&format!("${}", ".a".repeat(33))).is_err());
    }

    #[test]
    fn it_finds_what_it_names_and_nothing_else() {
        let root = json!({"a": {"b": [10, {"c d": null}]}, "list": [1, 2, 3], "s": "ab", "n": 1});
        let found = |path: &str| JsonPath::parse(path).expect("a path").find(&root);
        assert_eq!(found("$"), Found::Value(&root));
        assert_eq!(found("$.a.b[0]"), Found::Value(&json!(10)));
        assert_eq!(found("$['a'][\"b\"][1]['c d']"), Found::Value(&Value::Null), "null is there");
        assert_eq!(found("$.list.length()"), Found::Length(3));
        assert_eq!(found("$.s.length()"), Found::Length(2));
        for absent in ["$.a.x", "$.a.b[2]", "$.list.a", "$.n[0]", "$.n.length()"] {
            assert_eq!(found(absent), Found::Missing, "{absent}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_without_a_panic(text in ".{0,40}") {
            if let Ok(path) = JsonPath::parse(&text) {
                prop_assert_eq!(path.to_string(), text);
                let _ = path.find(&json!({"a": [1]}));
            }
        }

        #[test]
        fn a_quoted_key_leads_to_its_member(key in "[^'\"]{1,20}") {
            let mut members = serde_json::Map::new();
            members.insert(key.clone(), json!(7));
            let path = JsonPath::parse(&format!("$['{key}']")).expect("a path");
            let root = Value::Object(members);
            prop_assert_eq!(path.find(&root), Found::Value(&json!(7)));
        }
    }
}
