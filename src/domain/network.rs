//! Addresses of a network, as people write them: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// An IPv4 address that is written as an IPv6 one is that IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs) = (self.first, address.to_canonical());
        ours.is_ipv4() == theirs.is_ipv4() && masked(theirs, self.prefix) == bits(ours)
    }
}

/// From the left, in 128 bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, prefix: u8) -> u128 {
    // A shift by all 128 bits is none that Rust knows.
    bits(address) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(60).collect::<String>().escape_debug().to_string();
        let wrong = || format!("`{}` is no network: write it like 10.0.0.0/8 or 2001:db8::/32", shown());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix > longest {
            return Err(wrong());
        }
        if first != first.to_canonical() {
            return Err(format!("`{}` is an IPv4 address in disguise: write it as one", shown()));
        }
        // Whoever wrote 10.1.2.3/8 meant one address or sixteen million.
        if masked(first, prefix) != bits(first) {
            return Err(format!("`{}` has bits of a host: clear them, or write /{longest}", shown()));
        }
        Ok(Self { first, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.first, self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn a_network_holds_its_own_and_no_other() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("192.168.0.0/31", "::ffff:192.168.0.1", "::ffff:192.168.0.2"),
        ] {
            assert!(network(text).contains(inside.parse().expect("an address")), "{text} {inside}");
            assert!(!network(text).contains(outside.parse().expect("an address")), "{text} {outside}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::1/129",
            "::ffff:1.2.3.4/120",
            "any",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_refused_or_reads_back(text in "[0-9a-f:./]{0,24}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
                prop_assert!(network.contains(network.first));
            }
        }

        #[test]
        fn a_v4_network_holds_what_shares_its_prefix(address: u32, other: u32, prefix in 0_u8..=32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let text = format!("{}/{prefix}", std::net::Ipv4Addr::from_bits(address & mask));
            let held = network(&text).contains(std::net::Ipv4Addr::from_bits(other).into());
            prop_assert_eq!(held, address & mask == other & mask);
        }
    }
}
