//! Rows for people: columns as wide as their widest cell, numbers to the right.

use std::fmt::Write as _;

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// The rows below their headings. Cells come from a node and may hold what steers a terminal: control characters are
/// written out.
pub(crate) fn table<const N: usize>(columns: [Column; N], rows: &[[String; N]]) -> String {
    let headings = columns.map(|column| match column {
        Column::Left(heading) | Column::Right(heading) => heading.to_owned(),
    });
    let rows: Vec<[String; N]> = std::iter::once(headings)
        .chain(
            rows.iter()
                .map(|row| row.clone().map(|cell| visible(&cell))),
        )
        .collect();
    let width = |index: usize| rows.iter().map(|row| row[index].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|index| width(index).unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, column), width) in row.iter().zip(columns).zip(widths) {
            // Writing to a String can't fail.
            let _ = match column {
                Column::Left(_) => write!(line, "{cell:<width$}  "),
                Column::Right(_) => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What doesn't steer a terminal.
pub(crate) fn visible(cell: &str) -> String {
    if !cell.contains(char::is_control) {
        return cell.to_owned();
    }
    cell.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["shop".to_owned(), "7".to_owned()],
            ["a".to_owned(), "1234".to_owned()],
        ];
        let text = table([Column::Left("APP"), Column::Right("N")], &rows);
        assert_eq!(text, "APP      N\nshop     7\na     1234\n");
    }

    #[test]
    fn cell_can_not_steer_the_terminal() {
        let text = table([Column::Left("X")], &[["a\u{1b}[31mb".to_owned()]]);
        assert_eq!(text, "X\na\\u{1b}[31mb\n");
    }
}
