//! The one table that the benchmark prints.

use super::{Options, median};

/// Who may take part, in the order of the columns.
const COLUMNS: [&str; 6] = ["ours", "wrk", "wrk2", "h2load", "oha", "reference"];

struct Row {
    what: String,
    goal: String,
    cells: Vec<(&'static str, String)>,
    /// Whether the goal is met, and what else is to be said about that.
    met: Option<(bool, String)>,
}

/// Rows, as they were measured.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row: what is measured, its goal, what each program came to, and whether ours meets the goal.
    pub fn row(&mut self, what: &str, goal: &str, cells: Vec<(&'static str, String)>, met: Option<(bool, String)>) {
        self.rows.push(Row { what: what.to_owned(), goal: goal.to_owned(), cells, met });
        // A long run says where it is.
        if let Some(row) = self.rows.last() {
            eprintln!("  {}", row.text(&COLUMNS));
        }
    }

    /// Prints all rows as a table in Markdown.
    pub fn print(&self, options: &Options) {
        let taking_part: Vec<&str> = COLUMNS
            .into_iter()
            .filter(|name| self.rows.iter().any(|row| row.cells.iter().any(|(it, _)| it == name)))
            .collect();
        println!(
            "\nnginx with a small answer on loopback, {} cores shared by client and server; {} rounds of {} s, interleaved;\n\
             median (smallest–largest)\n",
            std::thread::available_parallelism().map_or(0, usize::from),
            options.rounds,
            options.seconds
        );
        println!("| what | goal | {} | met |", taking_part.join(" | "));
        println!("|{}", " --- |".repeat(taking_part.len() + 3));
        self.rows.iter().for_each(|row| println!("{}", row.text(&taking_part)));
        let judged: Vec<bool> = self.rows.iter().filter_map(|row| Some(row.met.as_ref()?.0)).collect();
        println!("\n{} of {} goals met", judged.iter().filter(|met| **met).count(), judged.len());
    }
}

impl Row {
    fn text(&self, columns: &[&str]) -> String {
        let cell = |name: &&str| self.cells.iter().find(|(it, _)| it == name).map_or("", |(_, text)| text.as_str());
        let met = self.met.as_ref().map_or_else(String::new, |(met, words)| {
            format!("{}{}{words}", if *met { "yes" } else { "**no**" }, if words.is_empty() { "" } else { ": " })
        });
        format!(
            "| {} | {} | {} | {met} |",
            self.what,
            self.goal,
            columns.iter().map(cell).collect::<Vec<_>>().join(" | ")
        )
    }
}

/// The middle value, and the range of several.
pub fn range(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let values: Vec<f64> = values.collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values.iter().copied());
    match values.len() {
        1 => format!("{middle:.digits$}"),
        _ => format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})"),
    }
}
