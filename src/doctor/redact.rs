//! Taking secrets out of text.
//!
//! Owns: what a secret looks like. Pure.
//! Must not know: where a text comes from.
//!
//! It rather takes out too much: whoever reads a support bundle can ask again,
//! whoever sent it cannot take a password back.

/// A text without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// What remains, with a note in each place.
    pub text: String,
    /// How many places there were.
    pub removed: usize,
}

/// Names of settings, fields and variables whose values are secret.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "seed",
    "private",
    "pairing",
    "join_code",
    "joincode",
    "join-code",
    "setup_code",
    "setup-code",
    "setupcode",
    "set-up code",
    "key-data",
    "certificate-data",
    "certificate-authority-data",
    "seal_key",
    "recovery",
];

/// Endings of names whose values only say where a secret is, or how old.
const HARMLESS_ENDINGS: &[&str] =
    &["_file", "-file", "file", "_seconds", "_minutes", "_hours", "_days"];

/// Blocks that are removed from their first to their last line.
const SECRET_BLOCKS: &[&str] = &["PRIVATE KEY", "NKEY SEED", "USER JWT", "PGP MESSAGE"];

/// Takes out everything that looks like a secret.
pub fn redact(text: &str) -> Redacted {
    let mut removed = 0;
    let text = without_blocks(text, &mut removed);
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        // A password may hold whatever ends a word: URLs come first.
        let line = without_url_passwords(line, &mut removed);
        redact_line(&line, &mut out, &mut removed);
    }
    Redacted { text: out, removed }
}

fn note(out: &mut String, removed: &mut usize, what: &str) {
    *removed += 1;
    out.push('[');
    out.push_str(what);
    out.push_str(" removed]");
}

fn without_blocks(text: &str, removed: &mut usize) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(start);
        let label = block[BEGIN.len()..].split("-----").next().unwrap_or_default();
        out.push_str(before);
        if !SECRET_BLOCKS.iter().any(|secret| label.contains(secret)) {
            out.push_str(BEGIN);
            rest = &block[BEGIN.len()..];
            continue;
        }
        note(&mut out, removed, "secret block");
        // A block that was cut off hides everything that follows. Credentials of
        // NATS end with more dashes.
        let end = ["-----END ", "------END "].iter().filter_map(|end| block.find(end)).min();
        rest = end.map_or("", |end| {
            let last = block[end..].trim_start_matches('-');
            let after = last.find("-----").map_or("", |place| &last[place..]);
            after.trim_start_matches('-')
        });
    }
    out.push_str(rest);
    out
}

fn without_url_passwords(line: &str, removed: &mut usize) -> String {
    const SEPARATOR: &str = "://";
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(place) = rest.find(SEPARATOR) {
        let (before, after) = rest.split_at(place + SEPARATOR.len());
        out.push_str(before);
        rest = after;
        if let Some(host) = host_after_password(rest) {
            note(&mut out, removed, "user and password");
            rest = &rest[host..];
        }
    }
    out.push_str(rest);
    out
}

/// Where the `@` of a URL is whose scheme was cut off; nothing without one.
fn host_after_password(url: &str) -> Option<usize> {
    let end = url.find(|c: char| c.is_whitespace() || "\"<>`\\".contains(c));
    let url = &url[..end.unwrap_or(url.len())];
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(place) = authority.rfind('@') {
        return Some(place);
    }
    // A slash in a password should have been escaped. What stands where the port
    // belongs and is none shows that it was not.
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port || authority.starts_with('[') { None } else { url.rfind('@') }
}

fn redact_line(line: &str, out: &mut String, removed: &mut usize) {
    let mut rest = line;
    while let Some((before, value_at)) = next_secret_value(rest) {
        redact_words(&rest[..before], out, removed);
        let (shown, after) = rest[before..].split_at(value_at);
        out.push_str(shown);
        let length = match opening_quote(shown) {
            Some(opening) => quoted_length(after, opening),
            None => value_length(after, &rest[..before]),
        };
        if is_harmless_value(&after[..length]) {
            out.push_str(&after[..length]);
        } else {
            note(out, removed, "secret");
        }
        rest = &after[length..];
    }
    redact_words(rest, out, removed);
}

/// Where the next `name = value` with a secret name is: where its separator is,
/// and how far behind that the value begins.
fn next_secret_value(line: &str) -> Option<(usize, usize)> {
    for (place, separator) in line.char_indices().filter(|(_, c)| matches!(c, '=' | ':')) {
        // A URL's colon is none, and neither is a double one.
        if line[place + 1..].starts_with("//") || line[place + 1..].starts_with(':') {
            continue;
        }
        if !is_secret_name(name_before(&line[..place])) {
            continue;
        }
        let after = &line[place + separator.len_utf8()..];
        let gap =
            after.len() - after.trim_start_matches([' ', '\t', '"', '\'', '=', '>', '\\']).len();
        let (gap_text, value) = after.split_at(gap);
        let quotes = gap_text.matches(['"', '\'']).count();
        let is_empty = quotes == 2 && value.starts_with([',', ';', '}', ']', ')', '&']);
        if value.trim_end().is_empty() || is_empty {
            continue;
        }
        return Some((place, separator.len_utf8() + gap));
    }
    None
}

fn name_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t', '"', '\'', '\\']);
    let start = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-. ".contains(c)));
    let name = start.map_or(text, |start| &text[start + 1..]);
    // Two words at most: `set-up code`.
    let words: Vec<_> = name.split(' ').filter(|word| !word.is_empty()).collect();
    match words.len() {
        0 => "",
        1 => words[0],
        count => name.find(words[count - 2]).map_or(name, |place| &name[place..]),
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    let last = name.rsplit(['.', ' ']).next().unwrap_or(&name);
    let harmless = HARMLESS_ENDINGS.iter().any(|ending| last.ends_with(ending));
    !harmless && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// The quote before a value, with the backslashes of a text within a text.
fn opening_quote(before: &str) -> Option<&str> {
    let bare = before.strip_suffix(['"', '\''])?;
    Some(&before[bare.trim_end_matches('\\').len()..])
}

/// How long a value is that stands in quotes: to the same quote. One with more
/// backslashes before it is part of the value.
fn quoted_length(value: &str, opening: &str) -> usize {
    let text = value.trim_end_matches(['\n', '\r']);
    let (slashes, quote) = opening.split_at(opening.len() - 1);
    let mut ends = text.match_indices(quote).map(|(place, _)| {
        let bare = text[..place].trim_end_matches('\\');
        (bare.len(), place - bare.len())
    });
    ends.find(|(_, before)| *before <= slashes.len()).map_or(text.len(), |(end, _)| end)
}

/// How long a value without quotes is: to what cannot be part of it.
fn value_length(value: &str, before: &str) -> usize {
    let name = name_before(before).to_ascii_lowercase();
    let text = value.trim_end_matches(['\n', '\r']);
    if name.contains("authorization") || name.contains("cookie") {
        return text.find('"').unwrap_or(text.len());
    }
    if name.contains("recovery") || name.contains("code") {
        return text.find(['"', '\'', ',', ';', '}']).unwrap_or(text.len());
    }
    text.find(|c: char| c.is_whitespace() || "\"',;&}])".contains(c)).unwrap_or(text.len())
}

/// Words that settings have and secrets are not.
fn is_harmless_value(value: &str) -> bool {
    let plain =
        ["yes", "no", "true", "false", "null", "none", "0", "1", "-", "{", "[", "|", "x", "*", "!"];
    let value = value.trim().to_ascii_lowercase();
    plain.contains(&value.as_str()) || value.starts_with("[secret")
}

fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || "\"'`<>(),;[]{}|=\\".contains(c)
}

fn redact_words(text: &str, out: &mut String, removed: &mut usize) {
    let mut rest = text;
    let mut before = String::new();
    while !rest.is_empty() {
        let gap = rest.find(|c| !is_delimiter(c)).unwrap_or(rest.len());
        out.push_str(&rest[..gap]);
        rest = &rest[gap..];
        let length = rest.find(is_delimiter).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        rest = after;
        if word.is_empty() {
            continue;
        }
        redact_word(word, &before, out, removed);
        before = word.to_ascii_lowercase();
    }
}

fn redact_word(word: &str, before: &str, out: &mut String, removed: &mut usize) {
    let after_scheme = matches!(before, "bearer" | "basic") && word.len() >= 8;
    let after_flag = before.strip_prefix("--").is_some_and(is_secret_name);
    if after_scheme || after_flag {
        return note(out, removed, "secret");
    }
    if let Some((scheme, rest)) = word.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        out.push_str(scheme);
        out.push_str("://");
        out.push_str(authority);
        return redact_path(&rest[authority.len()..], out, removed);
    }
    let bare = word.trim_matches(|c: char| ".:!?".contains(c));
    let what = match bare {
        _ if is_e_mail(bare) => "e-mail address",
        _ if is_token(bare) || is_seed(bare) => "token",
        _ if is_code(bare) => "code",
        _ if is_hash(bare) => "password hash",
        // A path or a pair: each part for itself.
        _ if bare.contains(['/', ':', '&', '?']) && bare.len() > 24 => {
            return redact_path(word, out, removed);
        }
        _ => return out.push_str(word),
    };
    let start = word.find(bare).unwrap_or(0);
    out.push_str(&word[..start]);
    note(out, removed, what);
    out.push_str(&word[start + bare.len()..]);
}

fn redact_path(path: &str, out: &mut String, removed: &mut usize) {
    for part in path.split_inclusive(['/', ':', '&', '?', '#']) {
        let bare = part.trim_end_matches(['/', ':', '&', '?', '#']);
        let end = &part[bare.len()..];
        if is_token(bare) || is_seed(bare) || is_code(bare) || is_hash(bare) {
            note(out, removed, "token");
        } else if is_e_mail(bare) {
            note(out, removed, "e-mail address");
        } else {
            out.push_str(bare);
        }
        out.push_str(end);
    }
}

/// Endings of systemd's unit names, which have an `@` as well.
const UNITS: &[&str] =
    &["service", "socket", "timer", "mount", "target", "slice", "path", "scope", "device", "swap"];

fn is_e_mail(word: &str) -> bool {
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    let Some((local, domain)) = word.split_once('@') else { return false };
    let last = domain.rsplit('.').next().unwrap_or_default();
    let plain = |c: char| c.is_alphanumeric() || "._%+-!#$&*/^{|}~".contains(c);
    !local.is_empty()
        && local.chars().all(plain)
        && domain.contains('.')
        && domain.chars().all(|c| c.is_alphanumeric() || ".-".contains(c))
        && last.len() >= 2
        && last.chars().all(char::is_alphabetic)
        && !UNITS.contains(&last)
}

/// JWTs and random texts: long, with letters of both cases and digits.
fn is_token(word: &str) -> bool {
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || "_-.+/".contains(c);
    let long = word.len() >= 40 || (word.starts_with("eyJ") && word.len() >= 20);
    long && word.chars().all(of_base64)
        && word.chars().any(|c| c.is_ascii_lowercase())
        && word.chars().any(|c| c.is_ascii_uppercase())
        && word.chars().any(|c| c.is_ascii_digit())
        // Words with points between are names.
        && word.split(['.', '/', '_', '-']).any(|part| part.len() >= 16)
}

/// A seed of NATS: `S`, a kind and Base32.
fn is_seed(word: &str) -> bool {
    word.len() == 58
        && word.starts_with('S')
        && word.chars().all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c))
}

/// Set-up codes and groups of a recovery kit: fours of capitals and digits.
fn is_code(word: &str) -> bool {
    let groups: Vec<_> = word.split('-').collect();
    let of_four = |group: &&str| {
        group.len() == 4 && group.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    let letters = word.chars().any(|c| c.is_ascii_uppercase());
    groups.len() >= 2 && groups.iter().all(of_four) && (letters || groups.len() >= 4)
}

/// `$y$…`, `$argon2id$…` and their like.
fn is_hash(word: &str) -> bool {
    let mut parts = word.trim_start_matches(['!', ':']).split('$');
    parts.next() == Some("")
        && parts.next().is_some_and(|id| (1..=12).contains(&id.len()))
        && word.matches('$').count() >= 3
        && word.len() >= 20
}

/// One secret of every kind, as it stands in files and logs, with the part
/// that must not remain.
#[cfg(test)]
pub(super) const CANARIES: &[(&str, &str)] = &[
    ("-----BEGIN PRIVATE KEY-----\nMIICANARY1abc\n-----END PRIVATE KEY-----", "CANARY1"),
    (
        "{\"key\":\"-----BEGIN EC PRIVATE KEY-----\\nMHcCANARY2\\n-----END EC PRIVATE KEY-----\\n\"}",
        "CANARY2",
    ),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BCANARY3", "CANARY3"),
    ("-----BEGIN USER NKEY SEED-----\nSUACANARY4\n------END USER NKEY SEED------", "CANARY4"),
    ("session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlk1In0.CANARY5signatureXYZ", "CANARY5"),
    ("seed SUACANARY6QKJZ2VYWTX3VDMM5NNRYBPZFUMWHZFTBVHYT5E6HLVI5RHQ7", "CANARY6"),
    ("Authorization: Bearer CANARY7", "CANARY7"),
    ("curl -H 'authorization: basic Q0FOQVJZ CANARY8'", "CANARY8"),
    ("sent bearer CANARY9xyz to", "CANARY9"),
    ("password=CANARY10", "CANARY10"),
    ("db_password: \"CANARY11\"", "CANARY11"),
    ("{\"joinCode\":\"CANARY12\",\"x\":1}", "CANARY12"),
    ("http://someone:CANARY13@proxy.example:3128/x", "CANARY13"),
    ("postgresql://palisade:CANARY14@db/palisade", "CANARY14"),
    ("    client-key-data: CANARY15LS0tCg==", "CANARY15"),
    ("    token: CANARY16", "CANARY16"),
    ("login of canary17@example.com failed", "canary17"),
    ("Set-up code: CNR1-EFGH-JKLM-NPQR", "CNR1"),
    ("the code CNR2-EFGH-JKLM-NPQR was typed", "CNR2"),
    ("  1: CNR3-8KQZ   2: 0000-CNR4", "CNR"),
    ("key pk_canary19AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcdefg", "canary19"),
    ("/invite/inv_canary20AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd used", "canary20"),
    ("root:$y$j9T$CANARY21salt$CANARYhash:1", "CANARY21"),
    ("palisade login --password CANARY22 --x", "CANARY22"),
    ("PALISADE_TOKEN=CANARY23 palisade", "CANARY23"),
    ("Cookie: session=CANARY24; theme=dark", "CANARY24"),
    ("https://palisade.example/?token=CANARY25&x=1", "CANARY25"),
    ("secret\t=\tCANARY26", "CANARY26"),
    ("pairing_code => \"CANARY27\"", "CANARY27"),
    ("{\"passphrase\":\"correct CANARY28 battery\",\"x\":1}", "CANARY28"),
    ("\"{\\\"secret\\\":\\\"two CANARY29 words\\\"}\"", "CANARY29"),
    ("password='it is CANARY30'", "CANARY30"),
    ("{\"password\":\"a\\\"b CANARY31\"}", "CANARY31"),
    ("http://someone:a,b;c=(CANARY32)'d@proxy.example:3128/x", "CANARY32"),
    ("db is postgresql://palisade:=,CANARY33;@db/palisade", "CANARY33"),
    ("http://someone:a/CANARY34@proxy.example:3128", "CANARY34"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_canary_of_any_kind_survives() {
        for (text, canary) in CANARIES {
            for text in [(*text).to_owned(), format!("before {text}\nafter\n")] {
                let redacted = redact(&text);
                assert!(text.contains(canary), "a canary must be in its text: {text}");
                assert!(!redacted.text.contains(canary), "{text:?} became {:?}", redacted.text);
                assert!(redacted.removed >= 1);
            }
        }
        let all: Vec<_> = CANARIES
            .iter()
            .filter(|(text, _)| text.contains("END") || !text.contains("BEGIN"))
            .collect();
        let text = all.iter().map(|(text, _)| *text).collect::<Vec<_>>().join("\n");
        let redacted = redact(&text);
        for (_, canary) in all {
            assert!(!redacted.text.contains(canary), "{canary}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "palisade-console@tty1.service loaded active running\n",
            "keystore.passphrase_file = \"/run/palisade/passphrase\"  # flag\n",
            "passwordauthentication no\nPasswordAuthentication=no\n",
            "2026-11-22T13:36:26Z INFO palisade::bus: connected to 127.0.0.1:4280\n",
            "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
            "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01\n",
            "/dev/disk/by-uuid/0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0 ext4 rw,nosuid\n",
            "https://mirror.example.com/palisade/manifest.json\n",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            "error: cannot reach peer: Address already in use (os error 98)\n",
            "inet6 fe80::5054:ff:fe12:3456/64 scope link\n",
            "root:!:19000::::::\n",
        ] {
            assert_eq!(redact(text), Redacted { text: text.to_owned(), removed: 0 });
        }
    }

    #[test]
    fn a_line_keeps_what_stands_around_a_secret() {
        let redacted = redact("user=jane password=hunter2 host=db");
        assert_eq!(redacted.text, "user=jane password=[secret removed] host=db");
        let redacted = redact("http://u:p@proxy.test:3128/");
        assert_eq!(redacted.text, "http://[user and password removed]@proxy.test:3128/");
        let redacted = redact(r#"{"passphrase":"correct horse battery","x":"y z"}"#);
        assert_eq!(redacted.text, r#"{"passphrase":"[secret removed]","x":"y z"}"#);
        let redacted = redact("http://u:a,b;c=(d)'e@one.test,https://two.test/x?y=z@w");
        let expected = "http://[user and password removed]@one.test,https://two.test/x?y=z@w";
        assert_eq!(redacted, Redacted { text: expected.to_owned(), removed: 1 });
        let empty = r#"{"password":"","host":"db"}"#;
        assert_eq!(redact(empty), Redacted { text: empty.to_owned(), removed: 0 });
    }
}
