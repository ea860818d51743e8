//! Reads Prometheus' text format, as far as counters go.

use std::collections::BTreeMap;

/// One line of it.
#[derive(Debug)]
pub struct Sample {
    /// The metric.
    pub name: String,
    labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// A label's value, empty if it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The samples of Istio's request counter.
pub fn requests(text: &str) -> impl Iterator<Item = Sample> {
    parse(text).filter(|sample| sample.name == "istio_requests_total")
}

/// All samples with labels.
pub(super) fn parse(text: &str) -> impl Iterator<Item = Sample> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.rsplit_once('}')?;
        Some(Sample { name: name.to_owned(), labels: pairs(labels), value: value.trim().parse().ok()? })
    })
}

/// `a="x",b="y"`; values hold commas, and quotes escaped by a backslash.
fn pairs(mut text: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut letters = rest.char_indices();
        let end = loop {
            match letters.next() {
                Some((_, '\\')) => value.extend(letters.next().map(|(_, escaped)| escaped)),
                Some((at, '"')) => break at + 1,
                Some((_, letter)) => value.push(letter),
                None => break rest.len(),
            }
        };
        pairs.insert(name.trim_start_matches([',', ' ']).to_owned(), value);
        text = &rest[end..];
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_with_commas_and_quotes_in_their_values() {
        let text = "# TYPE a counter\na{x=\"1,2\",y=\"say \\\"hi\\\"\"} 7\nb 3\n";
        let samples: Vec<_> = parse(text).collect();
        assert_eq!(samples.len(), 1);
        assert_eq!(
            (samples[0].label("x"), samples[0].label("y"), samples[0].label("z")),
            ("1,2", "say \"hi\"", "")
        );
        assert!((samples[0].value - 7.0).abs() < f64::EPSILON);
    }
}
