//! What links a row to the one before it: an HMAC-SHA-256 over that one's hash and all of this row, by a key that is
//! not in the database. Who can write the database and has no key cannot make a row that verifies.
use crate::domain::Digest;
use ring::hmac;

/// What no other use of the key begins with.
const ROW: &[u8] = b"agentd audit row 1";

/// Text of a row in the order of its columns: principal, origin, action, object, outcome, reason, correlation.
pub const TEXTS: usize = 7;

/// A row as it stands, whatever that is: one that was tampered with must still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub at: i64,
    pub texts: [Vec<u8>; TEXTS],
    pub hash: Vec<u8>,
}

/// The key; it has no `Debug`.
#[derive(Clone)]
pub struct AuditKey(hmac::Key);

impl AuditKey {
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// What the hash of this row must be, given that of the row before.
    pub fn link(&self, previous: &Digest, row: &Link) -> Digest {
        self.mac(ROW, &[&previous.0, &row.encode()])
    }

    /// The parts are told apart by their lengths.
    pub fn mac(&self, purpose: &[u8], parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in std::iter::once(&purpose).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.0.copy_from_slice(context.sign().as_ref());
        digest
    }
}

impl Link {
    /// One sequence of bytes for each row, and no two rows have the same: numbers have a fixed width, every text its
    /// length before it.
    pub fn encode(&self) -> Vec<u8> {
        let texts: usize = self.texts.iter().map(|text| 8 + text.len()).sum();
        let mut bytes = Vec::with_capacity(16 + texts);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.at.to_be_bytes());
        for text in &self.texts {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text);
        }
        bytes
    }

    pub fn verifies(&self, key: &AuditKey, previous: &Digest) -> bool {
        self.has(&key.link(previous, self))
    }

    pub fn has(&self, hash: &Digest) -> bool {
        self.hash == hash.0
    }

    /// Its hash as it stands; one of another length is none that could follow from anything.
    pub fn digest(&self) -> Digest {
        self.hash.as_slice().try_into().map(Digest).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads an encoding back. That this is possible is what makes it injective.
    fn decode(bytes: &[u8]) -> Option<Link> {
        let (seq, rest) = bytes.split_first_chunk::<8>()?;
        let (at, mut rest) = rest.split_first_chunk::<8>()?;
        let mut texts: [Vec<u8>; TEXTS] = Default::default();
        for text in &mut texts {
            let (length, tail) = rest.split_first_chunk::<8>()?;
            let (body, tail) = tail.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
            (*text, rest) = (body.to_vec(), tail);
        }
        let link =
            Link { seq: u64::from_be_bytes(*seq), at: i64::from_be_bytes(*at), texts, hash: Vec::new() };
        rest.is_empty().then_some(link)
    }

    fn any_link() -> impl Strategy<Value = Link> {
        // Short texts of few letters, lengths among them: what collides, collides here.
        let text = proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'a'), any::<u8>()], 0..12);
        let texts = proptest::array::uniform7(text);
        (any::<u64>(), any::<i64>(), texts).prop_map(|(seq, at, texts)| Link {
            seq,
            at,
            texts,
            hash: Vec::new(),
        })
    }

    proptest! {
        #[test]
        fn every_row_reads_back_from_its_encoding(link in any_link()) {
            prop_assert_eq!(decode(&link.encode()), Some(link));
        }

        #[test]
        fn two_rows_never_share_an_encoding_or_a_hash(one in any_link(), other in any_link()) {
            let key = AuditKey::new(&[7; 32]);
            prop_assert_eq!(one == other, one.encode() == other.encode());
            let none = Digest::default();
            prop_assert_eq!(one == other, key.link(&none, &one) == key.link(&none, &other));
        }
    }

    #[test]
    fn what_moves_over_a_border_between_texts_changes_the_hash() {
        let key = AuditKey::new(&[7; 32]);
        let row = |principal: &str, origin: &str| {
            let mut texts: [Vec<u8>; TEXTS] = Default::default();
            (texts[0], texts[1]) = (principal.into(), origin.into());
            key.link(&Digest::default(), &Link { seq: 1, at: 0, texts, hash: Vec::new() })
        };
        assert_ne!(row("user:1", "000"), row("user:10", "00"));
        assert_eq!(row("user:1", "000"), row("user:1", "000"));
        let other = AuditKey::new(&[8; 32]);
        assert_ne!(key.mac(b"a", &[b"bc"]), key.mac(b"ab", &[b"c"]));
        assert_ne!(key.mac(b"a", &[]), other.mac(b"a", &[]));
    }
}
