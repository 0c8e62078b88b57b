//! DER to PEM. Pure.

use data_encoding::BASE64;
use zeroize::Zeroize;

/// The PEM section `label` with `der` inside of it, lines of 64 characters.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let mut base64 = BASE64.encode(der);
    // Room for all of it at once: growing would leave copies of a key behind.
    let mut text = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for start in (0..base64.len()).step_by(64) {
        text.push_str(&base64[start..base64.len().min(start + 64)]);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    base64.zeroize();
    text
}
