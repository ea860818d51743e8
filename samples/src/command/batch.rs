//! `echo batch`: many `get`s, `tcp`s and `grpc`s, told on standard input, several at a time.

use std::io::BufRead as _;

use anyhow::Context as _;
use clap::{Args, Parser};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::{get::Get, grpc::Grpc, print, tcp::Tcp};

/// The command. Each line of standard input is a JSON array: `get`, `tcp` or `grpc`, and its arguments.
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
    answers: Vec<Value>,
    /// Why there are no more.
    error: Option<String>,
}

#[derive(Parser)]
#[command(no_binary_name = true)]
enum Line {
    Get(Box<Get>),
    Tcp(Tcp),
    Grpc(Grpc),
}

impl Line {
    /// Does it, and hands each answer on.
    async fn run(self, answers: &mut Vec<Value>) -> anyhow::Result<()> {
        match self {
            Self::Get(get) => {
                get.each(|answer| {
                    answers.push(serde_json::to_value(answer)?);
                    Ok(())
                })
                .await
            }
            Self::Tcp(tcp) => {
                answers.push(serde_json::to_value(tcp.converse_in_time().await?)?);
                Ok(())
            }
            Self::Grpc(grpc) => {
                for _ in 0..grpc.times {
                    answers.push(serde_json::to_value(grpc.outcome().await?)?);
                }
                Ok(())
            }
        }
    }
}

impl Batch {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let lines: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
        let requests = lines.iter().enumerate().map(|(number, line)| {
            let arguments: Vec<String> = serde_json::from_str(line)
                .with_context(|| format!("line {number} is no JSON array of strings"))?;
            let line = Line::try_parse_from(arguments).with_context(|| format!("line {number}"))?;
            Ok((number, line))
        });
        let requests = requests.collect::<anyhow::Result<Vec<_>>>()?;
        let mut outcomes = futures::stream::iter(requests)
            .map(|(number, line)| async move {
                let mut answers = Vec::new();
                let ended = line.run(&mut answers).await;
                Outcome { line: number, answers, error: ended.err().map(|error| format!("{error:#}")) }
            })
            .buffer_unordered(self.parallel.max(1));
        while let Some(outcome) = outcomes.next().await {
            print(&outcome)?;
        }
        Ok(())
    }
}
