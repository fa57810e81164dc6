//! Draws a run: what came, what waited, and how many there were.

use std::fmt::Write as _;

use orderflow_chaos::elastic::{Look, Report};

const WIDTH: f64 = 960.0;
/// Of one of the three charts.
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 70.0;
const GAP: f64 = 46.0;
const TOP: f64 = 40.0;

/// Its title, its colour, its highest value, and what it shows of a second.
type Chart = (&'static str, &'static str, f64, fn(&Look) -> f64);

/// Returns the picture as SVG.
pub(super) fn draw(report: &Report, replicas_max: u32) -> String {
    let seconds = report.looks.last().map_or(1.0, |look| look.second.max(1) as f64);
    let most = |value: fn(&Look) -> f64| report.looks.iter().map(value).fold(1.0, f64::max);
    let charts: [Chart; 3] = [
        ("orders per second", "#7a8b99", most(|look| f64::from(look.rate)), |look| f64::from(look.rate)),
        ("lag, records", "#c0504d", most(|look| look.lag.unwrap_or_default()), |look| look.lag.unwrap_or_default()),
        ("instances wanted", "#2f6db3", f64::from(replicas_max), |look| look.wanted as f64),
    ];
    let height = TOP + charts.len() as f64 * (HEIGHT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">Processors scaled by their lag: {} orders, seed {}</text>", report.orders, report.seed);
    for (number, (title, colour, most, value)) in charts.into_iter().enumerate() {
        let bottom = TOP + number as f64 * (HEIGHT + GAP) + HEIGHT;
        let x = |second: f64| LEFT + second / seconds * (WIDTH - LEFT - 20.0);
        let y = |value: f64| bottom - value / most * (HEIGHT - 20.0);
        let mut path = format!("M {:.1} {bottom:.1}", x(0.0));
        let mut before = 0.0;
        for look in &report.looks {
            // In steps: a value holds until the next one.
            let _ = write!(path, " L {0:.1} {1:.1} L {0:.1} {2:.1}", x(look.second as f64), y(before), y(value(look)));
            before = value(look);
        }
        let _ = write!(path, " L {:.1} {bottom:.1} Z", x(seconds));
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"0.25\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\" stroke=\"#444\"/>", WIDTH - 20.0);
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>", bottom - HEIGHT + 12.0);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most:.0}</text>", LEFT - 6.0, y(most) + 4.0);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{bottom:.1}\" text-anchor=\"end\">0</text>", LEFT - 6.0);
        for tick in (0..=seconds as u64).step_by(30) {
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{tick} s</text>", x(tick as f64), bottom + 16.0);
        }
    }
    svg + "</svg>\n"
}
