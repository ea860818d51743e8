//! Ending and draining, as asked for by signals, by `/quitquitquit` and by the admin interface.

use tokio::sync::watch;

use crate::drain::{Drain, Phase};

/// The switches.
#[derive(Debug)]
pub struct Lifecycle {
    drain: Drain,
    quit: watch::Sender<bool>,
}

impl Lifecycle {
    /// Of the data plane with this drain.
    pub fn new(drain: Drain) -> Self {
        Self { drain, quit: watch::channel(false).0 }
    }

    /// Asks the process to end, in good order.
    pub fn quit(&self) {
        self.quit.send_replace(true);
    }

    /// Announces to clients that connections will end; the process goes on.
    pub fn drain(&self) {
        self.drain.advance(Phase::Draining);
    }

    /// Waits until the process is asked to end.
    pub async fn asked_to_quit(&self) {
        let mut asked = self.quit.subscribe();
        // The sender is in `self`: this can't fail before the value is there.
        let _ = asked.wait_for(|quit| *quit).await;
    }
}
