//! HTML in the making: markup is what the program's text says, everything else is escaped.

/// Most characters shown of one text from outside.
const SHOWN: usize = 400;

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup. `'static`, so that nothing from outside gets here.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text from wherever, safe in an element's content and in a quoted attribute. Long text is cut.
    pub fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        let mut chars = text.as_ref().chars();
        chars.by_ref().take(SHOWN).for_each(|c| self.push(c));
        if chars.next().is_some() {
            self.0.push('…');
        }
        self
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }

    fn push(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            '\n' | '\t' => self.0.push(c),
            c if c.is_control() || reorders(c) => self.0.extend(c.escape_unicode()),
            c => self.0.push(c),
        }
    }
}

/// Whether a character changes the direction of text after it, so that a label could make its neighbours read otherwise.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.finish()
    }

    #[test]
    fn text_is_escaped_and_cut() {
        assert_eq!(escaped(r#"<b a='1'>"&"#), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
        assert_eq!(escaped("a\u{202e}b\0"), r"a\u{202e}b\u{0}");
        assert_eq!(escaped(&"ä".repeat(SHOWN + 1)), "ä".repeat(SHOWN) + "…");
        assert_eq!(escaped(&"ä".repeat(SHOWN)), "ä".repeat(SHOWN));
    }

    proptest! {
        #[test]
        fn no_text_opens_a_tag_or_ends_an_attribute(text in any::<String>()) {
            prop_assert!(!escaped(&text).contains(['<', '>', '"', '\'']));
        }
    }
}
