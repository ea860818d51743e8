//! The traffic policy that counts for one port of one destination.

use crds::networking::{
    ClientTlsSettings, ConnectionPoolSettings, LoadBalancerSettings, OutlierDetection, PortTrafficPolicy,
    ProxyProtocol, RetryBudget, TrafficPolicy,
};
use model::config::{MergedRule, Settings};

/// The blocks of a policy, each from where it counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy<'a> {
    pub(crate) load_balancer: Option<&'a LoadBalancerSettings>,
    pub(crate) pool: Option<&'a ConnectionPoolSettings>,
    pub(crate) outlier: Option<&'a OutlierDetection>,
    pub(crate) tls: Option<&'a ClientTlsSettings>,
    pub(crate) proxy_protocol: Option<&'a ProxyProtocol>,
    pub(crate) retry_budget: Option<&'a RetryBudget>,
}

impl<'a> Policy<'a> {
    /// The policy of a rule for a port, and for a subset if one is named: the subset's blocks override the rule's,
    /// settings of a port replace the others at their level, and the mesh's defaults fill in what the rule leaves.
    pub(crate) fn of(settings: &'a Settings, rule: Option<&'a MergedRule>, subset: &str, port: u16) -> Self {
        let mut policy = Self::at(rule.and_then(|rule| rule.policy.as_deref()), port);
        let mesh = settings.config.default_traffic_policy.as_ref();
        policy.pool = policy.pool.or_else(|| mesh?.connection_pool.as_ref());
        policy.outlier = policy.outlier.or_else(|| mesh?.outlier_detection.as_ref());
        let subset =
            rule.and_then(|rule| rule.subset(subset)).and_then(|subset| subset.traffic_policy.as_ref());
        match subset {
            Some(subset) => policy.overridden(subset, port),
            None => policy,
        }
    }

    fn at(written: Option<&'a TrafficPolicy>, port: u16) -> Self {
        let Some(written) = written else { return Self::default() };
        let rest = Self {
            proxy_protocol: written.proxy_protocol.as_ref(),
            retry_budget: written.retry_budget.as_ref(),
            ..Self::default()
        };
        match port_settings(written, port) {
            Some(of_port) => Self {
                load_balancer: of_port.load_balancer.as_ref(),
                pool: of_port.connection_pool.as_ref(),
                outlier: of_port.outlier_detection.as_ref(),
                tls: of_port.tls.as_ref(),
                ..rest
            },
            None => Self {
                load_balancer: written.load_balancer.as_ref(),
                pool: written.connection_pool.as_ref(),
                outlier: written.outlier_detection.as_ref(),
                tls: written.tls.as_ref(),
                ..rest
            },
        }
    }

    fn overridden(self, subset: &'a TrafficPolicy, port: u16) -> Self {
        let over = Self::at(Some(subset), port);
        let common = Self {
            proxy_protocol: over.proxy_protocol.or(self.proxy_protocol),
            retry_budget: over.retry_budget.or(self.retry_budget),
            ..over
        };
        if port_settings(subset, port).is_some() {
            return common;
        }
        Self {
            load_balancer: over.load_balancer.or(self.load_balancer),
            pool: over.pool.or(self.pool),
            outlier: over.outlier.or(self.outlier),
            tls: over.tls.or(self.tls),
            ..common
        }
    }
}

fn port_settings(policy: &TrafficPolicy, port: u16) -> Option<&PortTrafficPolicy> {
    policy
        .port_level_settings
        .iter()
        .find(|settings| settings.port.as_ref().and_then(|selector| selector.number) == Some(port.into()))
}
