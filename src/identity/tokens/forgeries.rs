//! Forged tokens, made by hand. Wherever a check other than the signature is
//! meant, the forgery is signed with the real key: without that check it would
//! be accepted.

use aws_lc_rs::hmac;

use super::{
    tests::{CURRENT_KEY, EARLIER_KEY, NOW, RETIRED_KEY, SESSION, TENANT, USER, access_tokens},
    *,
};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"k2"}"#;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], message: &str) -> String {
    b64(hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes()))
}

/// `header` and `claims` as they are (encoded already), signed with `key`.
fn sign_raw(key: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{header}.{claims}");
    format!("{signed}.{}", mac(hmac::HMAC_SHA256, key, &signed))
}

fn sign(key: &[u8], header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    sign_raw(key, &b64(header), &b64(claims))
}

fn claims() -> String {
    format!(
        r#"{{"sub":"{USER}","tid":"{TENANT}","sid":"{SESSION}","iat":{NOW},"exp":{},"scope":"tenant"}}"#,
        NOW + 900
    )
}

fn good() -> String {
    sign(&CURRENT_KEY, HEADER, claims())
}

fn assert_refused(forgeries: impl IntoIterator<Item = (String, String)>) -> usize {
    let (tokens, _) = access_tokens();
    let mut count = 0;
    for (what, token) in forgeries {
        assert!(tokens.verify(&token).is_err(), "accepted: {what}");
        count += 1;
    }
    count
}

#[test]
fn the_forgers_tools_would_make_a_valid_token() {
    let (tokens, _) = access_tokens();
    assert!(tokens.verify(&good()).is_ok());
    let earlier = HEADER.replace("k2", "k1");
    assert!(tokens.verify(&sign(&EARLIER_KEY, earlier, claims())).is_ok());
}

/// Values of `alg`.
const ALGORITHMS: &[&str] = &[
    r#""none""#,
    r#""None""#,
    r#""NONE""#,
    r#""nOnE""#,
    r#""""#,
    r#""hs256""#,
    r#""HS256 ""#,
    r#""HS384""#,
    r#""HS512""#,
    r#""RS256""#,
    r#""PS256""#,
    r#""ES256""#,
    r#""EdDSA""#,
    r#""dir""#,
    "null",
    "0",
    "true",
    r#"["HS256"]"#,
    r#"{"HS256":1}"#,
    r#""\u0048S256""#,
];

/// Values of `kid`.
const KIDS: &[&str] = &[
    r#""""#,
    r#""k""#,
    r#""k20""#,
    r#""K2""#,
    r#""k2 ""#,
    r#"" k2""#,
    r#""k2\u0000""#,
    r#""../k2""#,
    r#""../../../../dev/null""#,
    r#""/dev/null""#,
    r#""k2' OR '1'='1""#,
    r#""k2|cat /etc/passwd""#,
    r#""\u006b2""#,
    r#""k２""#,
    r#""http://127.0.0.1/k2""#,
    "null",
    "2",
    "true",
    r#"["k2"]"#,
    "[]",
    r#"{"k2":"k2"}"#,
];

/// Members added to a right header.
const EXTRAS: &[&str] = &[
    r#""jwk":{"kty":"oct","k":"ERERERERERERERERERERERERERERERERERERERERERE"}"#,
    r#""jwk":null"#,
    r#""jku":"https://example.org/keys""#,
    r#""x5u":"https://example.org/c""#,
    r#""x5c":["MIIB"]"#,
    r#""x5t":"AA""#,
    r#""crit":["exp"]"#,
    r#""crit":[]"#,
    r#""b64":false"#,
    r#""zip":"DEF""#,
    r#""cty":"JWT""#,
    r#""enc":"A128GCM""#,
    r#""nonce":"1""#,
    r#""x":1"#,
    r#""alg":"none""#,
    r#""alg":"HS256""#,
    r#""kid":"k2""#,
    r#""kid":"k1""#,
    r#""typ":"JWT""#,
];

/// Whole headers.
const WHOLE: &[&str] = &[
    "",
    "{}",
    "null",
    "[]",
    r#""HS256""#,
    r#"["HS256","JWT","k2"]"#,
    r#"{"alg":"HS256"}"#,
    r#"{"alg":"HS256","typ":"JWT"}"#,
    r#"{"alg":"HS256","kid":"k2"}"#,
    r#"{"typ":"JWT","kid":"k2"}"#,
    r#"{"alg":"HS256","typ":"jwt","kid":"k2"}"#,
    r#"{"alg":"HS256","typ":"at+jwt","kid":"k2"}"#,
    r#"{"alg":"HS256","typ":null,"kid":"k2"}"#,
    r#"{"typ":"JWT","alg":"HS256","kid":"k2"}"#,
    r#"{"alg":"HS256","typ":"JWT","kid":"k2"} "#,
    r#"{ "alg":"HS256","typ":"JWT","kid":"k2"}"#,
    r#"{"alg":"HS256","typ":"JWT","kid":"k2"}{}"#,
    r#"{"Alg":"HS256","Typ":"JWT","Kid":"k2"}"#,
    r#"{"alg":"HS256","typ":"JWT","kid":"k2""#,
    "\u{feff}{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
];

#[test]
fn no_header_but_our_own_is_accepted_even_with_a_right_signature() {
    let rest = r#""typ":"JWT","kid":"k2"}"#;
    let headers =
        ALGORITHMS
            .iter()
            .map(|alg| format!(r#"{{"alg":{alg},{rest}"#))
            .chain(KIDS.iter().map(|kid| format!(r#"{{"alg":"HS256","typ":"JWT","kid":{kid}}}"#)))
            .chain(EXTRAS.iter().map(|extra| {
                format!(r#"{{"alg":"HS256",{rest}"#).replace('}', "") + "," + extra + "}"
            }))
            .chain(EXTRAS.iter().map(|extra| format!(r#"{{{extra},"alg":"HS256",{rest}"#)))
            .chain(WHOLE.iter().map(ToString::to_string));
    let count = assert_refused(headers.map(|header| {
        let token = sign(&CURRENT_KEY, &header, claims());
        (header, token)
    }));
    assert!(count >= 95, "{count}");
    assert_refused([("not UTF-8".to_owned(), sign(&CURRENT_KEY, b"\xff\xfe{}", claims()))]);
}

#[test]
fn no_signature_but_that_of_the_named_key_is_accepted() {
    let signed = format!("{}.{}", b64(HEADER), b64(claims()));
    let (_, right) = good().rsplit_once('.').map(|(s, r)| (s.to_owned(), r.to_owned())).unwrap();
    let raw = BASE64URL_NOPAD.decode(right.as_bytes()).unwrap();
    let header = |kid| HEADER.replace("k2", kid);
    let with = |signature: &str| format!("{signed}.{signature}");
    let forgeries = [
        ("no signature", with("")),
        ("another key", sign(&[0x55; 32], HEADER, claims())),
        ("an empty key", sign(&[], HEADER, claims())),
        ("a key of zeros", sign(&[0; 32], HEADER, claims())),
        ("the kid as key", sign(b"k2", HEADER, claims())),
        ("the earlier key under the current id", sign(&EARLIER_KEY, HEADER, claims())),
        ("the current key under the earlier id", sign(&CURRENT_KEY, header("k1"), claims())),
        ("a retired key", sign(&RETIRED_KEY, header("k0"), claims())),
        ("a retired id with the current key", sign(&CURRENT_KEY, header("k0"), claims())),
        ("HS384", with(&mac(hmac::HMAC_SHA384, &CURRENT_KEY, &signed))),
        ("HS512", with(&mac(hmac::HMAC_SHA512, &CURRENT_KEY, &signed))),
        ("over the claims only", with(&mac(hmac::HMAC_SHA256, &CURRENT_KEY, &b64(claims())))),
        ("over the header only", with(&mac(hmac::HMAC_SHA256, &CURRENT_KEY, &b64(HEADER)))),
        ("over the plain text", {
            with(&mac(hmac::HMAC_SHA256, &CURRENT_KEY, &format!("{HEADER}.{}", claims())))
        }),
        ("the first half", with(&b64(&raw[..16]))),
        ("all but one byte", with(&b64(&raw[..31]))),
        ("one byte", with(&b64(&raw[..1]))),
        ("one byte more", with(&b64([raw.as_slice(), &[0]].concat()))),
        ("twice", with(&b64([raw.as_slice(), raw.as_slice()].concat()))),
        ("zeros", with(&b64([0; 32]))),
        ("in hex", with(&data_encoding::HEXLOWER.encode(&raw))),
        ("with padding", with(&format!("{right}="))),
        ("with wrong padding", with(&format!("{right}=="))),
        ("with a space", with(&format!("{right} "))),
        ("with a new line", with(&format!("{right}\n"))),
        ("not base64", with(&"*".repeat(43))),
        ("not ASCII", with(&"é".repeat(21))),
        ("alg none, unsigned", {
            format!("{}.{}.", b64(r#"{"alg":"none","typ":"JWT","kid":"k2"}"#), b64(claims()))
        }),
        (
            "alg none without kid, unsigned",
            format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(claims())),
        ),
    ];
    assert_refused(forgeries.map(|(what, token)| (what.to_owned(), token)));
    // The signature's last character carries two bits that no byte uses.
    let stray = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        .map(|last| with(&format!("{}{}", &right[..42], char::from(last))));
    let others = stray.into_iter().filter(|token| *token != good());
    assert_eq!(assert_refused(others.map(|token| ("stray bits".to_owned(), token))), 63);
}

/// Values of `exp` and `iat`.
const TIMES: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "1e400",
    "1e30",
    "1795326206.0",
    "1795326206.5",
    "1.795326206e9",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "01795326206",
    "+1795326206",
    "0x6b",
    "NaN",
    "Infinity",
    "\"1795326206\"",
    "\"2026-11-22T05:43:26Z\"",
    "[1795326206]",
];

#[test]
fn no_other_claims_than_ours_are_accepted_even_with_a_right_signature() {
    let good = claims();
    let exp = format!("\"exp\":{}", NOW + 900);
    let iat = format!("\"iat\":{NOW}");
    let replace = |from: &str, to: &str| {
        let edited = good.replace(from, to);
        assert_ne!(edited, good, "{from}");
        edited
    };
    let mut forged = Vec::new();
    for value in TIMES {
        forged.push(replace(&exp, &format!("\"exp\":{value}")));
        forged.push(replace(&iat, &format!("\"iat\":{value}")));
    }
    let times = |iat: i64, exp: i64| {
        good.replace(&format!("{NOW},"), &format!("{iat},"))
            .replace(&format!("{}", NOW + 900), &format!("{exp}"))
    };
    forged.extend([
        times(NOW - 900, NOW),         // has just ended
        times(NOW - 1_000, NOW - 100), // ended a while ago
        times(NOW, NOW + 901),         // lives too long
        times(NOW - 10, NOW + 900),    // lives too long, from the past
        times(NOW, NOW + 31_536_000),  // a year
        times(NOW + 61, NOW + 900),    // from the future
        times(NOW + 900, NOW + 900),   // no life at all
        times(NOW + 60, NOW + 59),     // ends before it starts
        times(i64::MIN, i64::MAX),     // the difference overflows
        times(i64::MIN, NOW + 900),
    ]);
    for (claim, value) in [("sub", USER), ("tid", TENANT), ("sid", SESSION), ("scope", "tenant")] {
        let whole = format!("\"{claim}\":\"{value}\"");
        for other in [
            "null".to_owned(),
            "0".to_owned(),
            "[]".to_owned(),
            "\"\"".to_owned(),
            format!("\"{}\"", value.to_uppercase() + "G"),
            format!("\"{value} \""),
            format!("\"{value}0\""),
            format!("\"{}\"", &value[1..]),
            format!("[\"{value}\"]"),
        ] {
            forged.push(replace(&whole, &format!("\"{claim}\":{other}")));
        }
        forged.push(replace(&whole, &format!("{whole},{whole}"))); // twice the same
        forged.push(replace(&whole, &format!("\"x\":\"{value}\""))); // missing and unknown
        forged.push(replace(&format!("\"{claim}\""), &format!("\"{}\"", claim.to_uppercase())));
    }
    forged.extend([
        replace(&format!("{exp},"), ""),
        replace(&format!("{iat},"), ""),
        replace(&exp, &format!("{exp},{exp}")),
        replace(&exp, &format!("{exp},\"exp\":{}", NOW + 100)),
        replace(&exp, &format!("{exp},\"\\u0065xp\":{}", NOW + 100)),
        replace("\"tenant\"", "\"system\""),
        replace(TENANT, &TenantId::SYSTEM.to_string()),
        replace("}", ",\"aud\":\"x\"}"),
        replace("}", ",\"nbf\":0}"),
        replace("}", ",\"admin\":true}"),
        replace("}", ",\"\":0}"),
        replace("}", "}{}"),
        replace("}", ""),
        replace("}", ",}"),
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        format!("[\"{USER}\",\"{TENANT}\",\"{SESSION}\",{NOW},{},\"tenant\"]", NOW + 900),
        format!("\u{feff}{good}"),
        format!("\"{}\"", b64(&good)),
    ]);
    let count = assert_refused(forged.into_iter().map(|claims| {
        let token = sign(&CURRENT_KEY, HEADER, &claims);
        (claims, token)
    }));
    assert!(count >= 120, "{count}");
}

#[test]
fn claims_in_any_other_encoding_are_refused_even_with_a_right_signature() {
    // One byte more makes the length such that the last character has stray bits.
    let header = b64(HEADER);
    let padded = (0..3).map(|spaces| claims().replace('}', &(" ".repeat(spaces) + "}")));
    for claims in padded {
        let encoded = b64(&claims);
        let standard = data_encoding::BASE64.encode(claims.as_bytes());
        let (start, last) = encoded.split_at(encoded.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        let mut forged = vec![
            ("new line", format!("{encoded}\n")),
            ("space", format!(" {encoded}")),
            ("one character more", format!("{encoded}A")),
            ("percent", format!("{encoded}%3D")),
            ("plain JSON", claims.clone()),
            ("hex", data_encoding::HEXLOWER.encode(claims.as_bytes())),
        ];
        if encoded.len() % 4 != 0 {
            forged.push(("stray bits", format!("{start}{next}")));
            forged.push(("padding", standard));
        }
        let forged = forged
            .into_iter()
            .map(|(what, claims)| (what.to_owned(), sign_raw(&CURRENT_KEY, &header, &claims)));
        assert_refused(forged);
    }
    let not_text = sign(&CURRENT_KEY, HEADER, b"\xff\xfe");
    assert_refused([("not UTF-8".to_owned(), not_text)]);
}

#[test]
fn anything_but_three_parts_is_refused() {
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let many = sign_raw(&CURRENT_KEY, header, &format!("{claims}.{claims}"));
    let forged = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "....".into(),
        " ".into(),
        "\0".into(),
        "a".into(),
        "a.b".into(),
        "a.b.c".into(),
        "null".into(),
        "é.é.é".into(),
        "\u{1f511}".into(),
        header.to_owned(),
        claims.to_owned(),
        format!("{header}."),
        format!("{header}.."),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("..{signature}"),
        format!("{claims}.{header}.{signature}"),
        format!(".{good}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}.{good}"),
        format!("{header}.{claims}..{signature}"),
        format!("{header}.{header}.{claims}.{signature}"),
        format!("{header}.AA.AA.AA.{signature}"),
        many,
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}\r\n"),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        format!("Bearer {good}"),
        format!("\"{good}\""),
        format!("{good},{good}"),
        format!("{good};"),
        good.replace('.', ","),
        good.replace('.', "%2E"),
        good.replace('.', "．"),
        good.replace('.', ". "),
        good.to_lowercase(),
        good.to_uppercase(),
        format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#),
    ];
    assert_refused(forged.map(|token| (token.clone(), token)));
}

#[test]
fn a_token_cut_anywhere_or_changed_in_any_character_is_refused() {
    let good = good();
    let cut = (0..good.len()).map(|end| (format!("cut at {end}"), good[..end].to_owned()));
    assert_refused(cut);
    let changed = (0..good.len()).map(|position| {
        let mut bytes = good.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        (format!("changed at {position}"), String::from_utf8(bytes).unwrap())
    });
    assert_refused(changed);
}

#[test]
fn a_token_of_more_than_two_kibibytes_is_refused_before_any_work() {
    let (tokens, _) = access_tokens();
    let with_spaces = |count| claims().replace('}', &(" ".repeat(count) + "}"));
    let fits = sign(&CURRENT_KEY, HEADER, with_spaces(1_000));
    assert!(fits.len() < MAX_BYTES && tokens.verify(&fits).is_ok());
    let long = sign(&CURRENT_KEY, HEADER, with_spaces(2_000));
    assert_eq!(tokens.verify(&long), Err(TokenRefused::TooLong));
    assert_eq!(tokens.verify(&".".repeat(10_000_000)), Err(TokenRefused::TooLong));
}
