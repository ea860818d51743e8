//! The samples in other shapes than their manifests give them.

use anyhow::{Context as _, Result};

use crate::test::file;

const ECHO: &str = "samples/echo/echo.yaml";
const CLIENT: &str = "samples/echo/client.yaml";

/// The echo's Deployment once more, as another version.
pub(crate) fn echo_version(version: &str) -> Result<String> {
    let manifest = file(ECHO)?;
    let deployment = manifest.split("---\n").find(|part| part.contains("kind: Deployment"));
    let deployment = deployment.with_context(|| format!("{ECHO} has no Deployment"))?;
    Ok(deployment
        .replace("echo-v1", &format!("echo-{version}"))
        .replace("version: v1", &format!("version: {version}"))
        .replace("value: v1", &format!("value: {version}")))
}

/// A manifest's pods with one more label, written `name: value`.
pub(crate) fn labelled(manifest: &str, label: &str) -> String {
    let mut labelled = String::new();
    for line in manifest.lines() {
        match line.strip_suffix('}') {
            Some(rest) if line.starts_with("      labels: {") => labelled += &format!("{rest}, {label}}}\n"),
            _ => labelled += &format!("{line}\n"),
        }
    }
    labelled
}

/// The whole echo: Service, account and Deployment.
pub(crate) fn echo() -> Result<String> {
    file(ECHO)
}

/// The client.
pub(crate) fn client() -> Result<String> {
    file(CLIENT)
}

/// The client with one more annotation of its pods, written `name: value`.
pub(crate) fn annotated_client(annotation: &str) -> Result<String> {
    let labels = "      labels: {app: client, version: v1}\n";
    Ok(client()?.replace(labels, &format!("{labels}      annotations: {{{annotation}}}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_change_where_they_should_and_nowhere_else() {
        let second = echo_version("v2").unwrap();
        assert!(
            second.contains("name: echo-v2")
                && !second.contains("v1}")
                && !second.contains("kind: Service\n")
        );
        let labelled = labelled(&echo().unwrap(), "istio-locality: region.one");
        assert_eq!(labelled.matches("version: v1, istio-locality: region.one}").count(), 1);
        let client = annotated_client("a: b").unwrap();
        assert_eq!(client.matches("annotations: {a: b}").count(), 1);
    }
}
