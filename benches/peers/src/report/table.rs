//! Tables, in Markdown, which is read on a console as well.

use super::Report;
use super::number::{number, rate};
use crate::measure::{Kind, Measured, Row, Waits, heading, quantile};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

const HEAD: &str = "\
<!-- Written by `cargo run --release --manifest-path benches/peers/Cargo.toml`. -->

# The figures of a run

";

const HOW_TO_READ: &str = "
A figure is the median of the rounds, a spread their first and third quartiles. A ratio is the median of the rounds'
ratios: *× ours* says how many times as long the entrant takes as `apartment` does in the same round, above 1 we are
faster. *cross*: the callers' threads are kept on one core, the callee's on another; *same*: all on one core; *unpinned*:
where the system puts them. Allocations and voluntary context switches (a thread falls asleep) are those of the whole
process, per operation.

";

/// One case with all that is known of it.
pub(crate) fn console(measured: &Measured) -> String {
    let Measured { workload, title, placement, notes, .. } = measured;
    format!("{}\n{}\n{notes}", heading(workload, title, *placement), details(measured))
}

/// The whole run.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = format!("{HEAD}{}\n{HOW_TO_READ}", report.machine);
    report.notes.iter().for_each(|note| text.push_str(&format!("{note}\n\n")));
    text.push_str("## In short\n\n");
    let mut told: Vec<(&str, &str)> = Vec::new();
    for measured in &report.measured {
        let Measured { workload, title, unit, notes, .. } = measured;
        if told.contains(&(workload, title)) {
            continue;
        }
        told.push((workload, title));
        let alike: Vec<_> =
            report.measured.iter().filter(|other| (other.workload, &other.title) == (*workload, title)).collect();
        let notes = if notes.is_empty() { String::new() } else { format!("{notes}\n\n") };
        text.push_str(&format!("### {workload}: {title} ({unit})\n\n{notes}{}\n\n", summary(&alike)));
    }
    text.push_str("## In full\n\n");
    for measured in &report.measured {
        let Measured { workload, title, placement, unit, .. } = measured;
        let heading = heading(workload, title, *placement);
        text.push_str(&format!("### {heading} ({unit})\n\n{}\n\n", details(measured)));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The same case in its placements: medians and ratios.
fn summary(placed: &[&Measured]) -> Table {
    let mut heads = vec![String::new()];
    heads.extend(placed.iter().flat_map(|measured| {
        let base = base(measured).map_or("ours", |base| short(measured, base));
        let most = measured.tells_most.then(|| String::from("the most"));
        [measured.placement.to_string(), format!("× {base}")].into_iter().chain(most)
    }));
    let mut table = table(heads);
    let mut names: Vec<&str> = Vec::new();
    for row in placed.iter().flat_map(|measured| &measured.rows) {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    for name in names {
        let mut cells = vec![String::from(name)];
        for measured in placed {
            let row = measured.rows.iter().find(|row| row.name == name);
            cells.push(row.map_or_else(nothing, median));
            let ratio = row.zip(base(measured)).map(|(row, base)| row.ratio(base));
            cells.push(ratio.map_or_else(nothing, number));
            if measured.tells_most {
                cells.push(row.map_or_else(nothing, most));
            }
        }
        table.add_row(cells);
    }
    aligned(table)
}

/// All that is known of one case.
fn details(measured: &Measured) -> Table {
    let rows = &measured.rows;
    let compared: Vec<_> =
        base(measured).into_iter().chain(rows.iter().filter(|row| row.kind == Kind::Limit)).collect();
    let turns = rows.iter().any(|row| row.values.len() > 1);
    let waits = rows.iter().any(|row| row.waits.is_some());
    let mut heads = vec![String::new(), String::from(measured.unit)];
    if turns {
        heads.push(String::from("spread"));
    }
    if measured.tells_most {
        heads.push(String::from("the most"));
    }
    heads.extend(compared.iter().map(|row| format!("× {}", short(measured, row))));
    heads.push(String::from("allocations"));
    if turns {
        heads.push(String::from("switches"));
    }
    if waits {
        heads.extend(["p50 ns", "p99 ns", "p99.9 ns", "least share"].map(String::from));
    }
    let mut table = table(heads);
    for row in rows {
        let mut cells = vec![row.name.clone(), median(row)];
        if turns {
            cells.push(format!("{} – {}", number(quantile(&row.values, 0.25)), number(quantile(&row.values, 0.75))));
        }
        if measured.tells_most {
            cells.push(most(row));
        }
        cells.extend(compared.iter().map(|other| number(row.ratio(other))));
        cells.push(rate(row.allocations));
        if turns {
            cells.push(row.switches.map_or_else(not_counted, rate));
        }
        if waits {
            let times = |waits: &Waits| [waits.median, waits.p99, waits.p999].map(|nanos| number(nanos as f64));
            cells.extend(row.waits.as_ref().map_or_else(|| [nothing(), nothing(), nothing()], times));
            cells.push(row.waits.as_ref().map_or_else(nothing, |waits| number(waits.least_share)));
        }
        table.add_row(cells);
    }
    aligned(table)
}

/// What all of a case are compared with.
fn base(measured: &Measured) -> Option<&Row> {
    measured.rows.iter().find(|row| row.kind == Kind::Base)
}

/// The name in a column's head.
fn short<'a>(measured: &Measured, row: &'a Row) -> &'a str {
    match row.kind {
        Kind::Base if measured.workload == "growth" => "the first",
        Kind::Base => "ours",
        _ => row.name.trim_start_matches("limit: "),
    }
}

fn table(heads: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(heads);
    table
}

fn aligned(mut table: Table) -> Table {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn median(row: &Row) -> String {
    if row.values.is_empty() { not_counted() } else { number(row.median()) }
}

fn most(row: &Row) -> String {
    number(quantile(&row.values, 1.0))
}

fn not_counted() -> String {
    String::from("not counted")
}

fn nothing() -> String {
    String::from("–")
}
