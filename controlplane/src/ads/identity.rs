//! Whether a proxy is who it says it is: the node of its first request against the caller that was authenticated.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind;
use tonic::Status;
use translate::ProxyNode;

use crate::auth::Caller;

/// Reads the node, and refuses one that claims another namespace or service account than its caller's.
pub(super) fn check(node: Option<&Node>, caller: Option<&Caller>) -> Result<ProxyNode, Status> {
    let node =
        node.ok_or_else(|| Status::invalid_argument("the first request on a stream must carry a node"))?;
    let proxy = ProxyNode::from_envoy(node).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let Some(caller) = caller else { return Ok(proxy) };
    let refuse = |claimed: &str, what: &str| {
        let message = format!("node {:?} claims {what} {claimed:?}, but the caller is {caller}", node.id);
        Err(Status::permission_denied(message))
    };
    if proxy.id.namespace != caller.namespace {
        return refuse(&proxy.id.namespace, "namespace");
    }
    match claimed(node, "SERVICE_ACCOUNT") {
        Some(account) if !account.is_empty() && account != caller.service_account => {
            refuse(account, "service account")
        }
        _ => Ok(proxy),
    }
}

/// A text in the node's metadata.
pub(super) fn claimed<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match node.metadata.as_ref()?.fields.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::google::protobuf::{Struct, Value};
    use tonic::Code;

    fn node(id: &str, account: &str) -> Node {
        let value = Value { kind: Some(Kind::StringValue(account.into())) };
        let metadata = Some(Struct { fields: [("SERVICE_ACCOUNT".to_owned(), value)].into() });
        Node { id: id.into(), metadata, ..Node::default() }
    }

    #[test]
    fn the_claim_must_fit_the_caller() {
        let caller = Caller { namespace: "shop".into(), service_account: "web".into() };
        let good = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local";
        let other = "sidecar~10.0.0.1~web-1.bank~bank.svc.cluster.local";
        for (id, account, outcome) in [
            (good, "web", None),
            (good, "", None),
            (good, "admin", Some(Code::PermissionDenied)),
            (other, "web", Some(Code::PermissionDenied)),
            ("nonsense", "web", Some(Code::InvalidArgument)),
        ] {
            let result = check(Some(&node(id, account)), Some(&caller));
            assert_eq!(result.err().map(|status| status.code()), outcome, "{id} {account}");
        }
        assert_eq!(check(None, Some(&caller)).unwrap_err().code(), Code::InvalidArgument);
        assert!(check(Some(&node(other, "x")), None).is_ok(), "plaintext on loopback is not authenticated");
    }
}
