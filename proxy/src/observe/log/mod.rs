//! Access logs: a line for each request or connection that is over.
//!
//! A [`Format`] is compiled once from Envoy's text or JSON form; a worker collects lines and hands them, many at a time,
//! to the file's [`writer`]. Whoever is slow to take the lines costs lines, never requests.

mod field;
mod format;
mod operator;
mod time;
mod writer;

use std::sync::Arc;

pub use self::{field::Field, format::Format, operator::BadFormat, writer::Writers};
use super::Observe;
use crate::{request::outcome::Outcome, snapshot::http::AccessLog};

/// Lines are handed on when a worker holds this much.
const HOLD: usize = 16 * 1024;
/// Compiled formats that a worker keeps.
const KEPT: usize = 64;

/// The logs that a worker has met.
#[derive(Debug)]
pub(super) struct LogFormats {
    observe: Arc<Observe>,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    log: AccessLog,
    /// `None`: the format can't be read, which configuration has been told.
    format: Option<Format>,
    lines: Vec<u8>,
    count: u64,
}

impl LogFormats {
    pub(super) fn new(observe: Arc<Observe>) -> Self {
        Self { observe, known: Vec::new() }
    }

    /// Writes a line to each log.
    pub(super) fn write(&mut self, logs: &[AccessLog], outcome: &Outcome) {
        for log in logs {
            let at = self.find(log);
            let known = &mut self.known[at];
            let Some(format) = &known.format else { continue };
            format.render(outcome, &mut known.lines);
            known.count += 1;
            if known.lines.len() >= HOLD {
                known.hand_on(&self.observe.writers);
            }
        }
    }

    /// Hands on what waits.
    pub(super) fn flush(&mut self) {
        for known in &mut self.known {
            known.hand_on(&self.observe.writers);
        }
    }

    fn find(&mut self, log: &AccessLog) -> usize {
        if let Some(at) = self.known.iter().position(|known| known.log.is(log)) {
            return at;
        }
        if self.known.len() >= KEPT {
            self.flush();
            self.known.clear();
        }
        let format = Format::new(&log.format).ok();
        self.known.push(Known { log: log.clone(), format, lines: Vec::new(), count: 0 });
        self.known.len() - 1
    }
}

impl Known {
    fn hand_on(&mut self, writers: &Writers) {
        if !self.lines.is_empty() {
            writers.write(&self.log.path, std::mem::take(&mut self.lines), std::mem::take(&mut self.count));
        }
    }
}

#[cfg(test)]
mod tests;
