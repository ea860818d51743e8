//! Rows of results: medians with their spread, a table for people and JSON for programs.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// One row, one subject.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub row: String,
    /// Whose figure it is.
    pub subject: String,
    /// Whom it is compared with, if anybody.
    pub peer: Option<String>,
    /// The unit of `median`, `min` and `max`.
    pub unit: &'static str,
    /// The middle round.
    pub median: f64,
    /// The best round.
    pub min: f64,
    /// The worst round.
    pub max: f64,
    /// The median of subject/peer, round by round.
    pub ratio: Option<f64>,
    /// What the figure must not exceed: of the ratio where there is one, else of the median.
    pub budget: Option<f64>,
    /// Why the row says nothing, where it doesn't.
    pub void: Option<String>,
}

impl Measurement {
    /// A row from rounds of one subject.
    ///
    /// # Errors
    /// When there are no rounds.
    pub fn alone(row: &str, subject: &str, unit: &'static str, rounds: &[f64]) -> Result<Self> {
        Ok(Self {
            row: row.to_owned(),
            subject: subject.to_owned(),
            peer: None,
            unit,
            median: median(rounds).with_context(|| format!("{row}: no rounds"))?,
            min: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            max: rounds.iter().copied().fold(0.0, f64::max),
            ratio: None,
            budget: None,
            void: None,
        })
    }

    /// Adds the peer's rounds; the ratio is taken pair by pair.
    #[must_use]
    pub fn against(mut self, peer: &str, own: &[f64], others: &[f64]) -> Self {
        let ratios: Vec<_> = own.iter().zip(others).map(|(own, other)| own / other).collect();
        self.peer = Some(peer.to_owned());
        self.ratio = median(&ratios);
        self
    }

    /// Adds the figure not to exceed.
    #[must_use]
    pub fn within(mut self, budget: f64) -> Self {
        self.budget = Some(budget);
        self
    }

    fn verdict(&self) -> &'static str {
        match (&self.void, self.budget) {
            (Some(_), _) => "void",
            (None, None) => "",
            (None, Some(budget)) if self.ratio.unwrap_or(self.median) <= budget => "within budget",
            (None, Some(_)) => "OVER BUDGET",
        }
    }
}

/// The middle value.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted.get(middle).copied();
    }
    Some(f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *sorted.get(middle)?))
}

/// Prints the rows and writes them as JSON, in the place of older rows of the same name and subject: a part may be
/// measured alone.
///
/// # Errors
/// When the file can't be written.
pub fn report(rows: &[Measurement], path: &Path) -> Result<()> {
    println!(
        "\n{:<58} {:<16} {:>10} {:>10} {:>10}  {:<12} {:>6}",
        "ROW", "SUBJECT", "MEDIAN", "MIN", "MAX", "UNIT", "RATIO"
    );
    for row in rows {
        let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let (median, min, max) = (row.median, row.min, row.max);
        println!(
            "{:<58} {:<16} {median:>10.2} {min:>10.2} {max:>10.2}  {:<12} {ratio:>6}  {}",
            row.row,
            row.subject,
            row.unit,
            row.verdict()
        );
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, serde_json::to_string_pretty(&merged(older(path), rows)?)?)
        .with_context(|| format!("writing {}", path.display()))
}

/// What the file holds; nothing if there is none, or if it isn't ours.
fn older(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn merged(older: Vec<serde_json::Value>, rows: &[Measurement]) -> Result<Vec<serde_json::Value>> {
    let replaced = |old: &serde_json::Value| {
        rows.iter().any(|row| old["row"] == row.row.as_str() && old["subject"] == row.subject.as_str())
    };
    let mut all: Vec<_> = older.into_iter().filter(|old| !replaced(old)).collect();
    for row in rows {
        all.push(serde_json::to_value(row)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_pairs() -> Result<()> {
        let (own, peer) = ([1.0, 2.0, 9.0], [2.0, 4.0, 10.0]);
        let row = Measurement::alone("r", "s", "us", &own)?.against("p", &own, &peer).within(0.6);
        assert_eq!(row.ratio, Some(0.5));
        assert_eq!(row.verdict(), "within budget");
        Ok(())
    }

    #[test]
    fn an_even_number_of_rounds_has_its_median_between_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_part_measured_alone_leaves_the_others_rows() -> Result<()> {
        let row = |name: &str, figure: f64| Measurement::alone(name, "s", "us", &[figure]);
        let before = merged(Vec::new(), &[row("a", 1.0)?, row("b", 2.0)?])?;
        let after = merged(before, &[row("b", 3.0)?])?;
        let figures: Vec<_> = after.iter().map(|row| (row["row"].as_str(), row["median"].as_f64())).collect();
        assert_eq!(figures, [(Some("a"), Some(1.0)), (Some("b"), Some(3.0))]);
        Ok(())
    }
}
