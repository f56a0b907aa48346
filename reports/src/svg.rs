//! Small SVG drawings as text: scales with round ticks, elements, and paths. Pure geometry; `html` decides what to draw.
//!
//! By hand, because colours are not set here: each element has a class, and the page's style sheet defines its look in light and
//! dark mode, for colour-blind eyes and in print. Chart libraries write colours into their drawings. Inline styles would also
//! need a weaker content security policy.

use std::fmt::{Display, Write as _};

/// The width of a character of the charts' 11 px text, in pixels. A generous estimate, so that measured text fits.
const CHARACTER: f64 = 6.7;

/// Maps values to pixels, on a linear or a logarithmic axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    domain: (f64, f64),
    range: (f64, f64),
    log: bool,
}

impl Scale {
    /// A linear axis. An empty domain is widened.
    pub(crate) fn linear(low: f64, high: f64, range: (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { domain: (low, high), range, log: false }
    }

    /// A logarithmic axis. `low` must be positive.
    pub(crate) fn log(low: f64, high: f64, range: (f64, f64)) -> Self {
        let low = low.max(1e-9);
        let high = if high > low { high } else { low * 10.0 };
        Self { domain: (low, high), range, log: true }
    }

    /// The pixel of a value. Values beyond the domain are clamped.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let value = if value.is_finite() { value.clamp(low, high) } else { low };
        let share = if self.log { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) };
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    pub(crate) const fn is_log(&self) -> bool {
        self.log
    }

    /// About `about` round values within the domain.
    pub(crate) fn ticks(&self, about: usize) -> Vec<f64> {
        let (low, high) = self.domain;
        if !self.log {
            return linear_ticks(low, high, nice_step((high - low) / about.max(1) as f64));
        }
        let decades = |multiples: &[f64]| -> Vec<f64> {
            let first = low.log10().floor() as i32;
            let last = high.log10().ceil() as i32;
            (first..=last)
                .flat_map(|power| multiples.iter().map(move |multiple| multiple * 10_f64.powi(power)))
                .filter(|value| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value))
                .collect()
        };
        let all: Vec<Vec<f64>> = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].into_iter().map(decades).collect();
        let fits = all.iter().find(|ticks| ticks.len() <= about + 1);
        let ticks = fits.or(all.last()).cloned().unwrap_or_default();
        // One tick alone is no scale: on a short axis there are round values in linear steps.
        let short = if ticks.len() < 2 {
            linear_ticks(low, high, nice_step((high - low) / about.max(1) as f64))
        } else {
            vec![]
        };
        if short.len() > ticks.len() { short } else { ticks }
    }
}

/// About `about` round times for a time axis in seconds, in steps of clock units.
pub(crate) fn time_ticks(length: f64, about: usize) -> Vec<f64> {
    const STEPS: [f64; 16] =
        [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0];
    let wanted = length / about.max(1) as f64;
    let step = if wanted < 1.0 {
        nice_step(wanted)
    } else {
        STEPS.into_iter().find(|step| *step >= wanted).unwrap_or_else(|| (wanted / 86400.0).ceil() * 86400.0)
    };
    linear_ticks(0.0, length, step)
}

/// The smallest of 1, 2, 2.5 or 5 times a power of ten that is at least `step`.
fn nice_step(step: f64) -> f64 {
    if !step.is_finite() || step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|it| it * power).find(|it| *it >= step * 0.999).unwrap_or(10.0 * power)
}

fn linear_ticks(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    // A domain so far from zero that rounding swallows the steps has no ticks.
    if last.saturating_sub(first) > 1000 { Vec::new() } else { (first..=last).map(|k| k as f64 * step).collect() }
}

/// The next round end of an axis that begins at zero and contains `value`.
pub(crate) fn nice_end(value: f64, about: usize) -> f64 {
    let step = nice_step(value / about.max(1) as f64);
    ((value / step - 1e-9).ceil() * step).max(step)
}

/// A coordinate with at most one decimal.
pub(crate) fn px(value: f64) -> String {
    let tenths = (value * 10.0).round() as i64;
    if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{:.1}", tenths as f64 / 10.0) }
}

/// The approximate width of a text, in pixels.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// The text, truncated to a width in pixels. Empty if not even a few characters fit.
pub(crate) fn fit(text: &str, width: f64) -> String {
    let most = (width / CHARACTER).floor().max(0.0) as usize;
    if text.chars().count() <= most {
        text.to_owned()
    } else if most < 4 {
        String::new()
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}

/// Escapes text for the content and the attributes of elements.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// The alignment of a text at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The text begins at the point.
    Start,
    /// The text's middle is the point.
    Middle,
    /// The text ends at the point.
    End,
}

/// A drawing in progress.
#[derive(Debug)]
pub(crate) struct Svg {
    out: String,
}

impl Svg {
    /// Begins a drawing of a size in pixels that scales with its container. The label is for screen readers.
    pub(crate) fn new(class: &str, width: f64, height: f64, label: &str) -> Self {
        let out = format!(
            r#"<svg class="{class}" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">"#,
            w = px(width),
            h = px(height),
            label = escape(label),
        );
        Self { out }
    }

    /// Ends the drawing.
    pub(crate) fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }

    /// A rectangle. One without area is omitted.
    pub(crate) fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4]) {
        if width > 0.0 && height > 0.0 {
            self.empty("rect", class, &[("x", &px(x)), ("y", &px(y)), ("width", &px(width)), ("height", &px(height))]);
        }
    }

    /// A place that links lead to. It is visible while it is the target of one.
    pub(crate) fn place(&mut self, id: &str, [x, y, width, height]: [f64; 4]) {
        let rect = [px(x), px(y), px(width), px(height)];
        self.empty(
            "rect",
            "place",
            &[("id", &id), ("x", &rect[0]), ("y", &rect[1]), ("width", &rect[2]), ("height", &rect[3])],
        );
    }

    /// A rectangle with a tooltip.
    pub(crate) fn titled_rect(&mut self, class: &str, [x, y, width, height]: [f64; 4], title: &str) {
        let (x, y, width, height) = (px(x), px(y), px(width.max(1.0)), px(height));
        let _ = write!(
            self.out,
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"><title>{}</title></rect>"#,
            escape(title)
        );
    }

    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        self.empty("line", class, &[("x1", &px(x1)), ("y1", &px(y1)), ("x2", &px(x2)), ("y2", &px(y2))]);
    }

    /// A dot.
    pub(crate) fn circle(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        self.empty("circle", class, &[("cx", &px(x)), ("cy", &px(y)), ("r", &px(radius))]);
    }

    /// A path. An empty one is omitted.
    pub(crate) fn path(&mut self, class: &str, path: &Path) {
        if !path.data.is_empty() {
            self.empty("path", class, &[("d", &path.data)]);
        }
    }

    /// A text. An empty one is omitted.
    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        if text.is_empty() {
            return;
        }
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let _ =
            write!(self.out, r#"<text class="{class}" x="{}" y="{}"{anchor}>{}</text>"#, px(x), px(y), escape(text));
    }

    fn empty(&mut self, tag: &str, class: &str, attributes: &[(&str, &dyn Display)]) {
        let _ = write!(self.out, r#"<{tag} class="{class}""#);
        for (name, value) in attributes {
            let _ = write!(self.out, r#" {name}="{value}""#);
        }
        self.out.push_str("/>");
    }
}

/// The data of a path.
#[derive(Debug, Default)]
pub(crate) struct Path {
    data: String,
}

impl Path {
    /// Begins a line at a point.
    pub(crate) fn start(&mut self, x: f64, y: f64) {
        let _ = write!(self.data, "M{} {}", px(x), px(y));
    }

    /// Draws on to a point.
    pub(crate) fn to(&mut self, x: f64, y: f64) {
        let _ = write!(self.data, "L{} {}", px(x), px(y));
    }

    /// Draws a horizontal line to an x coordinate.
    pub(crate) fn across(&mut self, x: f64) {
        let _ = write!(self.data, "H{}", px(x));
    }

    /// Draws a vertical line to a y coordinate.
    pub(crate) fn upright(&mut self, y: f64) {
        let _ = write!(self.data, "V{}", px(y));
    }

    /// Closes the path.
    pub(crate) fn close(&mut self) {
        self.data.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(Scale::linear(0.0, 20.0, (0.0, 1.0)).ticks(4), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(Scale::linear(0.93, 1.0, (0.0, 1.0)).ticks(4).len(), 4);
        assert_eq!(Scale::log(1.0, 100.0, (0.0, 1.0)).ticks(4), [1.0, 3.0, 10.0, 30.0, 100.0]);
        assert_eq!(Scale::log(1.0, 1e6, (0.0, 1.0)).ticks(6).len(), 7);
        for (low, high) in [(14.3, 45.0), (11.0, 19.0), (21.0, 49.0), (14.3, 235.3), (13.0, 900.0), (31.0, 99.0)] {
            let ticks = Scale::log(low, high, (0.0, 1.0)).ticks(4);
            assert!((2..=6).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
        }
        assert_eq!(time_ticks(121.0, 6), [0.0, 30.0, 60.0, 90.0, 120.0]);
        assert_eq!(time_ticks(3600.0, 8).len(), 7);
        assert_eq!(time_ticks(1e9, 8).len(), 8);
        assert_eq!(nice_end(19.0, 4), 20.0);
        assert_eq!(nice_end(0.0, 4), 1.0);
    }

    #[test]
    fn scales_stay_within_their_range() {
        let scale = Scale::log(1.0, 100.0, (200.0, 0.0));
        assert_eq!(scale.at(10.0), 100.0);
        assert_eq!(scale.at(0.0), 200.0);
        assert_eq!(scale.at(f64::NAN), 200.0);
        assert_eq!(Scale::linear(5.0, 5.0, (0.0, 10.0)).at(6.0), 10.0);
        assert!(Scale::linear(0.0, f64::MAX, (0.0, 10.0)).at(1.0).is_finite());
    }

    #[test]
    fn text_is_escaped_and_fits() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(fit("baseline", 100.0), "baseline");
        assert_eq!(fit("baseline", 40.3), "basel…");
        assert_eq!(fit("baseline", 10.0), "");
        assert_eq!(px(12.0), "12");
        assert_eq!(px(-0.04), "0");
        assert_eq!(px(3.25), "3.3");
    }
}
