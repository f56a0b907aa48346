//! Long lines on a terminal: broken between words, with what follows indented, so that columns and names stay whole.

/// The columns of a terminal. None for anything else.
#[cfg(unix)]
pub fn columns(of: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// The same where it is not known.
#[cfg(not(unix))]
pub fn columns<T>(_: T) -> Option<usize> {
    None
}

/// The text in lines of at most `columns`, except for longer words. What continues a line is indented by `indent`, or by two more
/// than the line.
pub fn wrapped(text: &str, columns: usize, indent: Option<usize>) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| one(line, columns, indent)).collect();
    lines.join("\n")
}

fn one(line: &str, columns: usize, indent: Option<usize>) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let begins = line.len() - line.trim_start().len();
    let indent = indent.unwrap_or(begins + 2).min(columns / 2);
    let (mut out, mut at, mut is_empty) = (line[..begins].to_owned(), begins, true);
    let mut offset = begins;
    for word in line[begins..].split_inclusive(' ') {
        let wide = width(word.trim_end());
        // What follows a gap stays together, unless little stands before it.
        let is_cell = out.ends_with("  ") && at > columns / 2;
        let needed = if is_cell { width(&line[offset..]) } else { wide };
        offset += word.len();
        if !is_empty && wide > 0 && at + needed > columns {
            out.truncate(out.trim_end().len());
            out.push_str(&format!("\n{:indent$}", ""));
            (at, is_empty) = (indent, true);
        }
        // The rest of a gap between columns does not begin a line.
        if wide > 0 || !is_empty {
            out.push_str(word);
            (at, is_empty) = (at + width(word), false);
        }
    }
    out
}

/// The columns of a text. Colours have none.
fn width(text: &str) -> usize {
    let mut inside = false;
    let is_shown = |c: &char| {
        let was = inside;
        inside = *c == '\x1b' || inside && *c != 'm';
        !was && !inside
    };
    text.chars().filter(is_shown).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_continue_indented() {
        let line = "11:37:36Z   0.0s  load completions: service vllm-agg-0-frontend:8000 in namespace dynamo";
        assert_eq!(
            wrapped(line, 60, Some(18)),
            "11:37:36Z   0.0s  load completions: service\n                  vllm-agg-0-frontend:8000 in namespace\n\
             \x20                 dynamo"
        );
        assert_eq!(wrapped("  one two\nthree", 8, None), "  one\n    two\nthree");
        assert_eq!(wrapped("short", 80, None), "short");
        let row = "  pass  recovery time      0s ± 1s, at most 10s";
        assert_eq!(wrapped(row, 40, None), "  pass  recovery time\n    0s ± 1s, at most 10s", "a cell stays together");
        assert_eq!(
            wrapped("a name-that-is-longer-than-the-line b", 10, None),
            "a\n  name-that-is-longer-than-the-line\n  b"
        );
        assert_eq!(
            wrapped("\x1b[1;31mred\x1b[0m and \x1b[2mdim\x1b[0m", 11, None),
            "\x1b[1;31mred\x1b[0m and \x1b[2mdim\x1b[0m"
        );
    }
}
