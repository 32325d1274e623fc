//! A patient's report as a page that stands by itself: no script, nothing loaded, readable on paper.

use std::fmt::Write as _;

use super::report::Told;

const STYLE: &str = "body{font:1.1rem/1.5 sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem;color:#212b32}\
h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2rem}li{margin:.4rem 0}";

/// The page.
pub(super) fn html(told: &Told) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en-GB\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{0}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n",
        escaped(&told.title)
    );
    for sentence in &told.intro {
        let _ = writeln!(out, "<p>{}</p>", escaped(sentence));
    }
    for (heading, when_empty, sentences) in &told.parts {
        let _ = writeln!(out, "<h2>{}</h2>", escaped(heading));
        if sentences.is_empty() {
            let _ = writeln!(out, "<p>{}</p>", escaped(when_empty));
            continue;
        }
        out.push_str("<ul>\n");
        for sentence in sentences {
            let _ = writeln!(out, "<li>{}</li>", escaped(sentence));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Text that is not to be taken for markup.
fn escaped(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::audit::report::tests::sample;

    #[test]
    fn a_page_says_what_the_text_says_and_takes_no_name_for_markup() {
        let page = html(&Told::of(&sample()));
        assert!(page.contains("St Anne&#39;s &lt;Hospital&gt; (Z00303)"), "{page}");
        assert!(page.contains("Hill &amp; Vale"));
        assert!(!page.contains("<Hospital>") && !page.contains("<script"));
        assert_eq!(page.matches("<h2>").count(), 3);
    }
}
