//! The numbers of users and groups, as the machine's files have them.
//!
//! Owns: reading them. They are part of the image and never change there.
//! Must not know: what a user may do.

use std::fs;

use super::paths::Paths;

/// The number of a user and of his own group; nothing when there is no such user.
pub fn user(paths: &Paths, name: &str) -> Option<(u32, u32)> {
    let text = fs::read_to_string(paths.at("/etc/passwd")).ok()?;
    Some((number(&text, name, 2)?, number(&text, name, 3)?))
}

/// The number of a group; nothing when there is no such group.
pub fn group(paths: &Paths, name: &str) -> Option<u32> {
    number(&fs::read_to_string(paths.at("/etc/group")).ok()?, name, 2)
}

/// A field of the line of `name` in the text of a passwd or group file.
fn number(text: &str, name: &str, field: usize) -> Option<u32> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(field)?.parse().ok()
}
