//! The administrator's SSH key: only kinds that are strong enough.

use std::fmt;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::address::Fault;

/// The shortest RSA key that is accepted, in bits.
const LEAST_RSA_BITS: usize = 3_072;

/// A public key as it goes into an `authorized_keys` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    kind: String,
    body: String,
    comment: String,
    fingerprint: String,
}

impl SshKey {
    /// Reads a line in the format of OpenSSH.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let fault = |wrong: &str, instead: &str| Err((wrong.to_owned(), instead.to_owned()));
        let example = "write the line of ~/.ssh/id_ed25519.pub";
        if text.contains("PRIVATE") {
            return fault("is a private key", "keep it to yourself; write the .pub file's line");
        }
        if text.contains("BEGIN SSH2") {
            return fault("is a key in the format of RFC 4716", "convert it by ssh-keygen -i");
        }
        if text.lines().filter(|line| !line.trim().is_empty()).count() > 1 {
            return fault("has more than one line", "write one key");
        }
        let mut words = text.split_whitespace();
        let (Some(kind), Some(body)) = (words.next(), words.next()) else {
            return fault("is no SSH public key", example);
        };
        let comment = words.collect::<Vec<_>>().join(" ");
        if kind.contains("-cert-") {
            return fault("is a certificate, not a key", example);
        }
        if kind.contains('=') || kind.contains(',') || kind == "restrict" {
            return fault("has options before the key", "write the key alone");
        }
        if kind == "ssh-dss" {
            return fault("is a DSA key, which is too weak", "make one by ssh-keygen -t ed25519");
        }
        let Some(blob) = BASE64.decode(body.as_bytes()).ok().filter(|blob| !blob.is_empty()) else {
            return fault("is cut off or damaged", example);
        };
        let mut fields = Fields(&blob);
        match fields.next() {
            None => return fault("is cut off or damaged", example),
            Some(inside) if inside != kind.as_bytes() => {
                return fault("is not the kind of key that it says it is", example);
            }
            Some(_) => {}
        }
        let strength = match kind {
            "ssh-ed25519" => fields.next().filter(|key| key.len() == 32).map(|_| None),
            "sk-ssh-ed25519@openssh.com" => {
                let key = fields.next().filter(|key| key.len() == 32);
                key.and(fields.next()).filter(|app| !app.is_empty()).map(|_| None)
            }
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
                fields.point(&kind["ecdsa-sha2-".len()..]).map(|()| None)
            }
            "sk-ecdsa-sha2-nistp256@openssh.com" => {
                let key = fields.point("nistp256");
                key.and(fields.next()).filter(|app| !app.is_empty()).map(|_| None)
            }
            "ssh-rsa" => {
                let exponent = fields.next().map(bits).filter(|bits| *bits > 1);
                exponent.and(fields.next()).map(|modulus| Some(bits(modulus)))
            }
            _ => return fault("is no kind of key that is known here", "use Ed25519, ECDSA or RSA"),
        };
        match strength {
            Some(Some(bits)) if bits < LEAST_RSA_BITS => {
                let wrong = format!("is an RSA key of {bits} bits, which is too weak");
                return fault(&wrong, "use Ed25519, or RSA of 3072");
            }
            Some(_) if fields.0.is_empty() => {}
            _ => return fault("is cut off or damaged", example),
        }
        let digest = BASE64.encode(&Sha256::digest(&blob));
        Ok(Self {
            kind: kind.to_owned(),
            body: body.to_owned(),
            comment: comment.chars().filter(|c| !c.is_control()).collect(),
            fingerprint: format!("SHA256:{}", digest.trim_end_matches('=')),
        })
    }

    /// The fingerprint as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.body)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

/// The fields of a key: each with its length before it.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// The name of a curve and an uncompressed point on it.
    fn point(&mut self, curve: &str) -> Option<()> {
        let size = match curve {
            "nistp256" => 32,
            "nistp384" => 48,
            _ => 66,
        };
        let named = self.next()? == curve.as_bytes();
        let point = self.next()?;
        (named && point.len() == 2 * size + 1 && point[0] == 4).then_some(())
    }
}

/// The bits of a number, without the zeros that it begins with.
fn bits(number: &[u8]) -> usize {
    let Some(first) = number.iter().position(|byte| *byte != 0) else { return 0 };
    let leading = number[first].leading_zeros() as usize;
    (number.len() - first) * 8 - leading
}
