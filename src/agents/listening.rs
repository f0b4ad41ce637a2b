//! Which sockets listen on a port. Asks the kernel by netlink (`sock_diag(7)`), which answers for one port within
//! microseconds; /proc/net/tcp, which walks every connection of the machine, is the way where that is closed.
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use std::{fs, io, os::fd::OwnedFd};

/// The inodes of the sockets that listen on this port, on any local address, ascending. Empty when nobody does.
pub fn inodes(port: u16) -> io::Result<Vec<u64>> {
    let mut found = by_netlink(port).or_else(|_| by_procfs(port))?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// TCP_LISTEN in include/net/tcp_states.h.
const LISTEN: u8 = 10;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const IPPROTO_TCP: u8 = 6;
/// NLM_F_REQUEST with NLM_F_DUMP.
const DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Of `struct nlmsghdr` and, behind it, of `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// The same, as the header says it.
const LENGTH: u32 = 72;
const SPORT: usize = HEADER + 4;
const INODE: usize = HEADER + 68;
/// What the kernel fills at most before it wants to be read again.
const PAGE: usize = 8 << 10;

fn by_netlink(port: u16) -> io::Result<Vec<u64>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    let mut found = Vec::new();
    // A listener on [::] answers for IPv4 as well.
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        send(&socket, &request(family, port), SendFlags::empty())?;
        while !page(&socket, port, &mut found)? {}
    }
    Ok(found)
}

fn request(family: AddressFamily, port: u16) -> [u8; REQUEST] {
    let mut message = [0; REQUEST];
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &LENGTH.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &DUMP.to_ne_bytes());
    // One byte, where an address has two.
    put(HEADER, &[family.as_raw().to_le_bytes()[0], IPPROTO_TCP]);
    put(HEADER + 4, &(1_u32 << LISTEN).to_ne_bytes());
    put(HEADER + 8, &port.to_be_bytes());
    // INET_DIAG_NOCOOKIE.
    put(HEADER + 48, &[0xff; 8]);
    message
}

/// Reads what the kernel has ready; it answers while it is asked, so that nothing is ever waited for. True at the
/// end of the answer.
fn page(socket: &OwnedFd, port: u16, found: &mut Vec<u64>) -> io::Result<bool> {
    let mut buffer = [0_u8; PAGE];
    let (length, whole) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
    if length == 0 || whole > length {
        return Err(io::ErrorKind::InvalidData.into());
    }
    messages(&buffer[..length], port, found).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Takes what is of this port from a row of messages. None if they are not what was asked for.
fn messages(mut rest: &[u8], port: u16, found: &mut Vec<u64>) -> Option<bool> {
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let message = rest.get(..length).filter(|message| message.len() >= HEADER)?;
        match u16::from_ne_bytes(message[4..6].try_into().ok()?) {
            NLMSG_DONE => return Some(true),
            NLMSG_ERROR => return None,
            SOCK_DIAG_BY_FAMILY => {
                let sport = u16::from_be_bytes(message.get(SPORT..SPORT + 2)?.try_into().ok()?);
                let inode = u32::from_ne_bytes(message.get(INODE..INODE + 4)?.try_into().ok()?);
                // An old kernel may not have looked at what port was asked for.
                if sport == port && message[HEADER + 1] == LISTEN {
                    found.push(inode.into());
                }
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(false)
}

fn by_procfs(port: u16) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    in_table(&fs::read_to_string("/proc/net/tcp")?, port, &mut found);
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => in_table(&text, port, &mut found),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`
fn in_table(text: &str, port: u16, found: &mut Vec<u64>) {
    for line in text.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let Some((_, local)) = fields.next().and_then(|address| address.rsplit_once(':')) else { continue };
        let listens = |state: &str| u8::from_str_radix(state, 16) == Ok(LISTEN);
        if u16::from_str_radix(local, 16) != Ok(port) || !fields.nth(1).is_some_and(listens) {
            continue;
        }
        found.extend(fields.nth(5).and_then(|inode| inode.parse::<u64>().ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    #[test]
    fn both_ways_name_the_same_socket_and_a_connection_is_none() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().expect("an address");
            let inode = std::os::unix::fs::MetadataExt::ino(
                &fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&listener)))
                    .expect("a descriptor"),
            );
            let client = std::net::TcpStream::connect(address).expect("connected");
            assert_eq!(inodes(address.port()).expect("looked"), [inode]);
            assert_eq!(by_procfs(address.port()).expect("looked"), [inode]);
            let from = client.local_addr().expect("an address").port();
            assert!(inodes(from).expect("looked").is_empty(), "a connection passed for a listener");
            drop((listener, client));
            assert!(inodes(address.port()).expect("looked").is_empty());
        }
    }

    #[test]
    fn only_listening_sockets_of_that_very_port_count() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 111 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 222 1 0 100 0 0 10 0\n\
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 333 1 0 100 0 0 10 0\n\
            broken line\n";
        let mut found = Vec::new();
        in_table(text, 8080, &mut found);
        assert_eq!(found, [111]);
    }

    #[test]
    fn a_refusal_or_a_message_that_is_cut_off_is_no_answer() {
        let mut message = vec![0_u8; HEADER + 72];
        message[..4].copy_from_slice(&88_u32.to_ne_bytes());
        message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        assert_eq!(usize::try_from(LENGTH), Ok(REQUEST));
        message[HEADER + 1] = LISTEN;
        message[SPORT..SPORT + 2].copy_from_slice(&8080_u16.to_be_bytes());
        message[INODE..INODE + 4].copy_from_slice(&77_u32.to_ne_bytes());
        let read = |bytes: &[u8], port| {
            let mut found = Vec::new();
            messages(bytes, port, &mut found).map(|end| (end, found))
        };
        assert_eq!(read(&message, 8080), Some((false, vec![77])));
        assert_eq!(read(&message, 8081), Some((false, vec![])), "another port's listener counted");
        assert_eq!(read(&message[..80], 8080), None);
        message[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        assert_eq!(read(&message, 8080), None);
        message[4..6].copy_from_slice(&NLMSG_DONE.to_ne_bytes());
        assert_eq!(read(&message, 8080), Some((true, vec![])));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = messages(&bytes, 80, &mut Vec::new());
            in_table(&String::from_utf8_lossy(&bytes), 80, &mut Vec::new());
        }
    }
}
