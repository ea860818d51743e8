//! What an election says of its outcome.

use tokio::sync::watch;

/// Whether this replica is the one that acts. An election that has ended leaves the seat lost for good.
#[derive(Clone, Debug)]
pub struct Seat(pub(super) watch::Receiver<bool>);

impl Seat {
    /// Returns when this replica is the one that acts; never, if the election ends without that.
    pub async fn won(&mut self) {
        if self.0.wait_for(|held| *held).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when this replica is not, or no longer, the one that acts.
    pub async fn lost(&mut self) {
        // Fails only when the election has ended.
        let _ = self.0.wait_for(|held| !*held).await;
    }

    /// Returns at every win and loss that was not seen yet; never after the end of the election.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether this replica is the one that acts now.
    pub fn held(&self) -> bool {
        *self.0.borrow()
    }
}
