//! Pure: texts that speak of a live port, told to speak of another.
use serde_json::Value;
use std::collections::BTreeMap;

/// From a live port to the one in its place.
pub type Moves = BTreeMap<u16, u16>;

/// How this machine is called by those on it.
const HERE: &[&str] = &["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::]", "::1", "*"];

/// Of a port in a text: where it stands and which it is.
struct Spoken {
    at: usize,
    end: usize,
    port: u16,
}

/// Every live port of this machine that the text speaks of, in the place of which there is another. `named` is what
/// stands before the text: the option on a command line, the name of a variable.
pub fn moved(text: &str, named: &str, moves: &Moves) -> String {
    let mut fresh = String::with_capacity(text.len());
    let mut from = 0;
    for Spoken { at, end, port } in spoken(text, named) {
        if let Some(to) = moves.get(&port) {
            fresh.push_str(&text[from..at]);
            fresh.push_str(&to.to_string());
            from = end;
        }
    }
    fresh.push_str(&text[from..]);
    fresh
}

/// Which ports of this machine a text speaks of.
pub fn named_in(text: &str, named: &str) -> Vec<u16> {
    spoken(text, named).into_iter().map(|spoken| spoken.port).collect()
}

/// The words of a command line, each with what stands before it.
pub fn words(command: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let before = std::iter::once("").chain(command.iter().map(String::as_str));
    command.iter().map(String::as_str).zip(before)
}

/// In every text of a value, and in every number that is called a port.
pub fn moved_in(value: &mut Value, named: &str, moves: &Moves) {
    match value {
        Value::String(text) => *text = moved(text, named, moves),
        Value::Number(number) if is_port(named) => {
            let to = number.as_u64().and_then(|port| moves.get(&u16::try_from(port).ok()?));
            if let Some(to) = to {
                *value = (*to).into();
            }
        }
        Value::Array(items) => {
            let mut before = String::new();
            for item in items {
                let was = item.as_str().unwrap_or_default().to_owned();
                moved_in(item, &before, moves);
                before = was;
            }
        }
        Value::Object(table) => {
            for (name, value) in table {
                moved_in(value, name, moves);
            }
        }
        _ => {}
    }
}

fn spoken(text: &str, named: &str) -> Vec<Spoken> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let alone = bytes.get(end).is_none_or(|next| !whole(*next));
        if let Ok(port) = text[at..end].parse::<u16>()
            && port > 0
            && alone
            && is_of_here(&text[..at], end == bytes.len(), named)
        {
            found.push(Spoken { at, end, port });
        }
        at = end;
    }
    found
}

/// Is the number behind this a port of this machine?
fn is_of_here(before: &str, last: bool, named: &str) -> bool {
    if before.is_empty() {
        return last && is_port(named);
    }
    if let Some(host) = before.strip_suffix(':') {
        let host = host.rsplit(['/', '@', '=', ',', ' ', '"', '\'']).next().unwrap_or_default();
        return host.is_empty() || HERE.contains(&host.to_ascii_lowercase().as_str());
    }
    before
        .strip_suffix('=')
        .is_some_and(|name| is_port(name.rsplit([' ', '?', '&', ';', ',']).next().unwrap_or_default()))
}

fn is_port(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "-p"
        || name.split(['-', '_', '.', '/']).any(|word| word == "port" || word == "bind" || word == "listen")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn moves() -> Moves {
        Moves::from([(8000, 40_001), (8001, 40_002)])
    }

    #[test]
    fn a_live_port_of_this_machine_is_moved_and_nothing_else() {
        for (text, named, want) in [
            ("http://127.0.0.1:8000/health", "", "http://127.0.0.1:40001/health"),
            ("http://LOCALHOST:8000", "", "http://LOCALHOST:40001"),
            ("http://[::1]:8000?x=8000", "", "http://[::1]:40001?x=8000"),
            ("0.0.0.0:8000,127.0.0.1:8001", "", "0.0.0.0:40001,127.0.0.1:40002"),
            (":8000", "", ":40001"),
            ("8000", "--port", "40001"),
            ("8000", "-p", "40001"),
            ("8000", "ORDERS_PORT", "40001"),
            ("--port=8000", "", "--port=40001"),
            ("--orders-port=8000", "", "--orders-port=40001"),
            // Not ports, not of this machine, or not one of ours.
            ("8000", "--max-tokens", "8000"),
            ("--max-tokens=8000", "", "--max-tokens=8000"),
            ("8000", "SUPPORTED", "8000"),
            ("http://orders.example:8000/", "", "http://orders.example:8000/"),
            ("http://10.0.0.1:8000/", "", "http://10.0.0.1:8000/"),
            ("http://127.0.0.1:80001/", "", "http://127.0.0.1:80001/"),
            ("http://127.0.0.1:18000/", "", "http://127.0.0.1:18000/"),
            ("http://127.0.0.1:9000/", "", "http://127.0.0.1:9000/"),
            ("127.0.0.1:8000.5", "", "127.0.0.1:8000.5"),
            ("{port}", "--port", "{port}"),
            ("", "--port", ""),
        ] {
            assert_eq!(moved(text, named, &moves()), want, "{named} {text}");
        }
    }

    #[test]
    fn values_are_moved_through_and_through() {
        let mut options =
            json!({ "command": ["x", "--port", "8000"], "port": 8001, "expect": { "status": 8000 } });
        moved_in(&mut options, "", &moves());
        let want =
            json!({ "command": ["x", "--port", "40001"], "port": 40_002, "expect": { "status": 8000 } });
        assert_eq!(options, want);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_without_a_port_of_ours_nothing_changes(text in "\\PC*", named in "\\PC*") {
            prop_assert_eq!(moved(&text, &named, &Moves::new()), text.clone());
            moved(&text, &named, &moves());
        }
    }
}
