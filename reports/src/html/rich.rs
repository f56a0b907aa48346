//! Sentences of the result as markup: text in backticks is highlighted, and flags are never wrapped. Everything else is
//! plain text.

use crate::svg::escape;

/// The sentence as safe markup for an element.
pub(super) fn rich(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('`') {
        // A quote ends on its own line, and does not begin or end with a blank. Any other backtick is plain text.
        let end = behind.find(['`', '\n']).filter(|end| {
            let quoted = &behind[..*end];
            behind[*end..].starts_with('`') && !quoted.is_empty() && quoted.trim() == quoted
        });
        plain(&mut out, before);
        rest = match end {
            Some(end) => {
                out.push_str(&format!(r#"<b class="quote">{}</b>"#, escape(&behind[..end])));
                &behind[end + 1..]
            }
            None => {
                out.push('`');
                behind
            }
        };
    }
    plain(&mut out, rest);
    out
}

/// Escapes text, and keeps flags such as `--inject-anyway` on one line.
fn plain(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find("--") {
        let (before, flag) = rest.split_at(at);
        let length = flag.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(flag.len());
        out.push_str(&escape(before));
        if (4..=40).contains(&length) && !before.ends_with(|c: char| c.is_alphanumeric()) {
            out.push_str(&format!(r#"<span class="nowrap">{}</span>"#, &flag[..length]));
        } else {
            out.push_str(&escape(&flag[..length]));
        }
        rest = &flag[length..];
    }
    out.push_str(&escape(rest));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::HOSTILE;

    #[test]
    fn quotes_and_flags_are_markup_and_the_rest_is_text() {
        for (text, markup) in [
            ("p95 < 3 & more", "p95 &lt; 3 &amp; more"),
            ("`cut` never began", r#"<b class="quote">cut</b> never began"#),
            ("`<i>`", r#"<b class="quote">&lt;i&gt;</b>"#),
            ("one ` alone, `two\nlines`", "one ` alone, `two\nlines`"),
            ("`` and `", "`` and `"),
            ("allowed 1ms (--inject-anyway)", r#"allowed 1ms (<span class="nowrap">--inject-anyway</span>)"#),
            ("a--b -- c --<b>", "a--b -- c --&lt;b&gt;"),
        ] {
            assert_eq!(rich(text), markup, "{text}");
        }
        assert!(!rich(HOSTILE).contains("<img") && !rich(HOSTILE).contains("</script"));
    }
}
