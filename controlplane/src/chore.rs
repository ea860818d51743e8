//! What the leader looks after from time to time.

use std::time::Duration;

use leader::Seat;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Something that is done every so often, while this replica has the seat.
pub(crate) struct Chore {
    pause: Duration,
    /// What is written, for people.
    what: &'static str,
    seat: Seat,
    /// It was its turn before.
    done: bool,
    problem: String,
}

impl Chore {
    pub(crate) fn new(pause: Duration, what: &'static str, seat: Seat) -> Self {
        Self { pause, what, seat, done: false, problem: String::new() }
    }

    /// Waits until it is to be done again: at once after this replica has won the seat.
    pub(crate) async fn due(&mut self) {
        if std::mem::take(&mut self.done) {
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = self.seat.lost() => {}
            }
        }
        self.seat.won().await;
        self.done = true;
    }

    /// Does it. What goes wrong is said when it begins to.
    pub(crate) async fn work(&mut self, work: impl Future<Output = kube::Result<()>>) {
        let problem = match tokio::time::timeout(TIMEOUT, work).await {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server does not answer".to_owned(),
        };
        if !problem.is_empty() && problem != self.problem {
            tracing::warn!(problem, "cannot write {}; trying again", self.what);
        }
        self.problem = problem;
    }
}
