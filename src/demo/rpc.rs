//! JSON-RPC 2.0 as the agent answers it: one request in, at most one reply out.
use serde_json::{Value, json};
use std::time::Duration;

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// Answer with this.
    Reply(Value),
    /// Answer with this after a while.
    Later(Duration, Value),
    /// A notification: no answer, whatever it says.
    Nothing,
    /// End as a crashed program does.
    Crash,
}

/// Judges one line. `me` is what `whoami` and `ping` tell; `None` when the agent says that it is not well.
pub(super) fn answer(line: &[u8], me: Option<&Value>) -> Asked {
    let Ok(request) = serde_json::from_slice::<Value>(line) else {
        return Asked::Reply(error(&Value::Null, -32700, "parse error"));
    };
    let method = request.get("method").and_then(Value::as_str);
    let (Some(method), Some("2.0")) = (method, request.get("jsonrpc").and_then(Value::as_str)) else {
        return Asked::Reply(error(request.get("id").unwrap_or(&Value::Null), -32600, "invalid request"));
    };
    let Some(id) = request.get("id") else { return Asked::Nothing };
    let params = request.get("params").unwrap_or(&Value::Null);
    match method {
        "ping" | "whoami" => Asked::Reply(
            me.map_or_else(|| error(id, -32000, "the agent is not well"), |me| result(id, me.clone())),
        ),
        "echo" => Asked::Reply(result(id, params.clone())),
        "crash" => Asked::Crash,
        "sleep" => match params.get("ms").and_then(Value::as_u64) {
            Some(ms) => Asked::Later(Duration::from_millis(ms), result(id, json!({ "slept_ms": ms }))),
            None => Asked::Reply(error(id, -32602, "sleep needs {\"ms\": NUMBER}")),
        },
        _ => Asked::Reply(error(id, -32601, "method not found")),
    }
}

fn result(id: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn error(id: &Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(line: &str) -> Option<i64> {
        match answer(line.as_bytes(), Some(&json!({ "agent": "a" }))) {
            Asked::Reply(reply) => reply.pointer("/error/code").and_then(Value::as_i64),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_a_request_gets_the_code_the_standard_gives_it() {
        for (line, want) in [
            ("not json", -32700),
            ("{\"jsonrpc\":\"2.0\",", -32700),
            ("[]", -32600),
            ("{\"method\":\"ping\",\"id\":1}", -32600),
            ("{\"jsonrpc\":\"2.0\",\"method\":7,\"id\":1}", -32600),
            ("{\"jsonrpc\":\"2.0\",\"method\":\"fly\",\"id\":1}", -32601),
            ("{\"jsonrpc\":\"2.0\",\"method\":\"sleep\",\"id\":1}", -32602),
        ] {
            assert_eq!(code(line), Some(want), "{line}");
        }
    }

    #[test]
    fn a_reply_carries_the_id_and_a_notification_gets_none() {
        let ask = |line: &str| answer(line.as_bytes(), Some(&json!({ "agent": "a" })));
        assert_eq!(
            ask("{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[1],\"id\":\"x\"}"),
            Asked::Reply(json!({ "jsonrpc": "2.0", "id": "x", "result": [1] }))
        );
        assert_eq!(ask("{\"jsonrpc\":\"2.0\",\"method\":\"crash\"}"), Asked::Nothing);
        assert_eq!(ask("{\"jsonrpc\":\"2.0\",\"method\":\"crash\",\"id\":1}"), Asked::Crash);
    }

    #[test]
    fn an_agent_that_is_not_well_says_so_when_asked() {
        let Asked::Reply(reply) = answer(b"{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":1}", None) else {
            panic!("no reply")
        };
        assert_eq!(reply.pointer("/error/code"), Some(&json!(-32000)));
    }

    proptest! {
        #[test]
        fn no_line_brings_it_down(line: Vec<u8>) {
            answer(&line, None);
        }
    }
}
