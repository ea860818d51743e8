//! Scenario 3: the application of the guides, through the gateway.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{namespace::Injection, outside::Outside, test::Test};

const REQUESTS: usize = 1000;
const WORKLOADS: [&str; 6] = [
    "deploy/details-v1",
    "deploy/ratings-v1",
    "deploy/reviews-v1",
    "deploy/reviews-v2",
    "deploy/reviews-v3",
    "deploy/productpage-v1",
];

pub(super) async fn run(t: &Test) -> Result<()> {
    t.step("kubectl apply of Bookinfo in a labelled namespace: every pod 2/2");
    let shop = t.namespace("e2e-bookinfo", Injection::Enabled).await?;
    shop.apply_files(&["samples/bookinfo/bookinfo.yaml", "samples/bookinfo/gateway.yaml"]).await?;
    shop.rolled_out(&WORKLOADS).await?;
    for app in ["details", "ratings", "reviews", "productpage"] {
        for pod in shop.pods(&format!("app={app}")).await? {
            ensure!(pod.ready() == "2/2", "{} is {}", pod.name(), pod.ready());
        }
    }

    let gateway = t.gateway().await?;
    t.step(format!("{}/productpage answers with all its parts", gateway.url));
    t.eventually("the page is whole", Duration::from_secs(20), async || {
        let page = gateway.get("/productpage").await?;
        ensure!(page.status == 200, "{} {}", page.status, page.body_text());
        for part in ["Simple Bookstore App", "Details served by", "Reviews served by"] {
            ensure!(page.body_text().contains(part), "the page lacks `{part}`: {}", page.body_text());
        }
        Ok(())
    })
    .await?;

    t.step("a path that no rule names is a 404 from the gateway");
    for path in ["/", "/inventory", "/productpage/x"] {
        let answer = gateway.get(path).await?;
        ensure!(answer.status == 404, "{path}: {}", answer.status);
    }

    t.step("without a rule, all three versions of reviews answer");
    let seen = versions(&gateway, 60, None).await?;
    ensure!(seen.len() == 3, "only these answered: {seen:?}");

    t.step(format!("90/10 by weight, over {REQUESTS} requests"));
    shop.apply_files(&["samples/bookinfo/destination-rules.yaml", "samples/bookinfo/split-90-10.yaml"])
        .await?;
    settled(t, &gateway, None, &["v1", "v3"]).await?;
    let seen = versions(&gateway, REQUESTS, None).await?;
    let share = seen.get("v3").copied().unwrap_or_default() as f64 / REQUESTS as f64 * 100.0;
    t.step(format!("counted: {seen:?}"));
    ensure!((7.0..=13.0).contains(&share), "v3 got {share} % instead of 10 %: {seen:?}");

    t.step("a header match sends the user jason to v2, and nobody else");
    shop.apply_files(&["samples/bookinfo/header-canary.yaml"]).await?;
    settled(t, &gateway, Some("jason"), &["v2"]).await?;
    let (jason, others) = (versions(&gateway, 50, Some("jason")).await?, versions(&gateway, 50, None).await?);
    ensure!(jason == [("v2".to_owned(), 50)].into(), "jason saw {jason:?}");
    ensure!(others == [("v1".to_owned(), 50)].into(), "others saw {others:?}");
    Ok(())
}

/// Waits until only these versions answer: a rule takes a moment to reach proxies.
async fn settled(t: &Test, gateway: &Outside, user: Option<&str>, expected: &[&str]) -> Result<()> {
    t.eventually("the rule reached the proxies", Duration::from_secs(10), async || {
        let seen = versions(gateway, 20, user).await?;
        ensure!(seen.keys().all(|version| expected.contains(&version.as_str())), "{seen:?} answered");
        Ok(())
    })
    .await
}

/// Which versions of reviews answered how many of so many pages.
async fn versions(gateway: &Outside, requests: usize, user: Option<&str>) -> Result<BTreeMap<String, usize>> {
    let pages =
        futures::stream::iter(0..requests).map(|_| gateway.get_as("/productpage", user)).buffer_unordered(8);
    let mut seen = BTreeMap::new();
    let mut pages = std::pin::pin!(pages);
    while let Some(page) = pages.try_next().await? {
        let text = page.body_text();
        ensure!(page.status == 200, "{} {text}", page.status);
        *seen
            .entry(version(&text).with_context(|| format!("no reviews on the page: {text}"))?)
            .or_default() += 1;
    }
    Ok(seen)
}

/// Out of `Reviews served by: reviews-v1-abc (v1)`.
fn version(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("Reviews served by: ")?;
    Some(rest.split_once('(')?.1.split_once(')')?.0.to_owned())
}
