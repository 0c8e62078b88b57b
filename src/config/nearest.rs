//! Suggesting what somebody meant when they misspelt a name.
//!
//! Owns: the distance between two names and when a suggestion helps.
//! Must not know: what the names are for.

/// `: did you mean …?` for the candidate nearest to `written`, or nothing when
/// none is near enough to be what was meant.
pub(super) fn suggestion(written: &str, candidates: impl Iterator<Item = String>) -> String {
    nearest(written, candidates)
        .map_or(String::new(), |candidate| format!(": did you mean {candidate}?"))
}

/// The candidate nearest to `written`, if it is near enough to be what was meant.
pub(crate) fn nearest(written: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let near = (written.chars().count() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (distance(written, &candidate), candidate))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be inserted, removed or replaced to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from_char) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to_char) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from_char != *to_char);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_near_and_another_word_is_not() {
        let names = || ["server.listen", "server.fqdn"].into_iter().map(Into::into);
        assert_eq!(suggestion("server.listn", names()), ": did you mean server.listen?");
        assert_eq!(suggestion("colour", names()), "");
    }
}
