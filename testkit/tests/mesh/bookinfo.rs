//! The Bookinfo of `samples/`, as a person would apply it.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{LocalMesh, eventually, get};

/// The application itself.
pub(crate) const BOOKINFO: &str = include_str!("../../../samples/bookinfo/bookinfo.yaml");
/// A DestinationRule with the subsets of each service.
pub(crate) const SUBSETS: &str = include_str!("../../../samples/bookinfo/destination-rules.yaml");

/// The product page, asked for from inside the mesh; every hop goes through two sidecars.
pub(crate) async fn answers(mut mesh: LocalMesh) -> Result<()> {
    mesh.apply(BOOKINFO).await?;
    let page = format!("http://{}:9080/productpage", mesh.pod("default", "productpage-v1")?.address());
    let reply = eventually(Duration::from_secs(5), async || {
        let reply = get(&page).await?;
        ensure!(reply.status == 200 && reply.body.contains("reviews-v"), "{} {}", reply.status, reply.body);
        Ok(reply)
    });
    let reply = reply.await?;
    ensure!(
        reply.header("server") == "istio-envoy",
        "the answer did not pass the sidecar: {:?}",
        reply.headers
    );
    // Log lines are written when the writer gets to them.
    eventually(Duration::from_secs(3), async || {
        let pods = ["reviews-v1", "reviews-v2", "reviews-v3"].map(|pod| mesh.pod("default", pod));
        let logs = pods.into_iter().map(|pod| Ok(pod?.log("istio-proxy"))).collect::<Result<String>>()?;
        ensure!(logs.contains("inbound|9080||"), "no reviews pod logged an inbound request: {logs}");
        Ok(())
    })
    .await?;
    Ok(())
}

/// STRICT: plaintext from outside the mesh is refused, the mesh's own traffic goes on.
pub(crate) async fn strict(mut mesh: LocalMesh) -> Result<()> {
    mesh.apply(BOOKINFO).await?;
    let address = |name: &str| mesh.pod("default", name).map(|pod| pod.address().to_owned());
    let (details, page) = (address("details-v1")?, address("productpage-v1")?);
    let details = format!("http://{details}:9080/details/0");
    eventually(Duration::from_secs(5), async || {
        let reply = get(&details).await?;
        ensure!(reply.status == 200, "PERMISSIVE must accept plaintext: {}", reply.status);
        Ok(())
    })
    .await?;
    let rule = |name: &str, mode: &str| {
        format!(
            "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {name}}}, \
             spec: {{selector: {{matchLabels: {{app: details}}}}, mtls: {{mode: {mode}}}}}}}"
        )
    };
    mesh.apply(&rule("details", "STRICT")).await?;
    eventually(Duration::from_secs(5), async || {
        ensure!(get(&details).await.is_err(), "STRICT accepted plaintext");
        Ok(())
    })
    .await?;
    let reply = get(&format!("http://{page}:9080/api/v1/products/0")).await?;
    ensure!(reply.status == 200, "the mesh's own request failed: {} {}", reply.status, reply.body);
    Ok(())
}
