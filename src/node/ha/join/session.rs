//! What both sides hold once they have exchanged shares.
//!
//! Owns: the keys that follow from the exchange, each for one purpose and all
//! bound to every byte of both greetings; proofs, sealing and the fingerprint.
//! Must not know: whose turn it is.

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{JoinCode, Refusal, code::ALPHABET, message::PROOF};
use crate::{clock::Random, keystore::crypto, secret::Secret};

/// The sides of the exchange, as SPAKE2 names them.
const JOINING: &[u8] = b"palisade join: the node that joins";
const MEMBER: &[u8] = b"palisade join: the member";
/// What every key of this exchange is bound to first.
const CONTEXT: &[u8] = b"palisade/join/1";

/// Which side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Joining,
    Member,
}

/// A share that was drawn and waits for the other side's.
pub(super) struct Drawn(Spake2<Ed25519Group>);

impl Drawn {
    /// Draws a share, to be sent.
    pub(super) fn new(side: Side, code: &JoinCode, random: &dyn Random) -> (Self, Vec<u8>) {
        let password = Password::new(code.expose());
        let (joining, member) = (Identity::new(JOINING), Identity::new(MEMBER));
        let source = Source(random);
        let (drawn, share) = match side {
            Side::Joining => Spake2::start_a_with_rng(&password, &joining, &member, source),
            Side::Member => Spake2::start_b_with_rng(&password, &joining, &member, source),
        };
        (Self(drawn), share)
    }

    /// The session that follows from the other side's share. It is the same on
    /// both sides only if code and greetings are.
    pub(super) fn finish(
        self,
        share: &[u8],
        hello: &[u8],
        answer: &[u8],
    ) -> Result<Session, Refusal> {
        let key = self.0.finish(share).map(Zeroizing::new).map_err(|_| Refusal::Malformed)?;
        let greetings = crypto::encode(&[CONTEXT, hello, answer]);
        Ok(Session {
            of_joining: crypto::subkey(&key, "join/proof-of-joining", &[&greetings]),
            of_member: crypto::subkey(&key, "join/proof-of-member", &[&greetings]),
            receipt: crypto::subkey(&key, "join/receipt", &[&greetings]),
            sealing: crypto::subkey(&key, "join/hand-over", &[&greetings]),
            fingerprint: crypto::subkey(&key, "join/fingerprint", &[&greetings]),
            greetings,
        })
    }
}

/// The keys of one exchange.
pub(super) struct Session {
    of_joining: Secret<[u8; 32]>,
    of_member: Secret<[u8; 32]>,
    receipt: Secret<[u8; 32]>,
    sealing: Secret<[u8; 32]>,
    fingerprint: Secret<[u8; 5]>,
    greetings: Vec<u8>,
}

impl Session {
    /// What only a side that knows the code can say.
    pub(super) fn proof(&self, side: Side) -> [u8; PROOF] {
        let key = match side {
            Side::Joining => &self.of_joining,
            Side::Member => &self.of_member,
        };
        crypto::keyed_digest(key, &[&self.greetings])
    }

    /// Whether the other side has proved itself.
    pub(super) fn is_proof(&self, side: Side, proof: &[u8; PROOF]) -> bool {
        self.proof(side).ct_eq(proof).into()
    }

    /// What says that this sealed hand-over has arrived.
    pub(super) fn receipt(&self, sealed: &[u8]) -> [u8; PROOF] {
        crypto::keyed_digest(&self.receipt, &[&self.greetings, sealed])
    }

    /// Whether it is the receipt of this.
    pub(super) fn is_receipt(&self, sealed: &[u8], receipt: &[u8; PROOF]) -> bool {
        self.receipt(sealed).ct_eq(receipt).into()
    }

    /// Seals for the other side of this exchange, and for nobody else.
    pub(super) fn seal(&self, plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut sealed = Vec::new();
        crypto::seal(&mut sealed, &self.sealing, &self.greetings, plain, random);
        sealed
    }

    /// Opens what the other side has sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
        crypto::open(&self.sealing, &self.greetings, sealed)
    }

    /// What both screens show.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(*self.fingerprint.expose())
    }
}

/// Eight characters that are the same on both screens, and on no third one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 5]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in 0..8 {
            if place == 4 {
                f.write_str("-")?;
            }
            let number = usize::try_from(bits >> (35 - 5 * place) & 31).unwrap_or(0);
            fmt::Write::write_char(f, char::from(ALPHABET[number]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Our random bytes, as the key exchange asks for them.
struct Source<'a>(&'a dyn Random);

impl RngCore for Source<'_> {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Source<'_> {}
