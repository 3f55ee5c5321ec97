//! A plot of the ratios of one metric: a bar for each comparison, from 1 to the ratio, on a
//! logarithmic scale.

use std::fmt::Write;

use super::show_ratio;
use crate::table::figures::Metric;
use crate::table::results::{Comparison, Results};

const ROW: f64 = 18.0;
const TOP: f64 = 46.0;
/// The space for names, and for bars.
const NAMES: f64 = 330.0;
const BARS: f64 = 420.0;
const MARGIN: f64 = 50.0;

const AHEAD: &str = "#2a7f62";
const BEHIND: &str = "#c2512f";
/// What telemetry and other circumstances cost.
const VARIATION: &str = "#7a7f87";

/// Returns a plot of all ratios of a metric, if there are any.
pub(super) fn plot(results: &[Results], metric: Metric) -> Option<String> {
    let groups: Vec<(&str, Vec<(Comparison, f64)>)> = results
        .iter()
        .map(|results| {
            let all = results.comparisons().into_iter();
            let all = all.filter_map(|one| one.ratio(metric).map(|ratio| (one, ratio)));
            (
                results.title,
                all.filter(|(_, ratio)| *ratio > 0.0).collect(),
            )
        })
        .filter(|(_, all): &(_, Vec<_>)| !all.is_empty())
        .collect();
    let scale = Scale::of(
        groups
            .iter()
            .flat_map(|(_, all)| all)
            .map(|(_, ratio)| *ratio),
    )?;
    let rows: usize = groups.iter().map(|(_, all)| all.len() + 1).sum();
    let (width, height) = (NAMES + BARS + MARGIN, TOP + rows as f64 * ROW + 10.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}: ratios</text>\n\
         <text x=\"10\" y=\"34\" fill=\"#555555\">{} is better</text>\n",
        metric.title(),
        match metric.is_ahead(2.0) {
            true => "more",
            false => "less",
        },
    );
    let one = scale.x(1.0);
    let _ = writeln!(
        text,
        "<line x1=\"{one:.1}\" x2=\"{one:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#333333\"/>\n\
         <text x=\"{one:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1</text>",
        height - 10.0,
        TOP - 4.0,
    );
    let mut y = TOP;
    for (title, all) in &groups {
        let _ = writeln!(
            text,
            "<text x=\"10\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
            y + 13.0,
            escaped(&title.replace('`', "")),
        );
        y += ROW;
        for (comparison, ratio) in all {
            text += &bar(comparison, *ratio, metric, &scale, y);
            y += ROW;
        }
    }
    text += "</svg>\n";
    Some(text)
}

/// Returns a row.
fn bar(comparison: &Comparison, ratio: f64, metric: Metric, scale: &Scale, y: f64) -> String {
    let colour = match (comparison.is_peer, metric.is_ahead(ratio)) {
        (false, _) => VARIATION,
        (true, true) => AHEAD,
        (true, false) => BEHIND,
    };
    let (one, end) = (scale.x(1.0), scale.x(ratio));
    let (from, to) = (one.min(end), one.max(end));
    let name = format!("{} / {}", comparison.of, comparison.to);
    format!(
        "<text x=\"20\" y=\"{:.1}\">{}</text>\n\
         <rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        y + 13.0,
        escaped(&name),
        y + 3.0,
        to - from,
        ROW - 6.0,
        to + 4.0,
        y + 13.0,
        show_ratio(ratio),
    )
}

/// A logarithmic scale with 1 on it.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(ratios: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut any, mut least, mut most) = (false, 0.5_f64, 2.0_f64);
        for ratio in ratios {
            any = true;
            least = least.min(ratio);
            most = most.max(ratio);
        }
        any.then_some(Self { least, most })
    }

    fn x(&self, ratio: f64) -> f64 {
        let part = (ratio / self.least).ln() / (self.most / self.least).ln();
        NAMES + part * BARS
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::results::tests::results;

    #[test]
    fn a_plot_has_a_bar_for_each_comparison() {
        let text = plot(&[results()], Metric::PerSecond).unwrap();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert!(text.contains("hello &amp; more"));
        assert!(text.contains("more is better"));
        for colour in [AHEAD, BEHIND, VARIATION] {
            assert_eq!(text.matches(colour).count(), 1, "{colour}");
        }
    }

    #[test]
    fn what_was_not_measured_has_no_plot() {
        assert!(plot(&[results()], Metric::P99).is_none());
        assert!(plot(&[], Metric::PerSecond).is_none());
    }

    #[test]
    fn one_is_in_the_middle_of_a_half_and_two() {
        let scale = Scale::of([1.1].into_iter()).unwrap();
        assert!((scale.x(1.0) - (NAMES + BARS / 2.0)).abs() < 1e-6);
        assert!(Scale::of([].into_iter()).is_none());
    }
}
