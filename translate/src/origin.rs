//! Where a resource comes from, in the form that istiod writes into metadata.

use model::NamespacedName;

/// `/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews`
pub(crate) fn path(kind: &str, name: &NamespacedName) -> String {
    format!("/apis/networking.istio.io/v1/namespaces/{}/{kind}/{}", name.namespace, name.name)
}
