//! Encryption of files and seals of manifests. A file is AES-256-GCM in pieces: each has its number and whether it is the
//! last in its nonce, so that none can be left out, moved or cut off; its key is its own, by its name and its backup.
use crate::domain::{Digest, EncryptedBy, Encryption};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretSlice};
use std::{
    io::{self, Read, Write},
    num::NonZeroU32,
};
use subtle::ConstantTimeEq;

/// What a file that is encrypted begins with.
const MAGIC: &[u8; 16] = b"agentd sealed 1\n";
/// Plain bytes in one piece.
const PIECE: usize = 64 << 10;
const TAG: usize = 16;
/// As OWASP has it for PBKDF2 with SHA-256.
const ITERATIONS: u32 = 600_000;
/// A manifest is read before it is trusted: what it asks for is bounded.
const MOST_ITERATIONS: u32 = 10_000_000;
/// A file of a key holds at least this.
const SHORTEST_KEY: usize = 32;

/// What backups are locked with; it has no `Debug`.
#[derive(Clone)]
pub struct Key {
    by: EncryptedBy,
    secret: SecretSlice<u8>,
}

/// A key as one backup uses it.
pub struct Opened {
    root: hkdf::Prk,
    pub terms: Encryption,
}

/// Why an encrypted backup cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongKey {
    /// It was made with the other kind.
    Kind(EncryptedBy),
    Secret(EncryptedBy),
    /// What it says of its key makes no sense.
    Terms,
}

impl Key {
    pub fn passphrase(secret: &str) -> Self {
        Self { by: EncryptedBy::Passphrase, secret: secret.as_bytes().to_vec().into() }
    }

    /// None if it is too short to be one.
    pub fn file(bytes: Vec<u8>) -> Option<Self> {
        let enough = bytes.len() >= SHORTEST_KEY;
        let secret: SecretSlice<u8> = bytes.into();
        enough.then_some(Self { by: EncryptedBy::KeyFile, secret })
    }

    /// For a new backup. Takes as long as a passphrase has to be hard to guess.
    pub fn fresh(&self) -> io::Result<Opened> {
        let iterations = match self.by {
            EncryptedBy::Passphrase => ITERATIONS,
            EncryptedBy::KeyFile => 0,
        };
        let salt = random()?;
        let root = self.root(&salt, iterations);
        let terms = Encryption { by: self.by, salt, iterations, check: derived(&root, &[b"check"]) };
        Ok(Opened { root, terms })
    }

    /// For one that is there.
    pub fn open(&self, terms: &Encryption) -> Result<Opened, WrongKey> {
        if terms.by != self.by {
            return Err(WrongKey::Kind(terms.by));
        }
        let sane = match terms.by {
            EncryptedBy::Passphrase => (1..=MOST_ITERATIONS).contains(&terms.iterations),
            EncryptedBy::KeyFile => terms.iterations == 0,
        };
        if !sane {
            return Err(WrongKey::Terms);
        }
        let root = self.root(&terms.salt, terms.iterations);
        let same = derived(&root, &[b"check"]).0.ct_eq(&terms.check.0);
        if bool::from(same) {
            Ok(Opened { root, terms: terms.clone() })
        } else {
            Err(WrongKey::Secret(terms.by))
        }
    }

    fn root(&self, salt: &Digest, iterations: u32) -> hkdf::Prk {
        let from = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt.0);
        match NonZeroU32::new(iterations) {
            None => from.extract(self.secret.expose_secret()),
            Some(iterations) => {
                let mut stretched = [0; 32];
                pbkdf2::derive(
                    pbkdf2::PBKDF2_HMAC_SHA256,
                    iterations,
                    &salt.0,
                    self.secret.expose_secret(),
                    &mut stretched,
                );
                from.extract(&stretched)
            }
        }
    }
}

impl Opened {
    /// Over a manifest.
    pub fn mac(&self, text: &[u8]) -> Digest {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derived(&self.root, &[b"manifest"]).0);
        let mut digest = Digest::default();
        digest.0.copy_from_slice(hmac::sign(&key, text).as_ref());
        digest
    }

    /// `name` is the file's, within the backup `of`.
    pub fn seal(&self, of: &str, name: &str, mut from: impl Read, mut to: impl Write) -> io::Result<()> {
        let salt = random()?;
        let mut cipher = self.cipher(of, name, &salt)?;
        to.write_all(MAGIC)?;
        to.write_all(&salt.0)?;
        let mut ahead = piece(&mut from, PIECE)?;
        loop {
            let next = if ahead.len() < PIECE { Vec::new() } else { piece(&mut from, PIECE)? };
            let last = next.is_empty();
            let tag = cipher
                .key
                .seal_in_place_separate_tag(cipher.nonces.next(last)?, Aad::empty(), &mut ahead)
                .map_err(|_| io::Error::other("it cannot be encrypted"))?;
            to.write_all(&ahead)?;
            to.write_all(tag.as_ref())?;
            if last {
                return Ok(());
            }
            ahead = next;
        }
    }

    /// Fails with `InvalidData` on whatever is not as it was sealed; what it wrote until then is to be thrown away.
    pub fn unseal(&self, of: &str, name: &str, mut from: impl Read, mut to: impl Write) -> io::Result<()> {
        let head = piece(&mut from, MAGIC.len() + 32)?;
        let salt = head.strip_prefix(MAGIC).and_then(|salt| <[u8; 32]>::try_from(salt).ok());
        let salt = salt.ok_or_else(|| spoilt("it does not begin as an encrypted file does"))?;
        let mut cipher = self.cipher(of, name, &Digest(salt))?;
        let mut ahead = piece(&mut from, PIECE + TAG)?;
        loop {
            let next = if ahead.len() < PIECE + TAG { Vec::new() } else { piece(&mut from, PIECE + TAG)? };
            let last = next.is_empty();
            let plain = cipher
                .key
                .open_in_place(cipher.nonces.next(last)?, Aad::empty(), &mut ahead)
                .map_err(|_| spoilt("a piece of it was changed, moved or cut off"))?;
            to.write_all(plain)?;
            if last {
                return Ok(());
            }
            ahead = next;
        }
    }

    fn cipher(&self, of: &str, name: &str, salt: &Digest) -> io::Result<Cipher> {
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        let key = derived(
            &self.root,
            &[b"file", &length(of), of.as_bytes(), &length(name), name.as_bytes(), &salt.0],
        );
        let key = UnboundKey::new(&AES_256_GCM, &key.0).map_err(|_| io::Error::other("no key"))?;
        Ok(Cipher { key: LessSafeKey::new(key), nonces: Nonces(0) })
    }
}

struct Cipher {
    key: LessSafeKey,
    nonces: Nonces,
}

/// The key is one file's alone, so that its pieces are all that must differ.
struct Nonces(u64);

impl Nonces {
    fn next(&mut self, last: bool) -> io::Result<Nonce> {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&self.0.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(last);
        self.0 = self.0.checked_add(1).ok_or_else(|| io::Error::other("it is too long"))?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

struct Bytes32;

impl hkdf::KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

fn derived(root: &hkdf::Prk, info: &[&[u8]]) -> Digest {
    let mut digest = Digest::default();
    // 32 bytes are less than HKDF gives, so it never refuses.
    if let Ok(key) = root.expand(info, Bytes32) {
        let _ = key.fill(&mut digest.0);
    }
    digest
}

fn random() -> io::Result<Digest> {
    let mut salt = Digest::default();
    SystemRandom::new()
        .fill(&mut salt.0)
        .map_err(|_| io::Error::other("the kernel gives no random bytes"))?;
    Ok(salt)
}

/// As many bytes as there are, up to that.
fn piece(from: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    from.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn spoilt(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened() -> Opened {
        Key::file(vec![7; 32]).expect("a key").fresh().expect("fresh")
    }

    fn sealed(key: &Opened, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key.seal("bk-1", "a.db", plain, &mut out).expect("sealed");
        out
    }

    fn unsealed(key: &Opened, name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        key.unseal("bk-1", name, bytes, &mut out).map(|()| out)
    }

    #[test]
    fn it_opens_with_its_own_key_and_no_other() {
        let one = Key::passphrase("correct horse");
        let made = one.fresh().expect("fresh");
        let again = one.open(&made.terms).unwrap_or_else(|_| panic!("refused"));
        let bytes = sealed(&made, b"what is kept");
        assert_eq!(unsealed(&again, "a.db", &bytes).expect("opened"), b"what is kept");
        assert!(!bytes.windows(4).any(|part| part == b"kept"));
        let wrong = |key: &Key, terms: &Encryption| key.open(terms).err();
        let by = EncryptedBy::Passphrase;
        assert_eq!(wrong(&Key::passphrase("correct horsf"), &made.terms), Some(WrongKey::Secret(by)));
        let file = Key::file(vec![1; 32]).expect("a key");
        assert_eq!(wrong(&file, &made.terms), Some(WrongKey::Kind(by)));
        for iterations in [0, u32::MAX] {
            let terms = Encryption { iterations, ..made.terms.clone() };
            assert_eq!(wrong(&one, &terms), Some(WrongKey::Terms));
        }
        assert!(Key::file(vec![1; 31]).is_none());
        assert_ne!(made.mac(b"x"), opened().mac(b"x"));
    }

    #[test]
    fn pieces_cannot_be_cut_off_moved_left_out_or_taken_from_elsewhere() {
        const WHOLE: usize = PIECE + TAG;
        let key = opened();
        let plain: Vec<u8> = (0..PIECE * 3).map(|at| u8::try_from(at % 251).expect("fits")).collect();
        let bytes = sealed(&key, &plain);
        let head = MAGIC.len() + 32;
        assert_eq!(bytes.len(), head + 3 * WHOLE);
        assert_eq!(unsealed(&key, "a.db", &bytes).expect("opened"), plain);
        let (first, second) = (head..head + WHOLE, head + WHOLE..head + 2 * WHOLE);
        let mut swapped = bytes.clone();
        swapped[first.clone()].copy_from_slice(&bytes[second.clone()]);
        swapped[second.clone()].copy_from_slice(&bytes[first]);
        let without = [&bytes[..second.start], &bytes[second.end..]].concat();
        for (what, spoilt) in [
            ("cut at a piece", bytes[..head + 2 * WHOLE].to_vec()),
            ("cut in a piece", bytes[..bytes.len() - 1].to_vec()),
            ("cut to nothing", bytes[..head].to_vec()),
            ("cut in its head", bytes[..head - 1].to_vec()),
            ("one more byte", [&bytes[..], b"x"].concat()),
            ("swapped", swapped),
            ("left out", without),
        ] {
            let error = unsealed(&key, "a.db", &spoilt).expect_err(what);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
        }
        assert!(unsealed(&key, "b.db", &bytes).is_err(), "another file's passed for it");
        assert!(unsealed(&opened(), "a.db", &bytes).is_err(), "another key opened it");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_length_comes_back_and_any_flipped_bit_is_seen(
            length in prop_oneof![0..300usize, (PIECE - 2)..(PIECE + 3), Just(2 * PIECE)],
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let key = opened();
            let plain = vec![0x5a; length];
            let mut bytes = sealed(&key, &plain);
            prop_assert_eq!(unsealed(&key, "a.db", &bytes).expect("opened"), plain);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(unsealed(&key, "a.db", &bytes).is_err());
        }
    }
}
