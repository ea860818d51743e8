//! What the control thread does for clusters: it resolves names and ends ejections.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};

use super::{dns::Resolutions, outlier};
use crate::snapshot::Live;

/// Between looks at the configuration and at ejections.
const TICK: Duration = Duration::from_millis(250);

/// Runs for as long as the process does.
pub async fn run(live: Arc<Live>) {
    let mut resolutions = Resolutions::new(live.clone());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = live.load();
        resolutions.follow(&snapshot);
        let now = Instant::now();
        for cluster in snapshot.clusters.values() {
            if cluster.config.outlier.is_some() || cluster.state.health.ejected() > 0 {
                outlier::sweep(cluster, now);
            }
        }
    }
}
