//! The table: a line for each arm, in columns that stay in place from the first row to the last.

use crate::measure::{Arm, Outcome, Row};

const NAME: usize = 62;

/// What the columns are.
pub(crate) fn head() -> String {
    format!(
        "{:NAME$}{:>6}  {:<9}{:>11}{:>11}{:>11}   {}",
        "", "n", "unit", "p50", "least", "p99", "ratio of p50 (p10–p90 of pairs)"
    )
}

/// One group.
pub(crate) fn group(letter: char, title: &str, outcome: &Outcome) -> String {
    let mut lines = vec![format!("({letter}) {title}")];
    match outcome {
        Outcome::Skipped(why) => lines.push(format!("      skipped: {why}")),
        Outcome::Rows(rows) => lines.extend(rows.iter().flat_map(row)),
    }
    lines.push(String::new());
    lines.join("\n")
}

fn row(row: &Row) -> Vec<String> {
    let ratios = row.ratios();
    let of_medians = row.ours.percentile(50) / row.baseline.percentile(50);
    // Of values on both sides of nothing there is no ratio.
    let of_medians = if row.baseline.percentile(50) > 0.0 {
        of_medians
    } else {
        f64::NAN
    };
    let spread = if ratios.len() < 2 || !of_medians.is_finite() {
        String::new()
    } else {
        let [low, high] = [10, 90].map(|percent| number(ratios.percentile(percent)));
        format!(" ({low}–{high})")
    };
    let ours = arm(&format!("    {}", row.what), row.unit, &row.ours);
    let mut lines = vec![
        format!("{ours}   {}{spread}", number(of_medians)),
        arm(&format!("      against {}", row.against), row.unit, &row.baseline),
    ];
    lines.extend(row.notes.iter().map(|note| format!("        {note}")));
    lines
}

fn arm(name: &str, unit: &str, arm: &Arm) -> String {
    let [median, high] = [50, 99].map(|percent| number(arm.percentile(percent)));
    format!(
        "{name:NAME$}{:>6}  {unit:<9}{median:>11}{:>11}{high:>11}",
        arm.len(),
        number(arm.least())
    )
}

/// Three digits that matter, and no exponent.
fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "–".to_owned()
    } else if size >= 100.0 || size == 0.0 {
        grouped(value)
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len() - place;
        if place > 0 && left % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_keep_three_digits() {
        let values = [0.0, 0.01234, 1.234, 12.34, 123.4, 1_234_567.0, -1234.0];
        let shown = values.map(number);
        assert_eq!(
            shown,
            ["0", "0.012", "1.23", "12.3", "123", "1,234,567", "-1,234"]
        );
    }
}
