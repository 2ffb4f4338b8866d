//! Bars of one figure: a panel for each workload, since their figures are of different sizes, and a bar for each target.

use std::fmt::Write as _;

const PANEL_WIDTH: usize = 250;
const PANEL_HEIGHT: usize = 170;
const PANELS_IN_ROW: usize = 3;
const BARS_HEIGHT: f64 = 110.0;
const COLOURS: [&str; 8] = ["#8c8c8c", "#c98a2b", "#2b6cc9", "#7a4fc0", "#2b9c6a", "#c9462b", "#5a6472", "#b04a8c"];

/// Of each workload, the targets that have a figure. It reads on light and on dark ground.
pub(crate) fn bars(title: &str, targets: &[String], workloads: &[(&'static str, Vec<(&str, f64)>)]) -> String {
    let rows = workloads.len().div_ceil(PANELS_IN_ROW);
    let (width, head) = (PANEL_WIDTH * PANELS_IN_ROW, 50);
    let height = head + rows * PANEL_HEIGHT;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='11' fill='#808080'>\n\
         <text x='8' y='18' font-size='14'>{title}</text>\n"
    );
    let mut x = 8;
    for (number, target) in targets.iter().enumerate() {
        let target = target.replace('&', "&amp;").replace('<', "&lt;");
        let colour = COLOURS[number % COLOURS.len()];
        _ = writeln!(
            svg,
            "<rect x='{x}' y='28' width='10' height='10' fill='{colour}'/><text x='{}' y='37'>{target}</text>",
            x + 14
        );
        x += 34 + target.len() * 7;
    }
    for (number, (workload, figures)) in workloads.iter().enumerate() {
        let left = number % PANELS_IN_ROW * PANEL_WIDTH + 8;
        let top = head + number / PANELS_IN_ROW * PANEL_HEIGHT;
        _ = writeln!(svg, "<text x='{left}' y='{}' font-weight='bold'>{workload}</text>", top + 14);
        let most = figures.iter().map(|(_, figure)| *figure).fold(f64::MIN_POSITIVE, f64::max);
        let step = (PANEL_WIDTH - 20) / targets.len().max(1);
        let floor = top as f64 + 30.0 + BARS_HEIGHT;
        for (target, figure) in figures.iter().filter(|(_, figure)| *figure > 0.0) {
            let place = targets.iter().position(|name| name == target).unwrap_or(0);
            let (x, high) = (left + place * step, BARS_HEIGHT * figure / most);
            let colour = COLOURS[place % COLOURS.len()];
            let shown = if *figure < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") };
            _ = writeln!(
                svg,
                "<rect x='{x}' y='{:.1}' width='{}' height='{high:.1}' fill='{colour}'><title>{target}: {shown}</title></rect>\
                 <text x='{x}' y='{:.1}'>{shown}</text>",
                floor - high,
                step - 6,
                floor - high - 3.0,
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
