//! Changes of headers that proxies would refuse. They are left out; everything else of the rule stays.

use crds::networking::{HeaderOperations, Headers};

use super::super::FindingKind::Ignored;
use super::super::list::{At, List};
use crate::config::VirtualService;
use crate::value::{header_name_problem, header_problem, is_authority};

pub(super) fn look(service: &VirtualService, list: &mut List) {
    for (index, rule) in service.spec.http.iter().enumerate() {
        let at = At::spec().item("http", index);
        both(&at, rule.headers.as_ref(), list);
        for (index, route) in rule.route.iter().enumerate() {
            both(&at.item("route", index), route.headers.as_ref(), list);
        }
    }
}

fn both(at: &At, headers: Option<&Headers>, list: &mut List) {
    let Some(headers) = headers else { return };
    let at = at.field("headers");
    headers.request.iter().for_each(|changes| operations(&at.field("request"), changes, list));
    headers.response.iter().for_each(|changes| operations(&at.field("response"), changes, list));
}

fn operations(at: &At, changes: &HeaderOperations, list: &mut List) {
    let mut say = |at: &At, problem: Option<String>| {
        if let Some(problem) = problem {
            list.error(Ignored, at, format_args!("{problem}; this change is left out"));
        }
    };
    for (operation, values) in [("set", &changes.set), ("add", &changes.add)] {
        for (name, value) in values.iter().filter(|(name, _)| !is_authority(name)) {
            say(&at.key(operation, name), header_problem(name, value));
        }
    }
    for (index, name) in changes.remove.iter().enumerate().filter(|(_, name)| !is_authority(name)) {
        say(&at.item("remove", index), header_name_problem(name));
    }
}
