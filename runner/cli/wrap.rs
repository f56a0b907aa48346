//! Text for a terminal: lines that end between words.

use console::{Term, measure_text_width};
use shakedown_schemas::Diagnostic;

/// The text with lines that fit this terminal, or as it is for anything else, such as a file. `hang` is the indent of a
/// line's rest, in addition to the line's own.
pub fn fitting(text: &str, terminal: &Term, hang: usize) -> String {
    match columns(terminal) {
        Some(columns) => wrapped(text, columns, hang),
        None => text.to_owned(),
    }
}

/// The columns of a terminal. None for anything else.
fn columns(terminal: &Term) -> Option<usize> {
    terminal.size_checked().filter(|_| terminal.is_term()).map(|(_, columns)| columns.into())
}

/// A problem of a file as it is drawn on this terminal, or on none.
pub fn drawn(problem: &Diagnostic, color: bool, terminal: &Term) -> String {
    match columns(terminal) {
        Some(columns) => drawn_within(problem, color, columns),
        None => problem.render(color),
    }
}

/// The lines of the file have the width already. The sentences around them do not.
fn drawn_within(problem: &Diagnostic, color: bool, columns: usize) -> String {
    let drawn = problem.render_within(color, columns);
    let line = |(number, line): (usize, &str)| match line.split_once("= ") {
        _ if number == 0 => wrapped_line(line, columns, 4),
        Some((before, rest)) if before.trim().is_empty() || console::strip_ansi_codes(before).trim().is_empty() => {
            // Under the words of the help.
            let label = rest.find(": ").map_or(0, |at| measure_text_width(&rest[..at + 2]));
            let own = before.len() - before.trim_start_matches(' ').len();
            wrapped_line(line, columns, (measure_text_width(before) + 2 + label).saturating_sub(own))
        }
        _ => line.to_owned(),
    };
    drawn.split('\n').enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// The text with lines of at most this width, if its words allow it. Names, paths, commands and YAML stay whole, so that they can
/// be copied.
fn wrapped(text: &str, width: usize, hang: usize) -> String {
    let mut is_yaml = false;
    let line = |line: &str| {
        is_yaml = line == "---" || line.starts_with("apiVersion: ") || is_yaml && !line.is_empty();
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
    fn a_problem_has_the_width_of_its_terminal() {
        let long = format!("version: 1\nname: {}{{{{ one }}}}{}\n", "a".repeat(150), "b".repeat(150));
        let problems = shakedown_schemas::parse("a.yaml", long.as_bytes(), &Default::default()).unwrap_err();
        let mut problem = problems.into_iter().find(|it| it.message.contains("`one`")).expect("an unknown variable");
        problem.help = Some("one two three four five six seven eight nine ten eleven twelve thirteen".to_owned());
        let longest = |columns, color| {
            let drawn = drawn_within(&problem, color, columns);
            drawn.lines().map(measure_text_width).max().unwrap_or_default()
        };
        for color in [false, true] {
            for columns in [60, 100, 200] {
                let longest = longest(columns, color);
                assert!(longest <= columns && longest > columns / 2, "{longest} of {columns}");
            }
            assert!(longest(400, color) > 310, "the whole line is shown where it fits");
        }
        let drawn = drawn_within(&problem, false, 60);
        assert!(drawn.ends_with("ten\n          eleven twelve thirteen"), "{drawn}");
    }

    #[test]
    fn colours_have_no_width() {
        let line = "\x1b[1;31mfail\x1b[0m  one two";
        assert_eq!(wrapped(line, 13, 2), line);
        assert_eq!(wrapped(line, 10, 2), "\x1b[1;31mfail\x1b[0m  one\n  two");
    }
}
