//! Certificates that a gateway's servers name.

use std::collections::{BTreeMap, BTreeSet};

use xds::ResourceType;

use super::tls::{ca_credential, credential_names};
use super::{Place, Serving};
use crate::context::Context;
use crate::generate::Set;
use crate::secret;

/// Secrets for all servers.
pub(super) fn secrets(context: &Context<'_>, places: &BTreeMap<Place, Vec<Serving<'_>>>) -> Set {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for serving in places.values().flatten().filter(|serving| serving.terminates()) {
        let Some(settings) = &serving.server.tls else { continue };
        wanted.extend(credential_names(settings).into_iter().map(str::to_owned));
        wanted.extend(ca_credential(settings));
    }
    let mut all: Set = wanted
        .iter()
        .filter_map(|name| secret::one(context, name))
        .map(|secret| (ResourceType::Secret, secret))
        .collect();
    all.extend(secret::of_rules(context));
    all
}
