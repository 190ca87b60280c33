//! A server's `meta.k8s.io/v1` Table as aligned text.

use std::io::Write;

use longshore_plan::explain::printable;
use serde_json::Value;

/// What of a table is printed.
#[derive(Debug, Default)]
pub(super) struct Style {
    /// All columns, and not only those of priority 0.
    pub(super) wide: bool,
    /// The namespace first.
    pub(super) namespaces: bool,
    /// The kind, before each name.
    pub(super) prefix: Option<String>,
}

/// Prints a table that has rows.
pub(super) fn print(table: &Value, style: &Style, out: &mut impl Write) -> anyhow::Result<()> {
    let empty = Vec::new();
    let rows = table["rows"].as_array().unwrap_or(&empty);
    let columns = table["columnDefinitions"].as_array().unwrap_or(&empty);
    let shown: Vec<usize> = (0..columns.len())
        .filter(|i| style.wide || columns[*i]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let mut lines = Vec::with_capacity(rows.len() + 1);
    let mut header: Vec<String> = shown
        .iter()
        .map(|i| text(&columns[*i]["name"]).to_uppercase())
        .collect();
    if style.namespaces {
        header.insert(0, "NAMESPACE".to_owned());
    }
    lines.push(header);
    for row in rows {
        let mut line: Vec<String> = shown.iter().map(|i| text(&row["cells"][*i])).collect();
        if let (Some(prefix), Some(name)) = (&style.prefix, line.first_mut()) {
            *name = format!("{prefix}/{name}");
        }
        if style.namespaces {
            line.insert(0, text(&row["object"]["metadata"]["namespace"]));
        }
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|i| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0))
        .collect();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", cells.join("   ").trim_end())?;
    }
    Ok(())
}

fn text(cell: &Value) -> String {
    match cell {
        Value::Null => "<none>".to_owned(),
        Value::String(text) if text.is_empty() => "<none>".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_align_and_low_priority_ones_are_for_wide() {
        let table = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Why", "priority": 1}],
            "rows": [{"cells": ["a-long-name", "x"]}, {"cells": ["b", null]}],
        });
        let show = |wide| {
            let mut out = Vec::new();
            let style = Style {
                wide,
                ..Style::default()
            };
            print(&table, &style, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(show(false), "NAME\na-long-name\nb\n");
        assert_eq!(
            show(true),
            "NAME          WHY\na-long-name   x\nb             <none>\n"
        );
        let mut out = Vec::new();
        let style = Style {
            prefix: Some("toy".to_owned()),
            ..Style::default()
        };
        print(&table, &style, &mut out).unwrap();
        assert_eq!(out, b"NAME\ntoy/a-long-name\ntoy/b\n");
    }

    #[test]
    fn no_cell_speaks_to_the_terminal() {
        let table = json!({
            "columnDefinitions": [{"name": "Why\u{7}", "priority": 0}],
            "rows": [{"cells": ["a\u{1b}]0;title\u{7}b\nc\u{9b}2J"]}],
        });
        let mut out = Vec::new();
        let style = Style {
            namespaces: true,
            ..Style::default()
        };
        print(&table, &style, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown.lines().count(), 2, "{shown:?}");
        assert!(
            !shown.contains(|c: char| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
}
