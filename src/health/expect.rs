//! Assertions on an answer: compiled once when the settings are applied, so that a look only compares.
use super::{
    jsonpath::{Found, JsonPath},
    want::{TextWant, Want},
    words::cut,
};
use crate::config::OptionProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an HTTP answer must look like. Everything named must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectSettings {
    /// One status or several; 200 to 299 when left out.
    pub status: Option<Statuses>,
    /// Header → value: exact, `/regex/`, or a comparison such as `>= 1`.
    pub header: BTreeMap<String, String>,
    /// Text that the body must contain, or `/regex/`.
    pub body: Option<String>,
    /// JSON path → value: exact, or a string such as `>= 1`, `!= down`, `/regex/`.
    pub json: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Statuses {
    One(u16),
    Several(Vec<u16>),
}

/// A compiled `ExpectSettings`.
#[derive(Debug)]
pub struct Expect {
    status: Vec<u16>,
    header: Vec<(String, Want)>,
    body: Option<TextWant>,
    json: Vec<(JsonPath, Want)>,
}

impl Expect {
    /// All problems at once; pointers are relative to `expect`.
    pub fn compile(settings: &ExpectSettings) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut note =
            |pointer: String, message: String| problems.push(OptionProblem { pointer, message, hint: None });
        let status = match &settings.status {
            None => Vec::new(),
            Some(Statuses::One(code)) => vec![*code],
            Some(Statuses::Several(codes)) => {
                if codes.is_empty() {
                    note("/status".into(), "an empty list can never match".into());
                }
                codes.clone()
            }
        };
        for code in &status {
            if !(100..=599).contains(code) {
                note("/status".into(), format!("{code} is not an HTTP status: 100 to 599"));
            }
        }
        let mut header = Vec::new();
        for (name, want) in &settings.header {
            let at = format!("/header/{}", pointer_key(name));
            if hyper::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
                note(at.clone(), format!("`{}` is not the name of a header", name.escape_debug()));
            }
            match Want::parse(&Value::String(want.clone())) {
                Ok(want) => header.push((name.to_ascii_lowercase(), want)),
                Err(why) => note(at, why),
            }
        }
        let body = settings.body.as_deref().and_then(|text| match TextWant::parse(text) {
            Ok(want) => Some(want),
            Err(why) => {
                note("/body".into(), why);
                None
            }
        });
        let mut json = Vec::new();
        for (path, want) in &settings.json {
            let at = format!("/json/{}", pointer_key(path));
            match (JsonPath::parse(path), Want::parse(want)) {
                (Ok(path), Ok(want)) => json.push((path, want)),
                (Err(why), _) | (_, Err(why)) => note(at, why),
            }
        }
        if problems.is_empty() { Ok(Self { status, header, body, json }) } else { Err(problems) }
    }

    pub fn check_status(&self, status: u16) -> Result<(), String> {
        let fits = if self.status.is_empty() {
            (200..=299).contains(&status)
        } else {
            self.status.contains(&status)
        };
        if fits {
            return Ok(());
        }
        let want = match &self.status[..] {
            [] => "200 to 299".to_owned(),
            codes => codes.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
        };
        Err(format!("status is {status}, want {want}"))
    }

    pub fn check_headers(&self, headers: &hyper::HeaderMap) -> Result<(), String> {
        for (name, want) in &self.header {
            let Some(seen) = headers.get(name) else {
                return Err(format!("header {name} is missing, want {want}"));
            };
            let seen = String::from_utf8_lossy(seen.as_bytes());
            if !want.fits_text(&seen) {
                return Err(format!("header {name} is {:?}, want {want}", cut(&seen, 60)));
            }
        }
        Ok(())
    }

    /// `whole` is false when the body was longer than what was read of it.
    pub fn check_body(&self, body: &[u8], whole: bool) -> Result<(), String> {
        self.check_text("body", body, whole)
    }

    /// The same for any text, under the name that it has for people.
    pub fn check_text(&self, what: &str, body: &[u8], whole: bool) -> Result<(), String> {
        if let Some(want) = &self.body {
            let text = String::from_utf8_lossy(body);
            if !want.fits(&text) {
                let cut_off = if whole { "" } else { " in what was read of it" };
                return Err(format!("{what} lacks {want}{cut_off}: {:?}", cut(&text, 80)));
            }
        }
        if self.json.is_empty() {
            return Ok(());
        }
        if !whole {
            return Err(format!("{what} is longer than {} bytes, too long to be read as JSON", body.len()));
        }
        let parsed: Value = serde_json::from_slice(body)
            .map_err(|_| format!("{what} is not JSON: {:?}", cut(&String::from_utf8_lossy(body), 80)))?;
        self.check_json(&parsed)
    }

    fn check_json(&self, root: &Value) -> Result<(), String> {
        for (path, want) in &self.json {
            let seen = match path.find(root) {
                Found::Missing => return Err(format!("{path} is missing, want {want}")),
                Found::Length(length) => want.check(&Value::Number(length.into())),
                Found::Value(value) => want.check(value),
            };
            seen.map_err(|seen| format!("{path} is {seen}, want {want}"))?;
        }
        Ok(())
    }
}

/// A key as one step of a JSON pointer.
pub fn pointer_key(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expect(settings: Value) -> Expect {
        Expect::compile(&serde_json::from_value(settings).expect("settings")).expect("an expectation")
    }

    #[test]
    fn all_problems_are_found_at_once_each_at_its_place() {
        let settings = json!({
            "status": [200, 99], "header": {"a b": "x", "x-n": "> ten"}, "body": "/(/",
            "json": {"status": "x", "$.a": [1], "$.b": "/[/"},
        });
        let problems =
            Expect::compile(&serde_json::from_value(settings).expect("settings")).expect_err("problems");
        let mut at: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
        at.sort_unstable();
        assert_eq!(
            at,
            ["/body", "/header/a b", "/header/x-n", "/json/$.a", "/json/$.b", "/json/status", "/status"]
        );
        assert!(serde_json::from_value::<ExpectSettings>(json!({"statuss": 200})).is_err());
    }

    #[test]
    fn a_status_outside_the_list_is_told_with_what_was_wanted() {
        assert_eq!(expect(json!({})).check_status(204), Ok(()));
        assert_eq!(expect(json!({})).check_status(302), Err("status is 302, want 200 to 299".into()));
        assert_eq!(expect(json!({"status": 302})).check_status(302), Ok(()));
        assert_eq!(
            expect(json!({"status": [200, 503]})).check_status(204),
            Err("status is 204, want 200 or 503".into())
        );
    }

    #[test]
    fn json_is_asserted_value_by_value() {
        let body = br#"{"status": "critical", "n": 1.0, "up": true, "none": null, "list": [1, 2], "agent": "orders"}"#;
        let told = |json: Value| expect(json!({ "json": json })).check_body(body, true);
        assert_eq!(
            told(json!({"$.status": "healthy"})),
            Err("$.status is \"critical\", want \"healthy\"".into())
        );
        for holds in [
            json!({"$.status": "!= healthy", "$.n": 1, "$.up": true, "$.none": null}),
            json!({"$.list.length()": ">= 2", "$.list[1]": "> 1.5", "$.n": "<= 1", "$.agent": "/^ord/"}),
            json!({"$.n": "== 1", "$.up": "!= false", "$.list[0]": "< 2"}),
        ] {
            assert_eq!(told(holds.clone()), Ok(()), "{holds}");
        }
        for fails in [
            json!({"$.absent": "!= x"}),
            json!({"$.n": "1"}),
            json!({"$.status": "> 0"}),
            json!({"$.none": "<= 0"}),
            json!({"$.list": "/1/"}),
            json!({"$.list.length()": "> 2"}),
            json!({"$.up": "!= true"}),
            json!({"$.agent": "/^x/"}),
        ] {
            assert!(told(fails.clone()).is_err(), "{fails} held");
        }
    }

    #[test]
    fn a_body_that_is_not_json_or_too_long_does_not_pass() {
        let asked = expect(json!({"json": {"$.a": 1}}));
        assert!(asked.check_body(b"<html>", true).expect_err("refused").contains("not JSON"));
        assert!(asked.check_body(b"{\"a\": 1}", false).expect_err("refused").contains("longer"));
        assert!(asked.check_body(b"", true).is_err());
        let text = expect(json!({"body": "ok"}));
        assert_eq!(text.check_body(b"all ok here", false), Ok(()));
        assert!(text.check_body(b"\xff\xfe", true).is_err());
        assert!(expect(json!({"body": "/^ok$/"})).check_body(b"not ok", true).is_err());
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("x-version", "7".parse().expect("a value"));
        let told = |want: &str| expect(json!({"header": {"X-Version": want}})).check_headers(&headers);
        assert_eq!(told("7"), Ok(()));
        assert_eq!(told(">= 7"), Ok(()));
        assert_eq!(told("8"), Err("header x-version is \"7\", want \"8\"".into()));
        assert!(expect(json!({"header": {"x-absent": "/./"}})).check_headers(&headers).is_err());
    }
}
