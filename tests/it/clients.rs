//! Clients that stall, dribble and flood: whoever asks properly is still answered, and memory stays bounded.
use crate::support::{Daemon, eventually};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// What a thousand clients may cost. Measured: 8 MiB.
const BEARABLE_KIB: u64 = 48 << 10;
const GIB: usize = 1 << 30;

fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// One header without an end; how much of it was taken until the daemon hung up.
fn flood(mut stream: UnixStream) -> usize {
    let block = vec![b'x'; 1 << 20];
    let mut sent = 0;
    if stream.write_all(b"GET /v1/status HTTP/1.1\r\nx-flood: ").is_err() {
        return 0;
    }
    while sent < GIB && stream.write_all(&block).is_ok() {
        sent += block.len();
    }
    sent
}

/// Did the daemon hang up?
fn is_cut_off(stream: &mut UnixStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            Ok(_answer) => {} // a 408 before the end
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a_thousand_clients_that_stall_dribble_or_flood_change_nothing_for_the_next_one() {
    let daemon = Daemon::start("schema = 1\n");
    daemon.ctl(["status"]).exits(3);
    let before = resident_kib(daemon.pid());
    let began = Instant::now();
    let mut clients: Vec<UnixStream> = Vec::new();
    for number in 0..1000 {
        let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
        match number % 3 {
            0 => {} // says nothing
            1 => stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: age").expect("half a head"),
            _ => stream
                .write_all(b"POST /v1/config/reload HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n{\"")
                .expect("half a body"),
        }
        clients.push(stream);
    }
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let stream = UnixStream::connect(daemon.socket()).expect("connected");
            thread::spawn(move || flood(stream))
        })
        .collect();

    let asked = Instant::now();
    daemon.ctl(["status"]).exits(3);
    assert!(asked.elapsed() < Duration::from_secs(2), "status took {:?}", asked.elapsed());
    for flood in floods {
        let sent = flood.join().expect("no panic");
        assert!(sent < 64 << 20, "{sent} bytes of one header were taken");
    }
    let peak = resident_kib(daemon.pid());
    assert!(peak < before + BEARABLE_KIB, "{before} KiB before, {peak} KiB with a thousand clients");

    // Ten seconds for a head, or for a body: then they are cut off, all of them, and not before.
    assert!(began.elapsed() > Duration::from_secs(9) || !is_cut_off(&mut clients[0]), "cut off too early");
    let all_cut = eventually(|| {
        clients.retain_mut(|stream| !is_cut_off(stream));
        clients.is_empty()
    });
    assert!(all_cut, "{} are still connected after {:?}", clients.len(), began.elapsed());
    daemon.ctl(["status"]).exits(3);
}
