//! `.status` of Istio's objects: whether each is accepted, whether what it names exists, and how many of the proxies that
//! need it have acknowledged it. Written by the leader only.
//!
//! ```text
//! watches ──> objects (generation, status as it is)          ┐
//! publisher ─> mesh::Ledger (which generation is in force)   │
//! streams ──> proxies (what each has acknowledged, refused)  ├─> desk ─> verdict ─> conditions ─> write (at a pace)
//! findings ─> the same that the log tells of each object     │
//! peers ────> progress among other replicas' proxies         ┘
//! ```
//!
//! Streams pay one atomic store when they fall quiet; everything else happens here, at human speed.

mod conditions;
mod desk;
mod lost;
mod objects;
mod pace;
mod peers;
mod progress;
mod proxies;
mod refused;
mod verdict;
mod write;

use std::time::{Duration, Instant};

use kube::Client;
use leader::Seat;
use tokio::sync::watch;

use desk::Desk;
pub(crate) use desk::Sources;
pub(crate) use objects::{Objects, Observer};
use peers::Open;
pub(crate) use peers::{Asker, Peers, router};
use write::Writer;

/// From news to looking: what comes together is looked at together, and a stream that has only begun to fall quiet is.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// Between looks while nothing is on its way: proxies that lag are found by it.
const CALM: Duration = Duration::from_secs(5);
/// Looking takes at most this part of one core.
const SHARE: u32 = 10;

/// Keeps every object's status, while this replica has the seat.
pub(crate) async fn keep(
    client: Client,
    sources: Sources,
    asker: Asker,
    mut seat: Seat,
    mut synced: watch::Receiver<bool>,
) {
    // Nothing is missing, and nothing in conflict, in a mesh that is not read yet.
    if synced.wait_for(|synced| *synced).await.is_err() {
        return;
    }
    let Sources { objects, ledger, .. } = sources.clone();
    let mut desk = Desk::new(sources, Instant::now());
    loop {
        seat.won().await;
        let mut writer = Writer::new(client.clone(), tokio::time::Instant::now());
        let mut open = Open::new();
        while seat.held() {
            let started = Instant::now();
            // Looking fails only by a panic; there is nothing to go on with then.
            let Some((back, look)) = off_the_streams(desk, |desk| desk.look(Instant::now())).await else {
                return;
            };
            let looking = started.elapsed();
            let others = asker.ask(&look.mesh, &look.questions(), &mut open).await;
            let started = Instant::now();
            let Some((back, (wishes, on_the_way))) =
                off_the_streams(back, move |desk| desk.wishes(&look, &others)).await
            else {
                return;
            };
            desk = back;
            let took = looking + started.elapsed();
            let left = writer.write(wishes, &objects).await;
            let pause = if on_the_way || left.is_some() { DEBOUNCE } else { CALM };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = objects.changed.notified() => tokio::time::sleep(DEBOUNCE).await,
                () = ledger.news.notified() => tokio::time::sleep(DEBOUNCE).await,
                () = seat.lost() => {}
            }
            tokio::time::sleep((took * SHARE).saturating_sub(DEBOUNCE)).await;
        }
    }
}

/// Runs what takes long where it holds up no stream.
async fn off_the_streams<T: Send + 'static>(
    mut desk: Desk,
    work: impl FnOnce(&mut Desk) -> T + Send + 'static,
) -> Option<(Desk, T)> {
    let work = move || {
        let done = work(&mut desk);
        (desk, done)
    };
    tokio::task::spawn_blocking(work).await.ok()
}
