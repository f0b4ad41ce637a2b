//! Opening connections for probes.
use super::{Miss, words::plain};
use crate::config::OptionProblem;
use std::{error::Error, io, net::IpAddr};
use tokio::net::{TcpStream, lookup_host};

/// Connects; an address needs no resolver, so the usual look costs no thread.
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, Miss> {
    let opened = if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        TcpStream::connect((address, port)).await
    } else {
        let found = lookup_host((host, port)).await;
        let found = found
            .map_err(|error| Miss::Blind(format!("cannot find the address of {host}: {}", plain(&error))))?;
        TcpStream::connect(&*found.collect::<Vec<_>>()).await
    };
    opened.map_err(|error| {
        let told = format!("cannot connect to {host}:{port}: {}", plain(&error));
        if is_ours(&error) { Miss::Blind(told) } else { Miss::Wrong(told) }
    })
}

/// Is it this machine that could not ask, rather than the other end that did not answer?
pub fn is_ours(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{AddrNotAvailable, NetworkUnreachable, PermissionDenied};
    const NO_DESCRIPTORS: [i32; 2] = [libc::EMFILE, libc::ENFILE];
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let full = io.raw_os_error().is_some_and(|number| NO_DESCRIPTORS.contains(&number));
            if full || matches!(io.kind(), AddrNotAvailable | NetworkUnreachable | PermissionDenied) {
                return true;
            }
        }
        cause = error.source();
    }
    false
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
