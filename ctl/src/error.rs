//! Errors as a person reads them.

/// The error and its causes in one line. Of what the API server said, only its own sentence.
pub fn describe(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            parts.push(status.message.clone());
            break;
        }
        let text = cause.to_string();
        // Some libraries print their cause and have it as well.
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_api_servers_sentence_is_not_followed_by_its_structures() {
        let status = Status::failure("deployments.apps \"x\" not found", "NotFound").with_code(404);
        let error =
            anyhow::Error::from(kube::Error::Api(status.boxed())).context("Deployment x in namespace a");
        assert_eq!(describe(&error), "Deployment x in namespace a: deployments.apps \"x\" not found");
    }

    #[test]
    fn a_cause_that_is_part_of_the_text_is_not_repeated() {
        let error = anyhow::anyhow!("connection refused").context("a: connection refused").context("b");
        assert_eq!(describe(&error), "b: a: connection refused");
    }
}
