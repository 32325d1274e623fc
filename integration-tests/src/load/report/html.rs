//! Text in HTML.
//!
//! Invariant: whatever comes from a file goes through [`escape`]; it can be neither an element nor an
//! attribute.

/// Text as it may stand in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A table of two columns.
pub(super) fn pairs(rows: &[(String, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
                escape(name),
                escape(value)
            )
        })
        .collect();
    format!("<table><tbody>\n{rows}</tbody></table>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_could_be_an_element_or_end_an_attribute() {
        assert_eq!(
            escape("<b a=\"x\" c='y'>&amp;"),
            "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;amp;"
        );
        let table = pairs(&[("<i>".to_owned(), "</td>".to_owned())]);
        assert!(
            table.contains("&lt;i&gt;") && table.contains("&lt;/td&gt;"),
            "{table}"
        );
    }
}
