//! Opening connections for probes.
use super::words::plain;
use crate::config::OptionProblem;
use std::net::IpAddr;
use tokio::net::TcpStream;

/// Connects; an address needs no resolver, so the usual look costs no thread.
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let opened = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => TcpStream::connect((address, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    };
    opened.map_err(|error| format!("cannot connect to {host}:{port}: {}", plain(&error)))
}

pub fn check_host(host: Option<&str>) -> Option<OptionProblem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
    let host = host.filter(|host| host.is_empty() || host.len() > 253 || !host.chars().all(legal))?;
    Some(OptionProblem {
        pointer: "/host".into(),
        message: format!("`{}` is neither a host name nor an address", host.escape_debug()),
        hint: None,
    })
}

pub fn check_port(port: Option<u16>) -> Option<OptionProblem> {
    (port == Some(0)).then(|| OptionProblem {
        pointer: "/port".into(),
        message: "port 0 cannot be asked".into(),
        hint: Some("leave it out to ask the instance's own port".into()),
    })
}
