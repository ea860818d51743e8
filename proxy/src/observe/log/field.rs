//! One operator by itself, for header values.

use xds::operators::end_of;

use super::format::write_value;
use super::operator::{BadFormat, Operator, operator};
use crate::request::outcome::Outcome;

/// What stands between two percent signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field(Operator, Option<usize>);

impl Field {
    /// Compiles `NAME(ARGUMENT):LENGTH`.
    pub fn parse(text: &str) -> Result<Self, BadFormat> {
        let (operator, limit) = operator(text)?;
        Ok(Self(operator, limit))
    }

    /// Where in the text after a percent sign the one is that closes the operator.
    pub fn end_in(text: &str) -> Option<usize> {
        end_of(text)
    }

    /// Appends what it comes to, which is nothing where it isn't known.
    pub fn write(&self, outcome: &Outcome, out: &mut String) {
        write_value(&self.0, self.1, outcome, out);
    }
}
