use serde_json::json;

use super::{accepted, judge, object, refused, validate, warned};

#[test]
fn service_entries() {
    const KIND: &str = "ServiceEntry";
    accepted(
        KIND,
        &[
            "{hosts: [api.example.com], ports: [{number: 443, name: https, protocol: HTTPS}], resolution: DNS, location: MESH_EXTERNAL}",
            "{hosts: ['*.example.com'], ports: [{number: 443, name: tls, protocol: TLS}]}",
            "{hosts: [db.local], addresses: [10.0.0.0/24], ports: [{number: 27017, name: mongo, protocol: MONGO}], resolution: STATIC, endpoints: [{address: 2.2.2.2}, {address: '::1', ports: {mongo: 1}}]}",
            "{hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, workloadSelector: {labels: {a: b}}, exportTo: ['~']}",
            "{hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 'unix:///x'}]}",
        ],
    );
    refused(
        KIND,
        &[
            ("{hosts: ['*']}", "spec.hosts[0]", "bare wildcard"),
            ("{hosts: []}", "spec.hosts", "at least 1"),
            ("{hosts: [a.b], addresses: [x]}", "spec.addresses[0]", "IP address"),
            (
                "{hosts: [a.b], addresses: [10.0.0.0/8], resolution: DNS}",
                "spec.addresses[0]",
                "NONE or STATIC",
            ),
            (
                "{hosts: [a.b], ports: [{number: 80, name: a}, {number: 81, name: a}]}",
                "spec.ports[1].name",
                "same name",
            ),
            (
                "{hosts: [a.b], ports: [{number: 80, name: a}, {number: 80, name: b}]}",
                "spec.ports[1].number",
                "same number",
            ),
            ("{hosts: [a.b], ports: [{number: 0, name: a}]}", "spec.ports[0].number", "65535"),
            ("{hosts: [a.b], ports: [{number: 80, name: a_b}]}", "spec.ports[0].name", "DNS label"),
            (
                "{hosts: [a.b], ports: [{number: 80, name: a, protocol: FTP}]}",
                "spec.ports[0].protocol",
                "FTP",
            ),
            ("{hosts: [a.b], endpoints: [{address: 1.1.1.1}]}", "spec.endpoints", "NONE"),
            (
                "{hosts: [a.b], resolution: STATIC, endpoints: [{address: x.y}]}",
                "spec.endpoints[0].address",
                "resolution DNS",
            ),
            (
                "{hosts: [a.b], resolution: STATIC, endpoints: [{address: 1.1.1.1, ports: {x: 1}}]}",
                "spec.endpoints[0].ports[x]",
                "no port of that name",
            ),
            (
                "{hosts: [a.b], resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 1.1.1.1}]}",
                "spec",
                "exclude",
            ),
            ("{hosts: ['*.b'], resolution: DNS}", "spec.hosts[0]", "can't be looked up"),
            (
                "{hosts: [a.b], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.b}, {address: c.d}]}",
                "spec.endpoints",
                "several",
            ),
            (
                "{hosts: [a.b, c.d], resolution: DNS, ports: [{number: 80, name: a, protocol: TCP}]}",
                "spec.hosts",
                "several hosts",
            ),
            ("{hosts: [a.b], exportTo: ['~', '.']}", "spec.exportTo", "nobody"),
            ("{hosts: [a.b], resolution: DNSX}", "spec.resolution", "did you mean DNS?"),
        ],
    );
    warned(
        KIND,
        &[
            ("{hosts: [a.b], workloadSelector: {labels: {a: b}}}", "no effect with resolution NONE"),
            ("{hosts: ['*a.b']}", "whole label"),
        ],
    );
}

#[test]
fn workload_entries() {
    accepted(
        "WorkloadEntry",
        &["{address: 1.1.1.1, ports: {http: 80}}", "{address: a.b}", "{address: 'unix:///a'}"],
    );
    refused(
        "WorkloadEntry",
        &[
            ("{}", "spec.address", "needed"),
            ("{address: 'a b'}", "spec.address", "host name"),
            ("{address: 'unix://a'}", "spec.address", "absolute"),
            ("{address: 'unix:///a', ports: {http: 1}}", "spec.ports", "no ports"),
            ("{address: 1.1.1.1, ports: {http: 0}}", "spec.ports[http]", "65535"),
            ("{address: 1.1.1.1, labels: {a: 'b c'}}", "spec.labels[a]", "label's value"),
        ],
    );
    warned("WorkloadEntry", &[("{network: vms}", "gateway of network")]);
}

#[test]
fn sidecars() {
    const KIND: &str = "Sidecar";
    accepted(
        KIND,
        &[
            "{egress: [{hosts: ['./*', 'istio-system/*']}]}",
            "{workloadSelector: {labels: {app: a}}, ingress: [{port: {number: 9080, protocol: HTTP, name: http}, defaultEndpoint: '127.0.0.1:8080'}], egress: [{port: {number: 80, protocol: HTTP}, hosts: ['*/a.b']}, {hosts: ['~/*']}]}",
            "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b, port: {number: 80}}}}",
            "{inboundConnectionPool: {tcp: {maxConnections: 3}}}",
        ],
    );
    refused(
        KIND,
        &[
            ("{}", "spec", "says nothing"),
            (
                "{workloadSelector: {labels: {a: '*'}}, egress: [{hosts: ['./*']}]}",
                "spec.workloadSelector.labels[a]",
                "wildcards",
            ),
            ("{egress: [{hosts: [a]}]}", "spec.egress[0].hosts[0]", "namespace/dnsName"),
            ("{egress: [{hosts: ['./short']}]}", "spec.egress[0].hosts[0]", "short name"),
            ("{egress: [{hosts: ['a b/*']}]}", "spec.egress[0].hosts[0]", "namespace"),
            (
                "{egress: [{hosts: ['./*']}, {port: {number: 1}, hosts: ['./*']}]}",
                "spec.egress[0]",
                "must be the last",
            ),
            (
                "{egress: [{port: {number: 1}, hosts: ['./*']}, {port: {number: 1}, hosts: ['./*']}]}",
                "spec.egress[1].port",
                "same port",
            ),
            (
                "{egress: [{port: {protocol: HTTP}, hosts: ['./*']}]}",
                "spec.egress[0].port.number",
                "Unix socket",
            ),
            (
                "{egress: [{port: {protocol: HTTP}, bind: 'unix:///a', captureMode: IPTABLES, hosts: ['./*']}]}",
                "spec.egress[0].captureMode",
                "captured",
            ),
            (
                "{ingress: [{port: {number: 1}, defaultEndpoint: '10.0.0.1:80'}]}",
                "spec.ingress[0].defaultEndpoint",
                "127.0.0.1:PORT",
            ),
            (
                "{ingress: [{port: {number: 1}}, {port: {number: 1}}]}",
                "spec.ingress[1].port.number",
                "same port",
            ),
            (
                "{ingress: [{port: {number: 1, protocol: HTTPS}, tls: {mode: SIMPLE, serverCertificate: a, privateKey: b, httpsRedirect: true}}]}",
                "spec.ingress[0].tls.httpsRedirect",
                "not possible",
            ),
            (
                "{ingress: [{port: {number: 1, protocol: HTTP}, tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}}]}",
                "spec.ingress[0].tls",
                "HTTPS and TLS",
            ),
            (
                "{outboundTrafficPolicy: {egressProxy: {host: a.b, port: {number: 80}}}}",
                "spec.outboundTrafficPolicy.egressProxy",
                "ALLOW_ANY",
            ),
            (
                "{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}",
                "spec.outboundTrafficPolicy.mode",
                "REGISTRY_ONLY",
            ),
        ],
    );
    warned(
        KIND,
        &[
            ("{egress: [{hosts: ['./*', 'default/a.b']}]}", "is covered by"),
            ("{egress: [{hosts: ['*/*', 'x/a.b']}]}", "means everything"),
            (
                "{ingress: [{port: {number: 1, protocol: TCP}, connectionPool: {http: {maxRetries: 1}}}]}",
                "not HTTP",
            ),
        ],
    );
}

#[test]
fn peer_authentications() {
    const KIND: &str = "PeerAuthentication";
    accepted(
        KIND,
        &[
            "{mtls: {mode: STRICT}}",
            "{}",
            "{selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABLE}}}",
        ],
    );
    refused(
        KIND,
        &[
            ("{portLevelMtls: {8080: {mode: DISABLE}}}", "spec.portLevelMtls", "needs a selector"),
            (
                "{selector: {matchLabels: {a: b}}, portLevelMtls: {70000: {}}}",
                "spec.portLevelMtls[70000]",
                "65535",
            ),
            ("{selector: {matchLabels: {'a*': b}}}", "spec.selector.matchLabels[a*]", "wildcards"),
            ("{mtls: {mode: strict}}", "spec.mtls.mode", "did you mean STRICT?"),
        ],
    );
    warned(KIND, &[("{selector: {}}", "every workload")]);
}

#[test]
fn mesh_installs() {
    const KIND: &str = "MeshInstall";
    accepted(KIND, &["{}", "{profile: demo, meshConfig: {accessLogFile: /dev/stdout}}"]);
    refused(
        KIND,
        &[
            ("{profil: demo}", "spec.profil", "did you mean spec.profile?"),
            ("{components: {pilots: {}}}", "spec.components.pilots", "did you mean spec.components.pilot?"),
            ("{profile: big}", "spec.profile", "one of default, demo, minimal, empty"),
            (
                "{components: {pilot: {k8s: {replicaCount: -1}}}}",
                "spec.components.pilot.k8s.replicaCount",
                "less than 0",
            ),
            ("{meshConfig: {connectTimeout: 5}}", "spec.meshConfig.connectTimeout", "must be a string"),
            (
                "{meshConfig: {accessLogFormat: '%DURATION% %NOPE(a)%'}}",
                "spec.meshConfig.accessLogFormat",
                "%NOPE(a)% is no operator",
            ),
            (
                "{meshConfig: {accessLogFormat: '%DURATION%', accessLogEncoding: JSON}}",
                "spec.meshConfig.accessLogFormat",
                "it is not JSON",
            ),
        ],
    );
    warned(KIND, &[("{meshConfig: {accessLogFil: a}}", "did you mean spec.meshConfig.accessLogFile?")]);
}

#[test]
fn the_namespace_of_a_mesh_stays() {
    let (one, mut two) = (object("MeshInstall", "{}"), object("MeshInstall", "{profile: minimal}"));
    assert!(validate(&two, Some(&one)).is_accepted());
    two["spec"]["namespace"] = json!("elsewhere");
    assert_eq!(validate(&two, Some(&one)).errors[0].field, "spec.namespace");
    assert!(judge("MeshInstall", "{namespace: elsewhere}").is_accepted());
}
