//! The plot: one panel for each case and placement, with a bar for each entrant.

use super::Report;
use super::number::number;
use crate::measure::{Kind, Measured, Row, heading};
use crate::place::Placement;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

const WIDTH: u32 = 1_400;
const BAR: u32 = 20;
const TITLE: u32 = 34;
/// Where the bars begin, and how much is left for figures behind them.
const NAMES: i32 = 270;
const FIGURES: i32 = 90;

const OURS: RGBColor = RGBColor(0x1b, 0x6e, 0xc2);
const LIMIT: RGBColor = RGBColor(0x55, 0x55, 0x55);
const OTHERS: RGBColor = RGBColor(0xb8, 0xc4, 0xd0);

/// Two columns: across cores, and on one.
const COLUMNS: [Placement; 2] = [Placement::Cross, Placement::Same];

/// Every case of the workloads; how costs grow is for a table.
pub(crate) fn svg(report: &Report) -> Result<String, Box<dyn Error>> {
    let shown: Vec<_> = report.measured.iter().filter(|measured| COLUMNS.contains(&measured.placement)).collect();
    let mut titles: Vec<(&str, &str)> = Vec::new();
    for measured in shown.iter().filter(|measured| measured.workload != "growth") {
        if !titles.contains(&(measured.workload, &measured.title)) {
            titles.push((measured.workload, &measured.title));
        }
    }
    let of = |title: (&str, &str), placement| {
        let is_it = |measured: &&&Measured| {
            (measured.workload, &*measured.title, measured.placement) == (title.0, title.1, placement)
        };
        shown.iter().find(is_it).copied()
    };
    let height_of = |title| {
        let rows =
            COLUMNS.iter().filter_map(|&placement| of(title, placement)).map(|measured| measured.rows.len()).max();
        TITLE + BAR * rows.unwrap_or(0) as u32 + BAR
    };
    let height = titles.iter().map(|&title| height_of(title)).sum::<u32>().max(1);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut rest = area;
        for &title in &titles {
            let (panels, below) = rest.split_vertically(height_of(title));
            rest = below;
            let (left, right) = panels.split_horizontally(WIDTH / 2);
            for (panel, placement) in [left, right].iter().zip(COLUMNS) {
                if let Some(measured) = of(title, placement) {
                    draw(panel, measured)?;
                }
            }
        }
        rest.present()?;
    }
    Ok(text)
}

/// Bars on a logarithmic scale, each with its figure.
fn draw<B: DrawingBackend>(panel: &DrawingArea<B, Shift>, measured: &Measured) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let Measured { workload, title, placement, unit, rows, .. } = measured;
    let heading = format!("{} ({unit}, logarithmic)", heading(workload, title, *placement));
    panel.draw(&Text::new(heading, (10, 10), ("sans-serif", 18).into_font().style(FontStyle::Bold)))?;
    let medians = || rows.iter().map(Row::median);
    // From half of the least, so that it has a bar, too.
    let least = medians().fold(f64::MAX, f64::min).max(0.1) / 2.0;
    let most = medians().fold(f64::MIN, f64::max);
    let room = f64::from(WIDTH as i32 / 2 - NAMES - FIGURES);
    let small = ("sans-serif", 15).into_font();
    for (index, row) in rows.iter().enumerate() {
        let top = TITLE as i32 + BAR as i32 * index as i32;
        let part = (row.median() / least).ln() / (most / least).ln();
        let end = NAMES + (room * part).round().max(1.0) as i32;
        let color = match row.kind {
            Kind::Base | Kind::Variant => OURS,
            Kind::Limit => LIMIT,
            Kind::Peer | Kind::OtherJob => OTHERS,
        };
        panel.draw(&Text::new(row.name.clone(), (10, top), small.clone()))?;
        panel.draw(&Rectangle::new([(NAMES, top), (end, top + BAR as i32 - 5)], color.filled()))?;
        panel.draw(&Text::new(number(row.median()), (end + 6, top), small.clone()))?;
    }
    Ok(())
}
