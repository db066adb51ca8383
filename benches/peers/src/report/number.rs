//! Numbers as they are read.

/// How often something happened per operation: what is less than once in a thousand is the measuring's own.
pub(crate) fn rate(value: f64) -> String {
    number((value * 1_000.0).round() / 1_000.0)
}

/// With two digits that say something at least, and with commas between thousands.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return String::from("–");
    }
    let (sign, size) = (if value < 0.0 { "-" } else { "" }, value.abs());
    if size > 0.0 && size < 0.1 {
        // As many zeroes as it takes.
        let decimals = (1.0 - size.log10().floor()) as usize;
        return format!("{sign}{size:.decimals$}");
    }
    if size < 10.0 {
        return format!("{sign}{size:.2}");
    }
    if size < 100.0 {
        return format!("{sign}{size:.1}");
    }
    let digits = format!("{size:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join(","))
}

/// A power of ten, in short.
pub(crate) fn power_of_ten(power: i32) -> String {
    match power {
        ..0 => number(10_f64.powi(power)),
        0..3 => format!("{}", 10_u32.pow(power as u32)),
        3..6 => format!("{}k", 10_u32.pow(power as u32 - 3)),
        _ => format!("{}M", 10_f64.powi(power - 6)),
    }
}
