//! A writer of HTML that escapes by construction.
//!
//! Markup is `&'static str`, which only this program's own source can provide; everything that is
//! known only at run time goes through [`Html::text`] or an [`Attribute`] value and is escaped on
//! its way. There is no third door.

/// A growing piece of an HTML document.
#[derive(Debug, Default)]
pub(crate) struct Html {
    out: String,
}

/// One attribute of a start tag.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attribute<'a> {
    /// `name="value"`, the value escaped.
    Value(&'static str, &'a str),
    /// A boolean attribute, present or left out.
    Flag(&'static str, bool),
}

impl Html {
    pub(crate) fn new() -> Html {
        Html::default()
    }

    /// Markup written by the programmer.
    pub(crate) fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.out.push_str(markup);
        self
    }

    /// Text of any origin.
    pub(crate) fn text(&mut self, text: &str) -> &mut Html {
        escape(&mut self.out, text);
        self
    }

    /// A start tag.
    pub(crate) fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) -> &mut Html {
        self.out.push('<');
        self.out.push_str(tag);
        for attribute in attributes {
            match attribute {
                Attribute::Value(name, value) => {
                    self.out.push(' ');
                    self.out.push_str(name);
                    self.out.push_str("=\"");
                    escape(&mut self.out, value);
                    self.out.push('"');
                }
                Attribute::Flag(_, false) => {}
                Attribute::Flag(name, true) => {
                    self.out.push(' ');
                    self.out.push_str(name);
                }
            }
        }
        self.out.push('>');
        self
    }

    /// An end tag.
    pub(crate) fn close(&mut self, tag: &'static str) -> &mut Html {
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        self
    }

    /// A whole element that holds text.
    pub(crate) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        text: &str,
    ) -> &mut Html {
        self.open(tag, attributes).text(text).close(tag)
    }

    /// Appends another piece, which was written by the same rules.
    pub(crate) fn append(&mut self, piece: &Html) -> &mut Html {
        self.out.push_str(&piece.out);
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.out
    }
}

/// Escapes for both places where text may stand: between tags and inside a double-quoted attribute.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A parser turns a bare CR into LF before it looks at anything else.
            '\r' => out.push_str("&#13;"),
            // There is no way to write NUL in HTML.
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html::new();
        write(&mut html);
        html.out
    }

    #[test]
    fn text_cannot_become_markup() {
        let html = written(|html| {
            html.text("<script>alert(\"1\" & '2')</script>");
        });
        assert_eq!(
            html,
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn attribute_values_cannot_leave_their_quotes() {
        let html = written(|html| {
            html.open(
                "input",
                &[Attribute::Value("value", "\" onfocus='x' autofocus=\"")],
            );
        });
        assert_eq!(
            html,
            "<input value=\"&quot; onfocus=&#39;x&#39; autofocus=&quot;\">"
        );
    }

    #[test]
    fn flags_are_present_or_absent() {
        let html = written(|html| {
            html.open(
                "input",
                &[
                    Attribute::Flag("checked", true),
                    Attribute::Flag("disabled", false),
                ],
            );
        });
        assert_eq!(html, "<input checked>");
    }

    #[test]
    fn elements_hold_escaped_text() {
        assert_eq!(
            written(|html| {
                html.element("p", &[Attribute::Value("class", "note")], "a < b");
            }),
            "<p class=\"note\">a &lt; b</p>"
        );
    }

    #[test]
    fn markup_passes_as_it_is() {
        assert_eq!(
            written(|html| {
                html.raw("<hr>");
            }),
            "<hr>"
        );
    }

    #[test]
    fn an_entity_in_text_stays_text() {
        assert_eq!(
            written(|html| {
                html.text("&lt;");
            }),
            "&amp;lt;"
        );
    }

    #[test]
    fn carriage_returns_survive_and_nul_does_not() {
        assert_eq!(
            written(|html| {
                html.text("a\r\n\0b");
            }),
            "a&#13;\n\u{FFFD}b"
        );
    }

    #[test]
    fn every_character_is_safe_in_both_places() {
        for character in (0..=0x2FFF).filter_map(char::from_u32) {
            let text = character.to_string();
            let html = written(|html| {
                html.element("a", &[Attribute::Value("title", &text)], &text);
            });
            let value = html.strip_prefix("<a title=\"").expect("the start tag");
            let (value, rest) = value.split_once("\">").expect("the end of the start tag");
            let content = rest.strip_suffix("</a>").expect("the end tag");
            assert!(!value.contains(['<', '>', '"', '\'']), "{character:?}");
            assert!(!content.contains(['<', '>']), "{character:?}");
        }
    }

    #[test]
    fn text_beyond_ascii_is_kept() {
        assert_eq!(
            written(|html| {
                html.text("Ústí nad Orlicí – 日本 🛰");
            }),
            "Ústí nad Orlicí – 日本 🛰"
        );
    }

    #[test]
    fn pieces_are_joined_without_a_second_escape() {
        let mut piece = Html::new();
        piece.element("b", &[], "&");
        assert_eq!(
            written(|html| {
                html.append(&piece);
            }),
            "<b>&amp;</b>"
        );
    }
}
