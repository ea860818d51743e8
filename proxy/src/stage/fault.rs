//! Faults on purpose: which delay and which answer a request gets instead of the application's.

use std::time::Duration;

use crate::snapshot::{
    matcher::RequestView,
    route::{Abort, Fault},
};

/// What a request is made to suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// Wait first.
    pub delay: Option<Duration>,
    /// Then answer.
    pub abort: Option<Abort>,
}

/// Throws the dice. `node` is this proxy's service node, `cluster` where the request would go.
pub fn decide(
    fault: &Fault,
    request: &RequestView<'_>,
    cluster: &str,
    node: &str,
    random: &mut dyn FnMut() -> u32,
) -> Injected {
    let concerned = fault.headers.iter().all(|header| header.matches(request))
        && fault.upstream_cluster.as_ref().is_none_or(|only| **only == *cluster)
        && (fault.downstream_nodes.is_empty() || fault.downstream_nodes.iter().any(|only| **only == *node));
    if !concerned {
        return Injected::default();
    }
    Injected {
        delay: fault.delay.and_then(|(share, delay)| share.takes(random()).then_some(delay)),
        abort: fault.abort.and_then(|(share, abort)| share.takes(random()).then_some(abort)),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::snapshot::route::Fraction;

    #[test]
    fn each_fault_has_its_own_share() {
        let fault = Fault {
            delay: Some((Fraction(500_000), Duration::from_secs(1))),
            abort: Some((Fraction(100_000), Abort::Http(StatusCode::IM_A_TEAPOT))),
            headers: Vec::new(),
            upstream_cluster: Some("mine".into()),
            downstream_nodes: Vec::new(),
            max_active: None,
        };
        let headers = HeaderMap::new();
        let request = RequestView {
            method: "GET",
            authority: "a",
            scheme: "http",
            path: "/",
            query: None,
            headers: &headers,
        };
        let mut dice = [400_000, 200_000].into_iter();
        let got = decide(&fault, &request, "mine", "", &mut || dice.next().unwrap());
        assert_eq!(got, Injected { delay: Some(Duration::from_secs(1)), abort: None });
        assert_eq!(decide(&fault, &request, "other", "", &mut || 0), Injected::default());
    }
}
