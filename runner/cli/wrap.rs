//! Text for a terminal: lines that end between words.

use console::{Term, measure_text_width};

/// The text with lines that fit this terminal, or as it is for anything else, such as a file. `hang` is the indent of a
/// line's rest, in addition to the line's own.
pub fn fitting(text: &str, terminal: &Term, hang: usize) -> String {
    match terminal.size_checked().filter(|_| terminal.is_term()) {
        Some((_, columns)) => wrapped(text, columns.into(), hang),
        None => text.to_owned(),
    }
}

/// The text with lines of at most this width, if its words allow it. Names, paths, commands and YAML stay whole, so that they can
/// be copied.
fn wrapped(text: &str, width: usize, hang: usize) -> String {
    let mut is_yaml = false;
    let line = |line: &str| {
        is_yaml = line == "---" || is_yaml && !line.is_empty();
        let is_command = ["kubectl ", "shakedown "].iter().any(|name| line.trim_start().starts_with(name));
        if is_yaml || is_command { line.to_owned() } else { wrapped_line(line, width, hang) }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, width: usize, hang: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    let own = line.len() - line.trim_start_matches(' ').len();
    let indent = " ".repeat((own + hang).min(width / 2));
    let mut words = line[own..].split(' ');
    let first = words.next().unwrap_or_default();
    let mut out = " ".repeat(own) + first;
    let mut used = own + measure_text_width(first);
    for word in words {
        let length = measure_text_width(word);
        // Spaces between columns do not begin a line.
        if word.is_empty() || used + 1 + length <= width {
            (out, used) = (out + " " + word, used + 1 + length);
        } else {
            out.truncate(out.trim_end_matches(' ').len());
            (out, used) = (out + "\n" + &indent + word, indent.len() + length);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words_and_columns_stay() {
        let line = "  fail          cut: p95 at most 500ms                1.05s, at most 500ms: p95 was 1.05s";
        let text = format!("short  line\n{line}\n");
        let expected =
            "short  line\n  fail          cut: p95 at most 500ms\n      1.05s, at most 500ms: p95 was\n      1.05s\n";
        assert_eq!(wrapped(&text, 40, 4), expected);
        assert_eq!(wrapped(&text, 100, 4), text);
        let copied = "---\nkind: A very long line of YAML\n\n    kubectl delete job shakedown-fuse -n shop";
        assert_eq!(wrapped(copied, 10, 2), copied);
        assert_eq!(wrapped("a/very/long/path/of/a/file rest", 10, 2), "a/very/long/path/of/a/file\n  rest");
    }

    #[test]
    fn colours_have_no_width() {
        let line = "\x1b[1;31mfail\x1b[0m  one two";
        assert_eq!(wrapped(line, 13, 2), line);
        assert_eq!(wrapped(line, 10, 2), "\x1b[1;31mfail\x1b[0m  one\n  two");
    }
}
