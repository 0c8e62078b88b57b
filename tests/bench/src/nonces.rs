//! Ten million seals under one key, and no nonce twice.
//!
//! Of each nonce 16 of its 24 bytes are kept: two equal nonces have equal
//! beginnings, and two different ones practically never do. That bounds the
//! memory at 16 bytes a seal.

use std::process::ExitCode;

use anyhow::{Context, Result};
use palisade::{clock::SystemRandom, keystore::Place};

use crate::{paths::tenant_key, process::Folder};

/// Format and key version stand before the nonce.
const PREFIX: usize = 5;
const PLACE: Place<'static> = Place { table: "app_user", column: "email", row: "0123456789ab" };

pub(crate) fn run(seals: usize) -> Result<ExitCode> {
    let folder = Folder::new()?;
    let key = tenant_key(&folder)?;
    let mut beginnings = Vec::with_capacity(seals);
    for _ in 0..seals {
        let sealed = key.seal(PLACE, b"a@b.example", &SystemRandom);
        let nonce = sealed.get(PREFIX..).and_then(<[u8]>::first_chunk::<16>);
        beginnings.push(u128::from_be_bytes(*nonce.context("a sealed value without a nonce")?));
    }
    let repeated = repetitions(&mut beginnings);
    println!("{seals} seals, {repeated} nonces came again");
    Ok(if repeated == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many values have been there before.
fn repetitions(values: &mut [u128]) -> usize {
    values.sort_unstable();
    values.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_that_comes_again_is_found() {
        assert_eq!(super::repetitions(&mut [3, 1, 2]), 0);
        assert_eq!(super::repetitions(&mut [3, 1, 2, 3, 1, 3]), 3);
    }
}
