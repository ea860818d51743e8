//! What the control thread does for clusters: it resolves names and ends ejections.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};

use super::{dns::Resolutions, outlier};
use crate::snapshot::{Live, Snapshot};

/// Between looks at ejections.
const TICK: Duration = Duration::from_millis(500);

/// Runs for as long as the process does.
pub async fn run(live: Arc<Live>) {
    let mut resolutions = Resolutions::new(live.clone());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = live.watch();
    resolutions.follow(&live.load());
    loop {
        tokio::select! {
            changed = changes.changed() => {
                resolutions.follow(&live.load());
                if changed.is_err() {
                    return;
                }
            }
            _ = ticks.tick() => sweep(&live.load()),
        }
    }
}

fn sweep(snapshot: &Snapshot) {
    let now = Instant::now();
    for cluster in snapshot.clusters.ejecting() {
        outlier::sweep(cluster, now);
    }
}
