//! What a crowd of readers would ask of Bookinfo, and what it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::Gateway;

/// How many pages are asked for.
pub const PAGES: usize = 300;
/// The page.
pub const PATH: &str = "/productpage";
/// A path that no rule names.
const UNROUTED: &str = "/inventory";
/// How many pages are under way at once.
const READERS: usize = 8;
/// How long parts of the mesh may still be starting.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answers.
#[derive(Debug, Default)]
pub struct Seen {
    /// Which version of reviews was on how many of [`PAGES`] pages.
    pub split: BTreeMap<String, usize>,
    /// The pods of reviews that answered.
    pub reviewers: BTreeSet<String>,
    /// An address that no rule names, and the status of its answer.
    pub unrouted: (String, u16),
}

/// Waits for a whole page, then asks for [`PAGES`] of them and for one that isn't there.
///
/// # Errors
/// When no whole page comes within 30 s, or a later one fails; the message has its status and text.
pub async fn send(gateway: &Gateway) -> Result<Seen> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = whole_page(gateway).await {
        if Instant::now() > deadline {
            return Err(error.context(format!(
                "no whole page from {}{PATH} within {} s",
                gateway.url,
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let answers = futures::stream::iter(0..PAGES).map(|_| reviewer(gateway)).buffer_unordered(READERS);
    let mut answers = std::pin::pin!(answers);
    let mut seen = Seen::default();
    while let Some((pod, version)) = answers.try_next().await? {
        *seen.split.entry(version).or_default() += 1;
        seen.reviewers.insert(pod);
    }
    seen.unrouted = (format!("{}{UNROUTED}", gateway.url), gateway.get(UNROUTED).await?.status);
    Ok(seen)
}

async fn whole_page(gateway: &Gateway) -> Result<()> {
    let page = gateway.get(PATH).await?;
    let whole = ["Reviews served by", "Details served by"].iter().all(|part| page.text.contains(part));
    ensure!(page.status == 200 && whole, "{} {}", page.status, page.text.trim());
    Ok(())
}

/// Pod and version of the reviews on one page.
async fn reviewer(gateway: &Gateway) -> Result<(String, String)> {
    let page = gateway.get(PATH).await?;
    ensure!(page.status == 200, "GET {}{PATH}: {} {}", gateway.url, page.status, page.text.trim());
    let (pod, version) = served_by(&page.text).context("a page without reviews")?;
    Ok((pod.to_owned(), version.to_owned()))
}

/// `reviews-v1-5c8f` and `v1` of `Reviews served by: reviews-v1-5c8f (v1)`.
fn served_by(page: &str) -> Option<(&str, &str)> {
    let (_, rest) = page.split_once("Reviews served by: ")?;
    let (pod, rest) = rest.split_once('(')?;
    Some((pod.trim_end(), rest.split_once(')')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_say_who_served_them() {
        let page =
            "<p>Details served by: details-v1-9f (v9)</p><p>Reviews served by: reviews-v1-5c8f (v1)</p>";
        assert_eq!(served_by(page), Some(("reviews-v1-5c8f", "v1")));
        assert_eq!(served_by("<p>Sorry, product reviews are currently unavailable.</p>"), None);
    }
}
