//! The plot: one panel for each case and placement, with a bar for each entrant.

use super::Report;
use super::number::{number, power_of_ten};
use crate::measure::{Kind, Measured, Row, heading};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::ops::Range;

const WIDTH: u32 = 1_400;
const MARGIN: i32 = 16;
const LEGEND: u32 = 50;
const BAR: u32 = 20;
const TITLE: u32 = 30;
/// The scale below the bars, and the room below that.
const SCALE: u32 = 44;
/// Where the bars begin, and how much is left for figures behind them.
const NAMES: i32 = 300;
const FIGURES: i32 = 90;

const OURS: RGBColor = RGBColor(0x1b, 0x6e, 0xc2);
const LIMIT: RGBColor = RGBColor(0x55, 0x55, 0x55);
const PEERS: RGBColor = RGBColor(0xa9, 0xb8, 0xc6);
const OTHER_JOB: RGBColor = RGBColor(0xe3, 0xc5, 0x8a);
const LINES: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const PALE: RGBColor = RGBColor(0x70, 0x70, 0x70);

fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Base | Kind::Variant => OURS,
        Kind::Limit => LIMIT,
        Kind::Peer => PEERS,
        Kind::OtherJob => OTHER_JOB,
    }
}

/// A case in the first two of its placements; both have one scale, so that bars can be compared.
struct Line<'a> {
    panels: Vec<&'a Measured>,
    scale: Scale,
}

impl<'a> Line<'a> {
    fn new(panels: Vec<&'a Measured>) -> Self {
        let scale = Scale::of(panels.iter().flat_map(|measured| &measured.rows).map(Row::median));
        Self { panels, scale }
    }

    fn height(&self) -> u32 {
        let rows = self.panels.iter().map(|measured| measured.rows.len()).max();
        TITLE + BAR * rows.unwrap_or(0) as u32 + SCALE
    }
}

/// Logarithmic, from a power of ten that no bar begins at to the longest bar's end.
struct Scale {
    powers: Range<i32>,
    most: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) =
            values.fold((f64::MAX, 0.1_f64), |(least, most), value| (least.min(value), most.max(value)));
        // Short bars are seen, too.
        let begin = (least.clamp(0.1, most) / 1.5).log10().floor();
        Self { powers: begin as i32..most.log10().floor() as i32 + 1, most: most.log10() }
    }

    /// Where a value's bar ends.
    fn end(&self, value: f64) -> i32 {
        self.place(value.log10())
    }

    fn place(&self, power: f64) -> i32 {
        let room = f64::from(WIDTH as i32 / 2 - NAMES - FIGURES);
        let begin = f64::from(self.powers.start);
        NAMES + (room * (power - begin) / (self.most - begin)).round().max(0.0) as i32
    }
}

/// Every case of the workloads; how costs grow, and what idle apartments cost, is for a table.
pub(crate) fn svg(report: &Report) -> Result<String, Box<dyn Error>> {
    let shown: Vec<_> = report.measured.iter().filter(|measured| measured.workload.starts_with('W')).collect();
    let mut titles: Vec<(&str, &str)> = Vec::new();
    for measured in &shown {
        if !titles.contains(&(measured.workload, &measured.title)) {
            titles.push((measured.workload, &measured.title));
        }
    }
    let line = |title| {
        let of_it = shown.iter().copied().filter(|measured| (measured.workload, &*measured.title) == title);
        Line::new(of_it.take(2).collect())
    };
    let lines: Vec<_> = titles.into_iter().map(line).collect();
    let height = LEGEND + lines.iter().map(Line::height).sum::<u32>();
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let (top, mut rest) = area.split_vertically(LEGEND);
        legend(&top)?;
        for line in &lines {
            let (panels, below) = rest.split_vertically(line.height());
            rest = below;
            let (left, right) = panels.split_horizontally(WIDTH / 2);
            for (panel, measured) in [left, right].iter().zip(&line.panels) {
                draw(panel, measured, &line.scale)?;
            }
        }
        rest.present()?;
    }
    Ok(text)
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}

/// What the colors and the scale mean.
fn legend<B: DrawingBackend>(area: &DrawingArea<B, Shift>) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let kinds = [
        (Kind::Base, "apartment"),
        (Kind::Peer, "peers"),
        (Kind::Limit, "the least that can be had"),
        (Kind::OtherJob, "another job"),
    ];
    let mut left = MARGIN;
    for (kind, meaning) in kinds {
        area.draw(&Rectangle::new([(left, 14), (left + 15, 29)], color(kind).filled()))?;
        area.draw(&Text::new(meaning, (left + 22, 14), font(16)))?;
        left += 54 + 7 * meaning.len() as i32;
    }
    area.draw(&Text::new("Medians; shorter is better; the scales are logarithmic.", (left, 14), font(16)))?;
    Ok(())
}

/// Bars, each with its figure.
fn draw<B: DrawingBackend>(
    panel: &DrawingArea<B, Shift>,
    measured: &Measured,
    scale: &Scale,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let Measured { workload, title, placement, unit, rows, .. } = measured;
    let heading = format!("{} ({unit})", heading(workload, title, *placement));
    let bold = ("sans-serif", 18).into_font().style(FontStyle::Bold);
    panel.draw(&Text::new(heading, (MARGIN, 5), bold))?;
    let (top, bottom) = (TITLE as i32, (TITLE as usize + BAR as usize * rows.len()) as i32);
    let below = font(13).color(&PALE).pos(Pos::new(HPos::Center, VPos::Top));
    for power in scale.powers.clone() {
        let place = scale.place(power.into());
        panel.draw(&PathElement::new([(place, top - 2), (place, bottom)], LINES))?;
        panel.draw(&Text::new(power_of_ten(power), (place, bottom + 4), below.clone()))?;
    }
    for (index, row) in rows.iter().enumerate() {
        let top = top + BAR as i32 * index as i32;
        let end = scale.end(row.median()).max(NAMES + 1);
        panel.draw(&Text::new(row.name.clone(), (MARGIN, top + 1), font(15)))?;
        panel.draw(&Rectangle::new([(NAMES, top), (end, top + BAR as i32 - 5)], color(row.kind).filled()))?;
        // No line runs through a figure.
        let figure = number(row.median());
        let behind = [(end + 3, top), (end + 10 + 8 * figure.len() as i32, top + BAR as i32 - 5)];
        panel.draw(&Rectangle::new(behind, WHITE.filled()))?;
        panel.draw(&Text::new(figure, (end + 6, top + 1), font(15)))?;
    }
    Ok(())
}
