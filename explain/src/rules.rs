//! The HTTP rules of a VirtualService as they are read: each rule with each of its conditions is a case, tried in order.

use crds::networking::{HttpMatchRequest, HttpRoute, StringMatch};
use model::NamespacedName;
use model::config::VirtualService;

use crate::delegates;
use crate::evaluator::View;

/// Where rules are applied.
pub(crate) struct Place {
    /// Port that requests come to.
    pub(crate) port: u16,
    /// Whether they come by TLS that is terminated.
    pub(crate) tls: bool,
    /// The gateway: `namespace/name`, or `mesh`.
    pub(crate) gateway: String,
}

impl Place {
    /// A sidecar's outbound port.
    pub(crate) fn mesh(port: u16) -> Self {
        Self { port, tls: false, gateway: "mesh".to_owned() }
    }
}

/// A rule; one that a root leaves to a delegate consists of both, and what the delegate's leaves open the root's says.
#[derive(Clone)]
pub(crate) struct Rule<'a> {
    pub(crate) root: Option<&'a HttpRoute>,
    pub(crate) own: &'a HttpRoute,
    pub(crate) delegate: Option<NamespacedName>,
    /// Place among the rules in effect.
    pub(crate) number: usize,
}

impl<'a> Rule<'a> {
    /// A field of the rule, or of its root.
    pub(crate) fn field<T>(&self, of: impl Fn(&'a HttpRoute) -> Option<&'a T>) -> Option<&'a T> {
        of(self.own).or_else(|| self.root.and_then(of))
    }

    pub(crate) fn name(&self) -> String {
        joined(self.root.and_then(|root| root.name.as_deref()), self.own.name.as_deref())
    }

    /// Whether it says what is to be done with requests.
    fn acts(&self) -> bool {
        match &self.own.redirect {
            Some(redirect) => {
                matches!(redirect.redirect_code.unwrap_or_default(), 0 | 301 | 302 | 303 | 307 | 308)
            }
            None => self.field(|rule| rule.direct_response.as_ref()).is_some() || !self.own.route.is_empty(),
        }
    }
}

fn joined(root: Option<&str>, own: Option<&str>) -> String {
    let given: Vec<&str> = [root, own].into_iter().flatten().filter(|name| !name.is_empty()).collect();
    given.join("-")
}

/// A condition of a rule; one of a delegate's rule lies within one of its root's. Neither: everything.
#[derive(Clone, Copy)]
pub(crate) struct Condition<'a> {
    pub(crate) root: Option<&'a HttpMatchRequest>,
    pub(crate) own: Option<&'a HttpMatchRequest>,
}

impl<'a> Condition<'a> {
    /// The narrower word: the delegate's if it has one.
    pub(crate) fn one<T>(self, of: impl Fn(&'a HttpMatchRequest) -> Option<&'a T>) -> Option<&'a T> {
        self.own.and_then(&of).or_else(|| self.root.and_then(&of))
    }

    /// What both ask for by name; of one name the delegate's word counts.
    pub(crate) fn all<V>(
        self,
        of: impl Fn(&'a HttpMatchRequest) -> &'a std::collections::BTreeMap<String, V>,
    ) -> Vec<(&'a String, &'a V)> {
        let own = self.own.map(&of);
        let of_root = self.root.map(&of).into_iter().flatten();
        let inherited = of_root.filter(|(name, _)| own.is_none_or(|own| !own.contains_key(*name)));
        inherited.chain(own.into_iter().flatten()).collect()
    }

    fn port(self) -> Option<u32> {
        self.one(|condition| condition.port.as_ref().filter(|port| **port != 0)).copied()
    }

    fn namespace(self) -> Option<&'a str> {
        self.one(|condition| condition.source_namespace.as_ref().filter(|namespace| !namespace.is_empty()))
            .map(String::as_str)
    }

    fn gateways(self) -> &'a [String] {
        self.one(|condition| Some(&condition.gateways).filter(|gateways| !gateways.is_empty()))
            .map_or(&[], Vec::as_slice)
    }

    /// Case doesn't count in the path.
    pub(crate) fn ignores_case(self) -> bool {
        self.own.or(self.root).is_some_and(|condition| condition.ignore_uri_case == Some(true))
    }

    fn name(self) -> String {
        let name = |condition: Option<&'a HttpMatchRequest>| condition.and_then(|it| it.name.as_deref());
        joined(name(self.root), name(self.own))
    }

    /// Whether the condition is for this sender on this port at all. A condition that names gateways asks nothing else
    /// of the sender.
    fn meant(self, view: &View<'_>, place: &Place) -> Result<(), String> {
        if let Some(port) = self.port().filter(|port| *port != u32::from(place.port)) {
            return Err(format!("it is for port {port}, not {}", place.port));
        }
        let gateways = self.gateways();
        if !gateways.is_empty() {
            return if gateways.contains(&place.gateway) {
                Ok(())
            } else {
                Err(format!("it is for gateways {}, not {}", gateways.join(", "), place.gateway))
            };
        }
        for (key, value) in self.all(|condition| &condition.source_labels) {
            match view.source.labels.get(key) {
                Some(have) if **have == **value => {}
                Some(have) => return Err(format!("the sender's label {key} is {have}, not {value}")),
                None => return Err(format!("the sender has no label {key}")),
            }
        }
        match self.namespace() {
            Some(namespace) if *namespace != *view.source.namespace => {
                Err(format!("it is for senders in namespace {namespace}, not {}", view.source.namespace))
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing is asked of the request.
    fn is_catch_all(self) -> bool {
        let asks = |text: Option<&StringMatch>| text.is_some();
        let path = self.one(|condition| condition.uri.as_ref());
        let any_path = match path {
            None => true,
            Some(StringMatch { exact: Some(_), .. }) => false,
            Some(StringMatch { prefix: Some(prefix), .. }) => prefix == "/",
            Some(StringMatch { regex: Some(regex), .. }) => regex == ".*" || regex == "*",
            Some(_) => true,
        };
        any_path
            && !asks(self.one(|condition| condition.method.as_ref()))
            && !asks(self.one(|condition| condition.authority.as_ref()))
            && !asks(self.one(|condition| condition.scheme.as_ref()))
            && self.all(|condition| &condition.headers).is_empty()
            && self.all(|condition| &condition.without_headers).is_empty()
            && self.all(|condition| &condition.query_params).is_empty()
    }
}

/// A rule with one of its conditions.
#[derive(Clone)]
pub(crate) struct Case<'a> {
    pub(crate) rule: Rule<'a>,
    pub(crate) condition: Condition<'a>,
    /// Whether it is for the sender at all.
    pub(crate) meant: Result<(), String>,
    /// Whether it then takes every request.
    pub(crate) catch_all: bool,
}

impl Case<'_> {
    /// The name of the route in the proxy.
    pub(crate) fn route_name(&self) -> String {
        let (rule, condition) = (self.rule.name(), self.condition.name());
        if condition.is_empty() { rule } else { format!("{rule}.{condition}") }
    }
}

/// What reading the rules of a VirtualService came to.
#[derive(Default)]
pub(crate) struct Reading<'a> {
    pub(crate) cases: Vec<Case<'a>>,
    pub(crate) notes: Vec<String>,
}

/// The cases of a VirtualService, up to the first that takes everything: what follows is never reached.
pub(crate) fn cases_of<'a>(view: &View<'a>, service: &'a VirtualService, place: &Place) -> Reading<'a> {
    let mut reading = Reading::default();
    let mut number = 0;
    for written in service.written.as_deref().unwrap_or(&service.spec.http) {
        let rules = if written.delegate.is_some() {
            delegates::rules(view, service, written, &mut reading.notes)
        } else {
            let own = |own| Condition { root: None, own };
            let conditions = if written.matches.is_empty() {
                vec![own(None)]
            } else {
                written.matches.iter().map(|condition| own(Some(condition))).collect()
            };
            vec![(Rule { root: None, own: written, delegate: None, number: 0 }, conditions)]
        };
        for (rule, conditions) in rules {
            let rule = Rule { number, ..rule };
            number += 1;
            if !rule.acts() {
                reading.notes.push(format!("rule {} of {} does nothing", rule.number, service.meta.name));
                continue;
            }
            for condition in conditions {
                let meant = condition.meant(view, place);
                let catch_all = meant.is_ok() && condition.is_catch_all();
                reading.cases.push(Case { rule: rule.clone(), condition, meant, catch_all });
                if catch_all {
                    return reading;
                }
            }
        }
    }
    reading
}
