//! Text made safe within XML 1.0 and HTML, in an element or in a quoted attribute.
use crate::domain::visible;

/// No character is left that XML 1.0 forbids, and none that ends the text early.
pub fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_its_element_or_its_attribute_and_xml_allows_every_character() {
        let safe = markup(crate::domain::sample::HOSTILE);
        assert!(!safe.contains(['<', '>', '"', '\'', '\0', '\x1b', '\u{fffe}', '\u{ffff}']), "{safe}");
        assert!(safe.contains("&lt;script&gt;alert(1)&lt;/script&gt; ]]&gt; &amp;amp;"), "{safe}");
    }
}
