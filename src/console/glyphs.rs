//! The glyphs that every screen has: code page 437.

/// The glyphs above ASCII, in the order of the code page.
const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■";

/// Whether a screen of code page 437 can show it. Control characters it cannot.
pub(super) fn is_drawable(glyph: char) -> bool {
    matches!(glyph, ' '..='~') || UPPER.contains(glyph)
}

/// The text with another glyph for what cannot be shown.
pub(super) fn drawable(text: &str) -> String {
    let mut drawn = String::with_capacity(text.len());
    for glyph in text.chars() {
        match glyph {
            glyph if is_drawable(glyph) => drawn.push(glyph),
            '\u{2026}' => drawn.push_str("..."),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => drawn.push('-'),
            '\u{2018}' | '\u{2019}' => drawn.push('\''),
            '\u{201c}'..='\u{201e}' => drawn.push('"'),
            '\t' | '\u{a0}' => drawn.push(' '),
            glyph if glyph.is_control() => {}
            _ => drawn.push('?'),
        }
    }
    drawn
}

/// Breaks a text into rows of at most `width` glyphs, between words where that is possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut rows = vec![String::new()];
    for word in drawable(text).split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let row = rows.last_mut().expect("there is always one");
            let used = row.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.len() <= width {
                if gap > 0 {
                    row.push(' ');
                }
                row.extend(word);
                break;
            }
            if used == 0 {
                row.extend(word.drain(..width));
            }
            rows.push(String::new());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_page_has_its_glyphs_once() {
        let mut all: Vec<char> = UPPER.chars().collect();
        assert_eq!(all.len(), 127, "all of the upper half but the hard space");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 127);
    }

    #[test]
    fn what_cannot_be_shown_is_replaced() {
        assert_eq!(drawable("a→b…\u{1b}[2J„x“ – ü"), "a?b...[2J\"x\" - ü");
    }

    #[test]
    fn rows_are_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
