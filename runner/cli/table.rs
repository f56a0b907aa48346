//! Tables on stdout: aligned columns, or Markdown. By hand, because it is one loop: no borders, no wrapped cells, no colours.

use super::console::clean;

/// A table with a head. Cells are one line each.
pub(super) fn table(head: &[&str], rows: &[Vec<String>], markdown: bool) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let cell = |text: &String| clean(text).replace('\n', " ");
    if markdown {
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().map(|text| cell(text).replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = format!("|{}\n", " --- |".repeat(head.len()));
        return line(&head) + &rule + &rows.iter().map(line).collect::<String>();
    }
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|text| cell(text).chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(text, width)| format!("{:width$}", cell(text), width = *width)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    line(&head) + &rows.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_markdown_keeps_its_bars() {
        let rows = [vec!["a".to_owned(), "x|y".to_owned()], vec!["longer".to_owned(), "two\nlines".to_owned()]];
        assert_eq!(table(&["one", "two"], &rows, false), "one     two\na       x|y\nlonger  two lines\n");
        assert_eq!(
            table(&["one", "two"], &rows, true),
            "| one | two |\n| --- | --- |\n| a | x\\|y |\n| longer | two lines |\n"
        );
    }
}
