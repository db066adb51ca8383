//! The plot: a panel for each thing that must not grow, over the calls.

use crate::sample::Sample;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (1_200, 900);
const HEAD: u32 = 60;
const REST: RGBColor = RGBColor(0x1b, 0x6e, 0xc2);
const MIDDLE: RGBColor = RGBColor(0xc9, 0xd4, 0xde);
const LINES: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn svg(samples: &[Sample], title: &str) -> Result<String> {
    let mut text = String::new();
    draw(&mut text, samples, title).map_err(|error| anyhow!("the plot cannot be drawn: {error}"))?;
    Ok(text)
}

fn draw(text: &mut String, samples: &[Sample], title: &str) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (head, below) = area.split_vertically(HEAD);
    head.draw(&Text::new(title, (16, 8), ("sans-serif", 18).into_font()))?;
    let mut left = 16;
    for (color, what) in [(REST, "at rest: a round has let go everything"), (MIDDLE, "in the middle of a round")] {
        head.draw(&Rectangle::new([(left, 40), (left + 12, 45)], color.filled()))?;
        head.draw(&Text::new(what, (left + 18, 35), ("sans-serif", 14).into_font()))?;
        left += 300;
    }
    let panels = below.split_evenly((2, 2));
    panel(&panels[0], samples, "held by the program, KiB", |sample| sample.held as f64 / 1_024.0)?;
    panel(&panels[1], samples, "resident memory, MiB", |sample| sample.resident as f64 / 1_048_576.0)?;
    panel(&panels[2], samples, "threads, besides the main one", |sample| sample.threads as f64)?;
    panel(&panels[3], samples, "handles", |sample| sample.handles as f64)?;
    area.present()?;
    Ok(())
}

fn panel(
    area: &Panel<'_>,
    samples: &[Sample],
    what: &str,
    of: fn(&Sample) -> f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let millions = |sample: &Sample| sample.calls as f64 / 1e6;
    let right = samples.iter().map(millions).fold(1e-3, f64::max);
    let top = samples.iter().map(of).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(what, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart.configure_mesh().max_light_lines(0).bold_line_style(LINES).x_desc("million calls").draw()?;
    for (at_rest, color) in [(false, MIDDLE), (true, REST)] {
        let chosen = samples.iter().filter(|sample| sample.at_rest == at_rest);
        let points: Vec<_> = chosen.map(|sample| (millions(sample), of(sample))).collect();
        chart.draw_series([PathElement::new(points, color)])?;
    }
    Ok(())
}
