//! Certificates of authorities, however a deployment wizard has mangled them.

use data_encoding::BASE64;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::address::Fault;

/// More than anybody has in front of one proxy.
const MOST_CERTIFICATES: usize = 32;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads PEM, PEM whose ends of lines were lost, or the Base64 of PEM; answers
/// tidy PEM.
pub(super) fn authorities(text: &str) -> Result<String, Fault> {
    let fault = |wrong: &str, instead: &str| Err((wrong.to_owned(), instead.to_owned()));
    let expected = "write PEM, or its Base64 on one line";
    let plain = if text.contains("-----") {
        text.to_owned()
    } else {
        let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        match BASE64.decode(packed.as_bytes()).map(String::from_utf8) {
            Ok(Ok(plain)) => plain,
            _ => return fault("is no PEM and no Base64", expected),
        }
    };
    if plain.contains("PRIVATE KEY") {
        return fault("has a private key in it", "write certificates only");
    }
    let mut tidy = String::new();
    let mut count = 0;
    for block in blocks(&plain) {
        let Some(der) = block else {
            return fault("has a certificate that is cut off or damaged", expected);
        };
        let Ok((rest, certificate)) = X509Certificate::from_der(&der) else {
            return fault("has a certificate that cannot be read", expected);
        };
        if !rest.is_empty() || !certificate.is_ca() {
            return fault(
                "has a certificate that is of no authority",
                "write the CA's, not the proxy's",
            );
        }
        count += 1;
        tidy.push_str(BEGIN);
        tidy.push('\n');
        for line in BASE64.encode(&der).as_bytes().chunks(64) {
            tidy.push_str(&String::from_utf8_lossy(line));
            tidy.push('\n');
        }
        tidy.push_str(END);
        tidy.push('\n');
    }
    match count {
        0 => fault("has no certificate in it", expected),
        1..=MOST_CERTIFICATES => Ok(tidy),
        _ => fault("has more than 32 certificates", "write fewer"),
    }
}

/// The DER between each pair of marks; `None` where it cannot be decoded. Ends
/// of lines may be white space, the two characters `\n`, or missing.
fn blocks(plain: &str) -> impl Iterator<Item = Option<Vec<u8>>> {
    plain.split(BEGIN).skip(1).map(|rest| {
        let (body, _) = rest.split_once(END)?;
        let packed: String =
            body.replace("\\r", "").replace("\\n", "").split_whitespace().collect();
        BASE64.decode(packed.as_bytes()).ok().filter(|der| !der.is_empty())
    })
}
