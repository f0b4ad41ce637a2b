//! What an agent or a remote side said, made harmless to look at (each format escapes further in its own way), and the
//! word that somebody may have meant.

/// Control characters and those that reorder a line are shown, not obeyed; newlines and tabs stay.
pub fn visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        if (c.is_control() && c != '\n' && c != '\t') || reorders {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The same as one line.
pub fn one_line(text: &str) -> String {
    visible(text.trim()).replace(['\n', '\t'], " ")
}

/// The known word that differs least, if it differs by little.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > 100 {
        return None;
    }
    let bound = (wrong.chars().count() / 3).max(1);
    let same = |a: &str, b: &str| a.replace(['-', '_'], "").eq_ignore_ascii_case(&b.replace(['-', '_'], ""));
    let distance = |word: &&str| if same(word, wrong) { 0 } else { strsim::damerau_levenshtein(word, wrong) };
    known.map(|word| (distance(&word), word)).filter(|(far, _)| *far <= bound).min().map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_drive_a_terminal_is_shown_instead() {
        assert_eq!(visible("ok\x1b[2J\u{202e}\r\n\t\u{9b}é"), "ok\\u{1b}[2J\\u{202e}\\u{d}\n\t\\u{9b}é");
        assert_eq!(one_line(" a\nb\tc\n"), "a b c");
    }
}
