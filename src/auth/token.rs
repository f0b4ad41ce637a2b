//! What is shown to prove oneself: `agc_<id>_<secret><checksum>` is a key, `ags_…` a session. 12 hexadecimal digits,
//! 43 random ones of base 62 (256 bits), and 6 that hold the CRC-32 of all before them but the prefix, as GitHub does.
use crate::domain::{Fault, FaultKind};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID: usize = 12;
/// 62^43 is the first power above 2^256.
const SECRET: usize = 43;
const CHECK: usize = 6;
/// The bytes that base 62 goes into evenly: those above would make some digits likelier.
const FAIR: u8 = 248;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Key,
    Session,
}

/// What can be told of a token without knowing any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub kind: TokenKind,
    pub id: &'a str,
}

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Form,
    /// Of the right form, but cut, mistyped or made up.
    Checksum,
}

pub struct Minted {
    pub id: String,
    pub token: SecretString,
    pub hash: [u8; 32],
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Key => "agc_",
            Self::Session => "ags_",
        }
    }
}

/// A new one, from the kernel's randomness.
pub fn mint(kind: TokenKind) -> Result<Minted, Fault> {
    let mut id = String::with_capacity(ID);
    for byte in random::<{ ID / 2 }>()? {
        id.push_str(&format!("{byte:02x}"));
    }
    let mut body = format!("{id}_");
    while body.len() < ID + 1 + SECRET {
        let fair = random::<64>()?.into_iter().filter(|byte| *byte < FAIR);
        let left = ID + 1 + SECRET - body.len();
        body.extend(fair.take(left).map(|byte| char::from(DIGITS[usize::from(byte % 62)])));
    }
    let check = checksum(body.as_bytes());
    body.extend(check.map(char::from));
    let token = SecretString::from(format!("{}{body}", kind.prefix()));
    let hash = hash(token.expose_secret());
    Ok(Minted { id, token, hash })
}

/// Its kind and its id. Whether anything is known by it is another question.
pub fn read(token: &str) -> Result<Named<'_>, Malformed> {
    let kinds = [TokenKind::Key, TokenKind::Session];
    let of = |kind: TokenKind| token.strip_prefix(kind.prefix()).map(|body| (kind, body));
    let (kind, body) = kinds.into_iter().find_map(of).ok_or(Malformed::Form)?;
    let hexadecimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let bytes = body.as_bytes();
    let formed = bytes.len() == ID + 1 + SECRET + CHECK
        && bytes[..ID].iter().all(hexadecimal)
        && bytes[ID] == b'_'
        && bytes[ID + 1..].iter().all(u8::is_ascii_alphanumeric);
    if !formed {
        return Err(Malformed::Form);
    }
    match bytes.split_last_chunk::<CHECK>() {
        Some((random, check)) if checksum(random) == *check => Ok(Named { kind, id: &body[..ID] }),
        _ => Err(Malformed::Checksum),
    }
}

/// SHA-256 of the whole of it. 256 random bits need no salt and no slowness.
pub fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref());
    hash
}

/// The CRC-32 of a text, in base 62.
pub fn checksum(text: &[u8]) -> [u8; CHECK] {
    let mut left = crc32(text);
    let mut digits = [DIGITS[0]; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(left % 62) as usize];
        left /= 62;
    }
    digits
}

/// As zlib has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| (crc >> 8) ^ CRC[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

/// What each byte does to a CRC-32: every request with a key needs it.
const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        Fault::new(FaultKind::Internal, "cannot make a key: the kernel gives no random bytes")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_checksum_is_that_of_github() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        // Revoked long ago, and published as an example of the form.
        assert_eq!(checksum(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), *b"0mLq17");
    }

    #[test]
    fn what_is_minted_reads_back_and_no_two_are_alike() {
        let mut seen = BTreeSet::new();
        let mut digits = BTreeSet::new();
        for _ in 0..500 {
            for kind in [TokenKind::Key, TokenKind::Session] {
                let minted = mint(kind).expect("minted");
                let token = minted.token.expose_secret();
                assert_eq!(read(token), Ok(Named { kind, id: &minted.id }), "{token}");
                assert_eq!(hash(token), minted.hash);
                digits.extend(token[17..60].bytes());
                assert!(seen.insert(token.to_owned()) && seen.insert(minted.id.clone()));
            }
        }
        assert_eq!(digits.len(), 62, "some digits never come: it has less than 256 bits");
    }

    #[test]
    fn what_is_cut_or_mistyped_is_known_for_it() {
        let minted = mint(TokenKind::Key).expect("minted");
        let token = minted.token.expose_secret();
        for end in 0..token.len() {
            assert!(read(&token[..end]).is_err(), "cut at {end}");
        }
        for at in 0..token.len() {
            let mut wrong = token.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
            let wrong = String::from_utf8(wrong).expect("text");
            assert!(read(&wrong).is_err(), "{wrong} for {token}");
        }
        for wrong in [format!("{token} "), format!(" {token}"), token.to_uppercase(), format!("{token}0")] {
            assert_eq!(read(&wrong), Err(Malformed::Form), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_read_without_a_panic(text in "(agc_|ags_)?\\PC{0,80}") {
            let _ = read(&text);
        }

        #[test]
        fn a_made_up_one_of_the_right_form_fails_by_its_checksum(id in "[0-9a-f]{12}", rest in "[0-9A-Za-z]{49}") {
            let token = format!("agc_{id}_{rest}");
            // One in 2^32 is right by chance.
            prop_assert_eq!(read(&token), Err(Malformed::Checksum));
        }
    }
}
