//! The few cryptographic operations that the keystore is built from.
//!
//! Owns: authenticated encryption (XChaCha20-Poly1305 under a random 192-bit
//! nonce), derivation of subkeys (HKDF-SHA-512), keyed digests
//! (HMAC-SHA-256), and the unambiguous encoding of what they bind.
//! Must not know: what any key is for.

use aws_lc_rs::{digest, hkdf, hmac};
use chacha20poly1305::{
    KeyInit, Tag, XChaCha20Poly1305, XNonce,
    aead::{AeadInOut, inout::InOutBuf},
};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    clock::{Random, random_bytes},
    secret::Secret,
};

/// A key of one of the operations below.
pub(crate) type Key = Secret<[u8; 32]>;

/// Bytes that [`seal`] adds to the plain text.
pub(crate) const OVERHEAD: usize = NONCE + TAG;
const NONCE: usize = 24;
const TAG: usize = 16;

/// `N` random bytes that are overwritten when dropped.
pub(crate) fn random_secret<const N: usize>(random: &dyn Random) -> Secret<[u8; N]> {
    Secret::new(random_bytes(random))
}

/// The parts, each after its length in eight bytes, so that no two different
/// lists of parts have the same encoding.
pub(crate) fn encode(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        encoded.extend_from_slice(&(part.len() as u64).to_be_bytes());
        encoded.extend_from_slice(part);
    }
    encoded
}

/// The length of a subkey, as aws-lc-rs wants to be told.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The subkey of `master` for `purpose` in `context`, by HKDF-SHA-512. Subkeys
/// of different purposes or contexts tell nothing about each other or `master`.
pub(crate) fn subkey<const N: usize>(
    master: &[u8],
    purpose: &str,
    context: &[&[u8]],
) -> Secret<[u8; N]> {
    let info = encode(&[b"palisade/v1", purpose.as_bytes(), &encode(context)]);
    let mut key = [0; N];
    hkdf::Salt::new(hkdf::HKDF_SHA512, &[])
        .extract(master)
        .expand(&[&info], Length(N))
        .and_then(|output| output.fill(&mut key))
        .expect("HKDF-SHA-512 gives up to 16320 bytes");
    let secret = Secret::new(key);
    key.zeroize();
    secret
}

/// HMAC-SHA-256 of the parts under `key`.
pub(crate) fn keyed_digest(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), &encode(parts));
    let mut digest = [0; 32];
    digest.copy_from_slice(tag.as_ref());
    digest
}

/// SHA-256 of `bytes`: finds damage, proves nothing.
pub(crate) fn plain_digest(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

/// Seals `plain` under `key`, bound to `bound`: nonce, cipher text, tag.
/// Appends to `out`, so that a caller can put its own prefix first.
pub(crate) fn seal(out: &mut Vec<u8>, key: &Key, bound: &[u8], plain: &[u8], random: &dyn Random) {
    let nonce: [u8; NONCE] = random_bytes(random);
    // The plain text is encrypted where it lies. Reserving first means that no
    // growing vector leaves a copy of it behind.
    out.reserve_exact(plain.len() + OVERHEAD);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(&XNonce::from(nonce), bound, InOutBuf::from(&mut out[start..]))
        .expect("the plain text is shorter than 256 GiB");
    out.extend_from_slice(&tag);
}

/// Opens what [`seal`] made; `None` unless key, bound data and every bit match.
pub(crate) fn open(key: &Key, bound: &[u8], sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let (cipher_text, tag) = rest.split_last_chunk::<TAG>()?;
    let mut plain = Zeroizing::new(vec![0; cipher_text.len()]);
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            bound,
            InOutBuf::new(cipher_text, &mut plain).ok()?,
            &Tag::from(*tag),
        )
        .ok()?;
    Some(Secret::new(std::mem::take(&mut *plain)))
}

/// [`open`] for a value of known length, e.g. a wrapped key.
pub(crate) fn open_array<const N: usize>(
    key: &Key,
    bound: &[u8],
    sealed: &[u8],
) -> Option<Secret<[u8; N]>> {
    let plain = open(key, bound, sealed)?;
    <[u8; N]>::try_from(plain.expose().as_slice()).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::clock::SystemRandom;

    /// Gives the same bytes again and again: for known answers only.
    #[derive(Debug)]
    struct Fixed(Vec<u8>);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0[..bytes.len()]);
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).expect("hex")
    }

    #[test]
    fn sealing_gives_the_published_answer_of_xchacha20_poly1305() {
        // draft-irtf-cfrg-xchacha-03, appendix A.3.1
        let key = Secret::new(std::array::from_fn(|i| 0x80 + u8::try_from(i).expect("small")));
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let bound = hex("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut sealed = Vec::new();
        seal(&mut sealed, &key, &bound, plain, &Fixed(nonce.clone()));
        let wanted = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        assert_eq!(sealed, [nonce, hex(wanted)].concat());
        assert_eq!(open(&key, &bound, &sealed).expect("opens").expose(), plain);
    }

    #[test]
    fn a_subkey_is_what_another_implementation_of_hkdf_derives() {
        let ours = subkey::<32>(b"master", "purpose", &[b"a", b"bc"]);
        let info = encode(&[b"palisade/v1", b"purpose", &encode(&[b"a", b"bc"])]);
        let mut theirs = [0; 32];
        ::hkdf::Hkdf::<sha2::Sha512>::new(None, b"master")
            .expand(&info, &mut theirs)
            .expect("short");
        assert_eq!(ours.expose(), &theirs);
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(encode(&[b"ab", b"c"]), encode(&[b"a", b"bc"]));
        assert_ne!(encode(&[b"a", b""]), encode(&[b"", b"a"]));
        assert_ne!(encode(&[b"a"]), encode(&[b"a", b""]));
    }

    #[test]
    fn a_sealed_value_with_any_bit_flipped_or_cut_does_not_open() {
        let key = random_secret(&SystemRandom);
        let mut sealed = Vec::new();
        seal(&mut sealed, &key, b"bound", b"plain", &SystemRandom);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, b"bound", &flipped).is_none(), "bit {bit} was not noticed");
        }
        for length in 0..sealed.len() {
            assert!(open(&key, b"bound", &sealed[..length]).is_none());
        }
        assert!(open(&key, b"Bound", &sealed).is_none());
        assert!(open(&random_secret(&SystemRandom), b"bound", &sealed).is_none());
    }
}
