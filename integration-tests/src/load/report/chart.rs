//! A line chart as inline SVG: no scripts, no fonts, no colours of its own (the page's style gives them).

use super::{html::escape, scale::Axis, words::figure};

/// The drawing's size in its own units; the page scales it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
/// What is left free around the plot for the axes' words.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// Height of the tallest mark along the bottom.
const MARK: f64 = 26.0;
/// Points beyond which no words are laid over each.
const MAX_HINTS: usize = 1_200;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) name: &'static str,
    /// Its points, left to right; none where there is a gap.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: &'static str,
    /// What is along the bottom.
    pub(super) along: &'static str,
    /// The unit of the values.
    pub(super) unit: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// At most three; each has its own colour.
    pub(super) lines: Vec<Line>,
    /// Where along the bottom something happened, and how often.
    pub(super) marks: Vec<(f64, u64)>,
    /// What the marks are.
    pub(super) marked: &'static str,
}

impl Chart {
    /// The chart as a figure; says so where there is nothing to draw.
    pub(super) fn figure(&self) -> String {
        let drawn = self
            .lines
            .iter()
            .any(|l| l.points.iter().any(|(_, y)| y.is_some()));
        let body = if drawn {
            format!("{}{}", self.legend(), self.svg())
        } else {
            "<p class=\"none\">Nothing was measured.</p>".to_owned()
        };
        format!(
            "<figure>\n<figcaption>{} <small>{}</small></figcaption>\n{body}</figure>\n",
            escape(self.title),
            escape(self.unit)
        )
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 && self.marks.is_empty() {
            return String::new();
        }
        let mut keys: String = self
            .lines
            .iter()
            .enumerate()
            .map(|(n, l)| format!("<span class=\"key k{n}\">{}</span>", escape(l.name)))
            .collect();
        if !self.marks.is_empty() {
            keys.push_str(&format!("<span class=\"key km\">{}</span>", escape(self.marked)));
        }
        format!("<p class=\"legend\">{keys}</p>\n")
    }

    fn svg(&self) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(&format!("{}, {}", self.title, self.unit))
        );
        out.push_str(&self.axes());
        out.push_str(&self.mark_strokes());
        for (n, line) in self.lines.iter().enumerate() {
            out.push_str(&self.stroke(n, line));
        }
        out.push_str(&self.hints());
        out.push_str("</svg>\n");
        out
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self) -> String {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut out = String::new();
        for (value, words) in self.y.marks() {
            let y = self.at_y(value);
            out.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>\n",
                LEFT - 8.0,
                y + 4.0
            ));
        }
        for (value, words) in self.x.marks() {
            let x = self.at_x(value);
            out.push_str(&format!(
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>\
                 <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{words}</text>\n",
                bottom + 4.0,
                bottom + 17.0
            ));
        }
        out.push_str(&format!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            f64::midpoint(LEFT, right),
            HEIGHT - 5.0,
            escape(self.along)
        ));
        out
    }

    fn mark_strokes(&self) -> String {
        let most = self.marks.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1) as f64;
        let bottom = HEIGHT - BOTTOM;
        self.marks
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(at, n)| {
                let x = self.at_x(*at);
                let top = bottom - MARK * (*n as f64 / most).max(0.15);
                format!(
                    "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom}\"/>\n"
                )
            })
            .collect()
    }

    /// A line, with a gap where a point has no value; a point alone between two gaps is a dot.
    fn stroke(&self, n: usize, line: &Line) -> String {
        let mut out = String::new();
        let stretches = line.points.split(|(_, y)| y.is_none());
        for stretch in stretches.filter(|s| !s.is_empty()) {
            let points: Vec<String> = stretch
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", self.at_x(*x), self.at_y(y.unwrap_or(0.0))))
                .collect();
            if let [(x, y)] = stretch {
                let (x, y) = (self.at_x(*x), self.at_y(y.unwrap_or(0.0)));
                out.push_str(&format!(
                    "<circle class=\"f{n}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>\n"
                ));
            } else {
                out.push_str(&format!(
                    "<polyline class=\"s{n}\" points=\"{}\"/>\n",
                    points.join(" ")
                ));
            }
        }
        out
    }

    /// What a pointer that rests on the chart is told: the values at that place.
    fn hints(&self) -> String {
        let Some(first) = self.lines.first().filter(|l| l.points.len() <= MAX_HINTS) else {
            return String::new();
        };
        let places: Vec<f64> = first.points.iter().map(|(x, _)| self.at_x(*x)).collect();
        let mut out = String::new();
        for (at, (x, _)) in first.points.iter().enumerate() {
            let here = places.get(at).copied().unwrap_or(LEFT);
            let before = at
                .checked_sub(1)
                .and_then(|b| places.get(b))
                .copied()
                .unwrap_or(here);
            let after = places.get(at + 1).copied().unwrap_or(here);
            let (from, to) = (f64::midpoint(before, here), f64::midpoint(here, after));
            let values: Vec<String> = self
                .lines
                .iter()
                .filter_map(|l| Some((l.name, l.points.get(at)?.1?)))
                .map(|(name, y)| format!("{name}: {}", figure(y)))
                .collect();
            out.push_str(&format!(
                "<rect class=\"hint\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{}</title></rect>\n",
                (to - from).max(0.5),
                HEIGHT - TOP - BOTTOM,
                escape(&format!("{} {}\n{}", self.along, short(*x), values.join("\n")))
            ));
        }
        out
    }
}

/// A place along the bottom, as exactly as a quantile needs.
fn short(x: f64) -> String {
    if x.fract() == 0.0 {
        format!("{x}")
    } else {
        format!("{x:.5}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>) -> Chart {
        Chart {
            title: "A & B",
            along: "seconds",
            unit: "per second",
            x: Axis::seconds(3.0),
            y: Axis::linear(10.0),
            lines: vec![Line { name: "a<b", points }],
            marks: vec![(1.0, 3), (2.0, 0)],
            marked: "halves turned",
        }
    }

    #[test]
    fn a_gap_cuts_a_line_and_a_lone_point_is_a_dot() {
        let svg = chart(vec![
            (0.0, Some(1.0)),
            (1.0, Some(2.0)),
            (2.0, None),
            (3.0, Some(10.0)),
        ])
        .figure();
        assert_eq!(svg.matches("<polyline").count(), 1, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert_eq!(svg.matches("class=\"mark\"").count(), 1, "{svg}");
        assert!(svg.contains("A &amp; B") && svg.contains("a&lt;b"), "{svg}");
    }

    #[test]
    fn nothing_measured_is_said() {
        let svg = chart(vec![(0.0, None)]).figure();
        assert!(
            svg.contains("Nothing was measured.") && !svg.contains("<svg"),
            "{svg}"
        );
    }

    #[test]
    fn values_beyond_the_axes_stay_in_the_plot() {
        let c = chart(Vec::new());
        assert_eq!(c.at_x(99.0), WIDTH - RIGHT);
        assert_eq!(c.at_y(99.0), TOP);
        assert_eq!(c.at_y(f64::from(-1)), HEIGHT - BOTTOM);
    }
}
