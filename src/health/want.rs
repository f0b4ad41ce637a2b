//! What one value must be: written as a literal, a comparison or a pattern, compiled once.
use super::words::cut;
use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};
use std::{cmp::Ordering, fmt};

/// What one value must be: a literal, or a string that reads as a comparison or a pattern.
#[derive(Clone, Debug)]
pub enum Want {
    Is(Value),
    IsNot(Value),
    Compare(OrderedWant),
    Matches(Regex),
}

#[derive(Clone, Copy, Debug)]
pub struct OrderedWant {
    order: Order,
    than: f64,
}

impl Want {
    pub fn parse(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else {
            return match value {
                Value::Array(_) | Value::Object(_) => Err("compare one value, not a list or a table".into()),
                scalar => Ok(Self::Is(scalar.clone())),
            };
        };
        if let Some(source) = pattern(text) {
            return regex(source).map(Self::Matches);
        }
        // Longer operators first: `>=` also starts with `>`.
        for (sign, order) in
            [(">=", Order::AtLeast), ("<=", Order::AtMost), (">", Order::Greater), ("<", Order::Less)]
        {
            if let Some(number) = text.strip_prefix(sign) {
                let than = number.trim().parse().ok().filter(|n: &f64| n.is_finite());
                let than = than.ok_or_else(|| {
                    format!("`{}` compares with something that is not a number", text.escape_debug())
                })?;
                return Ok(Self::Compare(OrderedWant { order, than }));
            }
        }
        if let Some(operand) = text.strip_prefix("!=") {
            return Ok(Self::IsNot(scalar(operand.trim())));
        }
        if let Some(operand) = text.strip_prefix("==") {
            return Ok(Self::Is(scalar(operand.trim())));
        }
        Ok(Self::Is(value.clone()))
    }

    /// Err holds what was seen, short and quoted.
    pub fn check(&self, seen: &Value) -> Result<(), String> {
        let fits = match self {
            Self::Is(want) => same(seen, want),
            Self::IsNot(want) => !same(seen, want),
            Self::Compare(want) => want.fits(seen.as_f64()),
            Self::Matches(regex) => match seen {
                Value::String(text) => regex.is_match(text),
                Value::Array(_) | Value::Object(_) => false,
                scalar => regex.is_match(&scalar.to_string()),
            },
        };
        if fits { Ok(()) } else { Err(cut(&seen.to_string(), 80)) }
    }

    /// For what arrives as text only: a header, a cell, a line.
    pub fn fits_text(&self, seen: &str) -> bool {
        match self {
            Self::Is(want) => text_is(want, seen),
            Self::IsNot(want) => !text_is(want, seen),
            Self::Compare(want) => want.fits(seen.trim().parse().ok()),
            Self::Matches(regex) => regex.is_match(seen),
        }
    }
}

impl OrderedWant {
    fn fits(self, seen: Option<f64>) -> bool {
        // Something that is not a number is neither above nor below.
        let Some(ordering) = seen.and_then(|seen| seen.partial_cmp(&self.than)) else { return false };
        match self.order {
            Order::Less => ordering == Ordering::Less,
            Order::AtMost => ordering != Ordering::Greater,
            Order::Greater => ordering == Ordering::Greater,
            Order::AtLeast => ordering != Ordering::Less,
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(value) => write!(f, "{value}"),
            Self::IsNot(value) => write!(f, "anything but {value}"),
            Self::Compare(want) => write!(f, "{} {}", want.order.as_str(), want.than),
            Self::Matches(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// Text that must be in a body.
#[derive(Debug)]
pub enum TextWant {
    Contains(String),
    Matches(Regex),
}

impl TextWant {
    pub fn parse(text: &str) -> Result<Self, String> {
        match pattern(text) {
            Some(source) => regex(source).map(Self::Matches),
            None => Ok(Self::Contains(text.to_owned())),
        }
    }

    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Matches(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Display for TextWant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(part) => write!(f, "{part:?}"),
            Self::Matches(regex) => write!(f, "/{regex}/"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Order {
    fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

fn same(seen: &Value, want: &Value) -> bool {
    match (seen, want) {
        // 1 and 1.0 are the same number, whatever wrote them.
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn text_is(want: &Value, seen: &str) -> bool {
    match want {
        Value::String(text) => text == seen,
        wanted => same(&scalar(seen.trim()), wanted),
    }
}

/// A bare word after `!=` or `==`: a number, true, false, null, else text.
fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        text => text
            .parse::<i64>()
            .map(Number::from)
            .ok()
            .or_else(|| text.parse().ok().and_then(Number::from_f64))
            .map_or_else(|| Value::String(text.trim_matches('"').to_owned()), Value::Number),
    }
}

fn pattern(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/').filter(|source| !source.is_empty())
}

fn regex(source: &str) -> Result<Regex, String> {
    // Matching is linear in the text; this bounds what compiling may take.
    RegexBuilder::new(source).size_limit(256 << 10).build().map_err(|error| {
        let why = error.to_string();
        format!("`/{source}/` is not a pattern: {}", why.lines().last().unwrap_or_default().trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn text_is_compared_as_what_was_wanted_of_it() {
        let fits = |want: serde_json::Value, seen: &str| Want::parse(&want).expect("a want").fits_text(seen);
        assert!(fits(json!(7), " 7 ") && fits(json!("7"), "7") && fits(json!(">= 7"), " 7\n"));
        assert!(fits(json!("== 7"), "7.0") && fits(json!(true), "true"));
        assert!(!fits(json!("7"), "07") && !fits(json!(">= 7"), "seven") && !fits(json!("!= 7"), "7"));
    }

    proptest! {
        #[test]
        fn numbers_compare_as_numbers(seen in -1e9f64..1e9, than in -1e9f64..1e9) {
            let want = Want::parse(&json!(format!(">= {than}"))).expect("a comparison");
            prop_assert_eq!(want.check(&json!(seen)).is_ok(), seen >= than);
        }
    }
}
