//! The map of latencies of a timeline: time by latency, stronger where more requests were. It shows what percentiles hide,
//! such as two groups of answers, a fast one and a slow one.

use shakedown_schemas::result::Heat;

use super::panels::Area;
use crate::svg::{Path, Scale, Svg};
use crate::words;

/// How many shades there are.
const SHADES: usize = 6;

/// Draws the map: one path for each shade, so that thousands of cells stay small.
pub(crate) fn heat(svg: &mut Svg, area: &Area, heat: &Heat) {
    let edges: Vec<f64> = heat.edges_ms.iter().copied().filter(|edge| edge.is_finite() && *edge > 0.0).collect();
    let rows = || heat.cells.iter().map(|(_, row, _)| *row as usize).filter(|row| row + 1 < edges.len());
    let (Some(first), Some(last)) = (rows().min(), rows().max()) else { return };
    // The rows that hold something, and one more at each end: empty decades would press them together.
    let (low, high) = (edges[first.saturating_sub(1)], edges[(last + 2).min(edges.len() - 1)]);
    let scale = Scale::log(low, high, area.vertical());
    area.grid(svg, "Requests by latency (stronger: more requests)", scale, &scale.ticks(4), words::millis);
    let most = heat.cells.iter().map(|(_, _, count)| *count).max().unwrap_or(1).max(2) as f64;
    for shade in 0..SHADES {
        let mut path = Path::default();
        for (column, row, count) in &heat.cells {
            let Some([from, to]) = edges.get(*row as usize..*row as usize + 2).map(|it| [it[0], it[1]]) else {
                continue;
            };
            // By the logarithm: a single slow request is what the reader looks for, and must be seen.
            let share = (*count as f64).max(1.0).ln() / most.ln();
            if *count == 0 || ((share * (SHADES - 1) as f64).round() as usize).min(SHADES - 1) != shade {
                continue;
            }
            let start = f64::from(*column) * heat.column_s;
            let (x0, x1) = (area.time.at(start), area.time.at(start + heat.column_s));
            path.start(x0, scale.at(from));
            path.across(x1.max(x0 + 0.5));
            path.upright(scale.at(to));
            path.across(x0);
            path.close();
        }
        svg.path(&format!("heat heat-{shade}"), &path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_out_of_their_rows_are_left_out_and_few_requests_are_seen() {
        let mut svg = Svg::new("chart", 100.0, 100.0, "map");
        let area = Area { x: [0.0, 100.0], y: [10.0, 90.0], time: Scale::linear(0.0, 10.0, (0.0, 100.0)) };
        let map =
            Heat { column_s: 1.0, edges_ms: vec![1.0, 10.0, 100.0], cells: vec![(0, 0, 1000), (3, 1, 1), (4, 9, 5)] };
        heat(&mut svg, &area, &map);
        let svg = svg.finish();
        assert!(svg.contains(r#"<path class="heat heat-5" d="M0 90H10V50H0Z"/>"#), "{svg}");
        assert!(svg.contains(r#"<path class="heat heat-0" d="M30 50H40V10H30Z"/>"#), "{svg}");
        assert_eq!(svg.matches("<path").count(), 2, "{svg}");
    }
}
