//! Columns of text, spaced as kubectl and istioctl space them: no borders, header in capitals.

use comfy_table::{Table, presets};

/// A table that prints itself.
#[derive(Debug)]
pub struct Columns(Table);

impl Columns {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings.iter().copied());
        for column in table.column_iter_mut() {
            column.set_padding((0, 5));
        }
        Self(table)
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[&str]) {
        self.0.add_row(cells.iter().copied());
    }
}

impl std::fmt::Display for Columns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.0.to_string().lines() {
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_do_not_end_in_spaces() {
        let mut columns = Columns::new(&["NAME", "PORT"]);
        columns.row(&["productpage", "9080"]);
        assert_eq!(columns.to_string(), "NAME            PORT\nproductpage     9080\n");
    }
}
