//! `echo batch`: many `get`s, told on standard input, several at a time.

use std::io::BufRead as _;

use anyhow::Context as _;
use clap::{Args, Parser};
use futures::StreamExt as _;
use serde::Serialize;

use super::{get::Get, print};
use crate::client::Answer;

/// The command. Each line of standard input is a JSON array of the arguments of one `get`.
#[derive(Args, Debug)]
pub struct Batch {
    /// How many lines are under way at a time
    #[arg(long, default_value_t = 16)]
    parallel: usize,
}

/// What came of one line.
#[derive(Serialize)]
struct Outcome {
    /// Which line, from 0.
    line: usize,
    /// The answers in order, up to the first that failed.
    answers: Vec<Answer>,
    /// Why there are no more.
    error: Option<String>,
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    get: Get,
}

impl Batch {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let lines: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
        let requests = lines.iter().enumerate().map(|(number, line)| {
            let arguments: Vec<String> = serde_json::from_str(line)
                .with_context(|| format!("line {number} is no JSON array of strings"))?;
            let line = Line::try_parse_from(arguments).with_context(|| format!("line {number}"))?;
            Ok((number, line.get))
        });
        let requests = requests.collect::<anyhow::Result<Vec<_>>>()?;
        let mut outcomes = futures::stream::iter(requests)
            .map(|(line, get)| async move {
                let mut answers = Vec::new();
                let ended = get
                    .each(|answer| {
                        answers.push(answer);
                        Ok(())
                    })
                    .await;
                Outcome { line, answers, error: ended.err().map(|error| format!("{error:#}")) }
            })
            .buffer_unordered(self.parallel.max(1));
        while let Some(outcome) = outcomes.next().await {
            print(&outcome)?;
        }
        Ok(())
    }
}
