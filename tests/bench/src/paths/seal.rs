//! Sealing and opening a field of a tenant, beside the bare cipher used as its
//! documentation says: a nonce from the operating system, bound data of the
//! same kind, a new vector.

use std::hint::black_box;

use anyhow::{Result, ensure};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use palisade::{
    clock::{SystemClock, SystemRandom},
    ids::TenantId,
    keystore::{Keystore, Place, SealMode, TenantKey},
};

use super::Size;
use crate::{
    measure::{Samples, own_cpu},
    process::Folder,
    table::{Goal, Row},
};

const PLACE: Place<'static> = Place { table: "app_user", column: "email", row: "0123456789ab" };
/// As long as what the keystore binds.
const BOUND: [u8; 110] = [7; 110];

pub(super) fn measure(size: Size) -> Result<Vec<Row>> {
    let (folder, key) = (Folder::new()?, [7; 32]);
    let cipher = XChaCha20Poly1305::new(&key.into());
    let tenant_key = tenant_key(&folder)?;
    let mut rows = Vec::new();
    for (bytes, operations) in [(256, 200_000), (4_096, 40_000)] {
        let plain = vec![b'x'; bytes];
        let (seal, open) = (
            || tenant_key.seal(PLACE, &plain, &SystemRandom),
            |sealed: &[u8]| {
                let opened = tenant_key.open(PLACE, sealed);
                opened.map(|plain| plain.expose().len()).map_err(|error| error.to_string())
            },
        );
        let bare_seal = || {
            let mut nonce = [0; 24];
            getrandom::fill(&mut nonce).expect("the kernel gives random bytes");
            let payload = Payload { msg: &plain, aad: &BOUND };
            let text = cipher.encrypt(&XNonce::from(nonce), payload).expect("not too long");
            (nonce, text)
        };
        let bare_open = |(nonce, text): &([u8; 24], Vec<u8>)| {
            let payload = Payload { msg: text, aad: &BOUND };
            cipher.decrypt(&XNonce::from(*nonce), payload)
        };
        let (sealed, bare_sealed) = (seal(), bare_seal());
        ensure!(open(&sealed) == Ok(bytes), "it does not open");
        ensure!(bare_open(&bare_sealed).is_ok(), "the bare cipher does not open");

        let mut samples = [const { Vec::new() }; 4];
        for _ in 0..=size.rounds {
            let operations = size.of(operations);
            samples[0].push(rate(operations, || drop(black_box(seal())))?);
            samples[1].push(rate(operations, || drop(black_box(bare_seal())))?);
            samples[2].push(rate(operations, || drop(black_box(open(&sealed))))?);
            samples[3].push(rate(operations, || drop(black_box(bare_open(&bare_sealed))))?);
        }
        // The first round warms up.
        let [seal, bare_seal, open, bare_open] =
            samples.map(|values| values.into_iter().skip(1).collect::<Samples>());
        for (verb, ours, theirs) in [("seal", seal, bare_seal), ("open", open, bare_open)] {
            rows.push(Row::beside(
                format!("{verb} a field of {bytes} bytes"),
                "k per CPU second",
                &ours,
                "bare XChaCha20-Poly1305",
                &theirs,
                Goal::AtLeast(0.8),
            ));
        }
    }
    Ok(rows)
}

/// A key of a tenant in a new keystore.
pub(crate) fn tenant_key(folder: &Folder) -> Result<TenantKey> {
    let directory = folder.path().join("keys");
    let (keystore, _) =
        Keystore::create(&directory, SealMode::Unattended, &SystemClock, &SystemRandom)?;
    let (key, _) = keystore.new_tenant_key(TenantId::random(&SystemRandom), 1, &SystemRandom);
    Ok(key)
}

/// Thousands of operations per second of processor time.
pub(super) fn rate(operations: usize, mut operation: impl FnMut()) -> Result<f64> {
    let before = own_cpu()?;
    for _ in 0..operations {
        operation();
    }
    Ok(operations as f64 / own_cpu()?.saturating_sub(before).as_secs_f64() / 1e3)
}
