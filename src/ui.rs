//! The browser's part: the built pages inside the binary.
//!
//! Owns: finding an embedded file by path, in the encoding that the browser
//! takes, with its type and how long it may be kept.
//! Must not know: axum. Debug builds read the files from disk at every request.

use std::borrow::Cow;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "assets/dist"]
#[allow_missing = true]
struct Assets;

/// The page that every path without a file shows; the browser routes from there.
const PAGE: &str = "index.html";

/// Only our own scripts, styles and answers; nothing from anywhere else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types svelte-trusted-html";

/// A file as it goes to the browser.
#[derive(Debug)]
pub struct Asset {
    /// The bytes, perhaps compressed.
    pub bytes: Cow<'static, [u8]>,
    /// Media type.
    pub content_type: &'static str,
    /// `br` or `gzip` when compressed.
    pub encoding: Option<&'static str>,
    /// Whether its name changes with its content, so that it never needs to be asked for again.
    pub immutable: bool,
}

/// The file at `path`, or the page for every path that could be one of its
/// routes. `None` for a missing file.
pub fn find(path: &str, accept_encoding: &str) -> Option<Asset> {
    let name = path.trim_start_matches('/');
    let is_file = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let name = if is_file { name } else { PAGE };
    let encodings = [("br", "br"), ("gz", "gzip")];
    let packed = encodings.into_iter().find_map(|(ending, encoding)| {
        let wanted = accept_encoding.split(',').any(|offer| offer.trim() == encoding);
        let file = wanted.then(|| Assets::get(&format!("{name}.{ending}"))).flatten()?;
        Some((file, Some(encoding)))
    });
    let (file, encoding) = packed.or_else(|| Some((Assets::get(name)?, None)))?;
    Some(Asset {
        bytes: file.data,
        content_type: content_type(name),
        encoding,
        immutable: name.starts_with("assets/"),
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "webmanifest" => "application/json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
