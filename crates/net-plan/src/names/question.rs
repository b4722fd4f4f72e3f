//! What a name below the cluster's domain asks for.

use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// The domain itself.
    Domain,
    /// `ns.dns`
    NameServer,
    /// `dns-version`
    Version,
    /// `svc`, `pod`, `dns`: names that only have names below them.
    Branch,
    /// `default.svc`
    Namespace(&'a str),
    Service {
        namespace: &'a str,
        service: &'a str,
        endpoint: Option<&'a str>,
        /// Name and protocol of `_http._tcp`.
        port: Option<(&'a str, &'a str)>,
    },
    /// `10-244-0-5.default.pod`
    Pod {
        ip: &'a str,
        namespace: &'a str,
    },
    Nothing,
}

impl<'a> Asked<'a> {
    pub(super) fn parse(below_domain: &'a str) -> Self {
        if below_domain.is_empty() {
            return Asked::Domain;
        }
        let labels: Vec<&str> = below_domain.split('.').collect();
        match labels.as_slice() {
            ["dns-version"] => Asked::Version,
            ["ns", "dns"] => Asked::NameServer,
            ["svc" | "pod" | "dns"] => Asked::Branch,
            [namespace, "svc" | "pod"] => Asked::Namespace(namespace),
            [ip, namespace, "pod"] => Asked::Pod { ip, namespace },
            [service, namespace, "svc"] => Asked::Service { namespace, service, endpoint: None, port: None },
            [endpoint, service, namespace, "svc"] => Asked::Service { namespace, service, endpoint: Some(endpoint), port: None },
            [port, protocol, service, namespace, "svc"] => match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                (Some(port), Some(protocol)) => Asked::Service { namespace, service, endpoint: None, port: Some((port, protocol)) },
                _ => Asked::Nothing,
            },
            _ => Asked::Nothing,
        }
    }
}

/// `10-244-0-5` or `fd00-10-244--5`
pub(super) fn dashed(label: &str) -> Option<IpAddr> {
    label.replace('-', ".").parse().or_else(|_| label.replace('-', ":").parse()).ok()
}
