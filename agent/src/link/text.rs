//! Texts for people that come from elsewhere.

/// Characters of a text from elsewhere that are shown.
const MAX_SHOWN_CHARS: usize = 300;

/// A text from another process as it may be shown: without control characters (they can move a terminal's
/// cursor) and not endless.
pub fn for_people(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SHOWN_CHARS)
        .collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_escapes_nor_endless_texts_are_shown() {
        assert_eq!(for_people("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(for_people(&"x".repeat(1000)).chars().count(), MAX_SHOWN_CHARS + 1);
    }
}
