//! `http` against servers that answer well, badly, endlessly, slowly and not at all.
use super::*;
use crate::{
    domain::Period,
    health::{
        look::{
            look,
            tests::{ask, settings},
        },
        probe::compile,
    },
    resilience::Clock,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Serves every connection with `serve` after it has read the head of the request, which it hands on.
async fn server<F, Fut>(serve: F) -> (u16, JoinHandle<()>)
where
    F: Fn(TcpStream, String) -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut chunk = [0; 1024];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut chunk).await {
                        Ok(count) if count > 0 => head.extend_from_slice(&chunk[..count]),
                        _ => return,
                    }
                }
                serve(stream, String::from_utf8_lossy(&head).into_owned()).await;
            });
        }
    });
    (port, task)
}

/// A server with one answer for everybody.
async fn answering(status: &'static str, headers: &'static str, body: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut chunk = [0; 4096];
            let _ = stream.read(&mut chunk).await;
            let length = body.len();
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    port
}

async fn quickly(options: Value, port: u16, deadline_ms: u64) -> crate::domain::ProbeResult {
    let mut asked = settings("http", options);
    asked.deadline = Period::millis(deadline_ms);
    look(&asked, &Target::local("orders/0", Some(port)), &Clock::system()).await
}

#[tokio::test]
async fn a_200_that_says_critical_does_not_pass() {
    let port = answering("200 OK", "", r#"{"status": "critical", "agent": "orders"}"#).await;
    let target = Target::local("orders/0", Some(port));
    assert!(ask("http", json!({"path": "/health"}), &target).await.ok, "unasserted, it is only a 200");
    let wanted = json!({"path": "/health", "expect": {"json": {"$.status": "healthy"}}});
    let seen = ask("http", wanted, &target).await;
    assert_eq!((seen.ok, seen.detail.as_str()), (false, r#"$.status is "critical", want "healthy""#));
    let named = json!({"path": "/health", "expect": {"json": {"$.agent": "billing"}}});
    assert!(!ask("http", named, &target).await.ok, "another agent's body passed");
    let both =
        json!({"path": "/health", "expect": {"json": {"$.agent": "orders", "$.status": "!= healthy"}}});
    assert!(ask("http", both, &target).await.ok);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let port = answering("302 Found", "location: /login\r\n", "").await;
    let seen = quickly(json!({"path": "/"}), port, 5000).await;
    assert_eq!((seen.ok, seen.detail.as_str()), (false, "status is 302, want 200 to 299"));
    let wanted = json!({"path": "/", "expect": {"status": 302, "header": {"location": "/login"}}});
    let seen = quickly(wanted, port, 5000).await;
    assert!(seen.ok, "{}", seen.detail);
}

#[tokio::test]
async fn hanging_dripping_and_silent_servers_are_cut_at_the_deadline() {
    let (silent, _a) = server(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(stream);
    })
    .await;
    let (dripping_head, _b) = server(|mut stream, _| async move {
        while stream.write_all(b"H").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let (dripping_body, _c) = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for (port, about) in
        [(silent, "silent"), (dripping_body, "dripping body"), (dripping_head, "dripping head")]
    {
        let began = Instant::now();
        let seen = quickly(json!({"path": "/"}), port, 400).await;
        assert!(!seen.ok, "{about} passed: {}", seen.detail);
        assert!(began.elapsed() < Duration::from_secs(5), "{about} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_head_or_a_body_without_end_fills_no_memory() {
    let (endless_head, _a) = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        let junk = vec![b'x'; 1 << 16];
        while stream.write_all(&junk).await.is_ok() {}
    })
    .await;
    let seen = quickly(json!({"path": "/"}), endless_head, 10_000).await;
    assert!(!seen.ok && !seen.detail.contains("no answer"), "{}", seen.detail);
    let (endless_body, _b) = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
        let junk = vec![b'x'; 1 << 16];
        while stream.write_all(&junk).await.is_ok() {}
    })
    .await;
    let seen = quickly(json!({"path": "/", "expect": {"json": {"$.a": 1}}}), endless_body, 10_000).await;
    assert!(!seen.ok && seen.detail.contains("longer than 65536 bytes"), "{}", seen.detail);
    let seen = quickly(json!({"path": "/"}), endless_body, 10_000).await;
    assert!(seen.ok, "a long body is nothing wrong where nobody asserts on it: {}", seen.detail);
}

#[tokio::test]
async fn closing_at_once_or_half_way_or_talking_nonsense_fails() {
    let (closing, _a) = server(|stream, _| async move { drop(stream) }).await;
    let (half_way, _b) = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    })
    .await;
    let (nonsense, _c) = server(|mut stream, _| async move {
        let _ = stream.write_all(b"220 mail ready\r\n\r\n").await;
    })
    .await;
    for (port, about) in [(closing, "closing"), (half_way, "half way"), (nonsense, "nonsense")] {
        let seen = quickly(json!({"path": "/"}), port, 5000).await;
        assert!(!seen.ok && !seen.detail.contains("no answer"), "{about}: {}", seen.detail);
    }
}

#[tokio::test]
async fn wrong_json_is_told_apart_from_a_wrong_value() {
    let port = answering("200 OK", "", "<html>up</html>").await;
    let seen = quickly(json!({"path": "/", "expect": {"json": {"$.a": 1}}}), port, 5000).await;
    assert!(!seen.ok && seen.detail.contains("not JSON"), "{}", seen.detail);
}

#[tokio::test]
async fn it_asks_what_it_was_told_to_ask() {
    let (port, _task) = server(|mut stream, head| async move {
        let body = head.replace("\r\n", "|");
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let _ = stream.write_all(text.as_bytes()).await;
    })
    .await;
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key");
    std::fs::write(&key, "Bearer hunter2\n").expect("a file");
    let options = json!({
        "path": "/health?deep=1", "method": "POST",
        "headers": {"X-Tenant": "a", "Authorization": format!("file:{}", key.display())},
        "expect": {"body": "/^POST \\/health\\?deep=1 HTTP\\/1\\.1\\|.*authorization: Bearer hunter2\\|/"},
    });
    let target = Target::local("orders/0", Some(port));
    let seen = ask("http", options, &target).await;
    assert!(seen.ok, "{}", seen.detail);
    let host = json!({"path": "/", "expect": {"body": format!("host: 127.0.0.1:{port}|")}});
    assert!(ask("http", host, &target).await.ok);
    let mut external = Target::local("maps/0", None);
    external.base = Some(format!("http://127.0.0.1:{port}/agents/maps/").into());
    let below = json!({"path": "/health", "expect": {"body": "GET /agents/maps/health HTTP"}});
    let seen = ask("http", below, &external).await;
    assert!(seen.ok, "{}", seen.detail);
}

#[tokio::test]
async fn a_refused_port_and_a_missing_secret_say_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let seen = quickly(json!({"path": "/"}), port, 5000).await;
    assert_eq!(seen.detail, format!("cannot connect to 127.0.0.1:{port}: connection refused"));
    let secret = json!({"path": "/", "headers": {"x-key": "env:AGENTD_NO_SUCH_VARIABLE_HERE"}});
    let seen = quickly(secret, port, 5000).await;
    assert!(!seen.ok && seen.detail.contains("cannot resolve"), "{}", seen.detail);
    let secure = json!({"url": format!("https://127.0.0.1:{port}/")});
    let seen = quickly(secure, port, 5000).await;
    assert!(!seen.ok && seen.detail.contains("refused"), "{}", seen.detail);
}

#[test]
fn all_problems_of_the_options_are_found_at_once() {
    let options = json!({
        "path": "health", "method": "BREW", "headers": {"a b": "x", "authorization": "Bearer hunter2"},
        "expect": {"status": 9}, "port": 0,
    });
    let problems = compile("http", &options).err().expect("problems");
    let mut at: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
    at.sort_unstable();
    assert_eq!(at, ["/expect/status", "/headers/a b", "/headers/authorization", "/method", "/path", "/port"]);
    assert!(!format!("{problems:?}").contains("hunter2"), "a secret was repeated");
    for bad in [
        json!({}),
        json!({"url": "http://a/", "path": "/"}),
        json!({"url": "ftp://a/"}),
        json!({"url": "http://u:p@a/"}),
        json!({"url": "http://a/", "port": 3}),
    ] {
        assert!(compile("http", &bad).is_err(), "{bad} was accepted");
    }
}

#[test]
fn a_status_says_whose_fault_it_is_and_when_to_come_again() {
    let answer = |status: u16, after: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, HeaderValue::from_str(after).expect("a value"));
        }
        let answer = Answer { status, headers, body: Vec::new(), whole: true };
        match answer.blames("told".into()) {
            Miss::Answered { failing, .. } => failing,
            other => panic!("{other:?}"),
        }
    };
    let transient = |after| Failing::Transient { after };
    for mistake in [400, 401, 404, 410, 422, 451] {
        assert_eq!(answer(mistake, Some("7")), Failing::CallersMistake, "{mistake}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(answer(status, None), transient(None), "{status}");
        assert_eq!(answer(status, Some("7")), transient(Some(Duration::from_secs(7))), "{status}");
    }
    assert_eq!(answer(501, None), Failing::Lasting);
    assert_eq!(answer(302, None), transient(None));
    // A date, one that is past, and what is none at all.
    let in_an_hour = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let date = in_an_hour.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let Failing::Transient { after: Some(after) } = answer(503, Some(&date)) else {
        panic!("{date} is a date")
    };
    assert!(after > Duration::from_secs(3590) && after <= Duration::from_secs(3600), "{after:?}");
    assert_eq!(answer(503, Some("Wed, 21 Oct 2015 07:28:00 GMT")), transient(Some(Duration::ZERO)));
    for none in ["soon", "-1", "1.5", ""] {
        assert_eq!(answer(503, Some(none)), transient(None), "{none:?}");
    }
    assert_eq!(answer(503, Some("18446744073709551615")), transient(Some(Duration::from_secs(u64::MAX))));
}
