use serde_json::json;

use super::{accepted, object, refused, validate, warned};

const KIND: &str = "Gateway";

fn server(fragment: &str) -> String {
    format!("{{selector: {{istio: ingressgateway}}, servers: [{{{fragment}}}]}}")
}

fn tls(fragment: &str) -> String {
    server(&format!("port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], tls: {{{fragment}}}"))
}

#[test]
fn gateways_people_write_are_accepted() {
    let http = "port: {number: 80, name: http, protocol: HTTP}";
    let rows = [
        server(&format!("{http}, hosts: ['*']")),
        server(&format!(
            "{http}, hosts: [a.example.com, ./b.example.com, ns/*.example.com, 10.0.0.1], tls: {{httpsRedirect: true}}"
        )),
        tls("mode: SIMPLE, credentialName: a"),
        tls("mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c"),
        tls("mode: ISTIO_MUTUAL"),
        server(
            "port: {number: 443, name: tls, protocol: TLS}, hosts: ['*.local'], tls: {mode: AUTO_PASSTHROUGH}",
        ),
        server("port: {number: 0, name: http, protocol: HTTP}, hosts: ['*'], bind: 'unix:///a/b'"),
    ];
    accepted(KIND, &rows.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn servers() {
    let http = "port: {number: 80, name: http, protocol: HTTP}";
    for (spec, field, reason) in [
        ("{servers: []}".to_owned(), "spec.servers", "at least one"),
        (server(&format!("{http}, hosts: []")), "spec.servers[0].hosts", "at least one"),
        (server(&format!("{http}, hosts: [short]")), "spec.servers[0].hosts[0]", "short name"),
        (server(&format!("{http}, hosts: ['a*.b']")), "spec.servers[0].hosts[0]", "whole label"),
        (server(&format!("{http}, hosts: ['a b/c.d']")), "spec.servers[0].hosts[0]", "namespace"),
        (
            server("port: {number: 80, name: http, protocol: FTP}, hosts: ['*']"),
            "spec.servers[0].port.protocol",
            "FTP",
        ),
        (
            server("port: {number: 0, name: http, protocol: HTTP}, hosts: ['*']"),
            "spec.servers[0].port.number",
            "65535",
        ),
        (
            server("port: {number: 80, name: '', protocol: HTTP}, hosts: ['*']"),
            "spec.servers[0].port.name",
            "needed",
        ),
        (
            server("port: {number: 80, name: a, protocol: HTTP, targetPort: 1}, hosts: ['*']"),
            "spec.servers[0].port.targetPort",
            "no effect",
        ),
        (server(&format!("{http}, hosts: ['*'], bind: x")), "spec.servers[0].bind", "IP address"),
        (
            server(&format!("{http}, hosts: ['*'], bind: 'unix:///a'")),
            "spec.servers[0].bind",
            "port.number 0",
        ),
        (
            format!("{{servers: [{{{http}, hosts: [a.b]}}, {{{http}, hosts: [c.d]}}]}}"),
            "spec.servers[1].port.name",
            "same name",
        ),
    ] {
        refused(KIND, &[(&spec, field, reason)]);
    }
}

#[test]
fn server_tls() {
    for (spec, field, reason) in [
        (
            server("port: {number: 443, name: a, protocol: HTTPS}, hosts: ['*']"),
            "spec.servers[0].tls",
            "is needed",
        ),
        (
            server(
                "port: {number: 80, name: a, protocol: HTTP}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: a}",
            ),
            "spec.servers[0].tls",
            "did you mean protocol HTTPS?",
        ),
        (
            server(
                "port: {number: 80, name: a, protocol: TCP}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: a}",
            ),
            "spec.servers[0].tls",
            "HTTPS and TLS",
        ),
        (tls("mode: SIMPLE, serverCertificate: a"), "spec.servers[0].tls.privateKey", "needed"),
        (
            tls("mode: MUTUAL, serverCertificate: a, privateKey: b"),
            "spec.servers[0].tls.caCertificates",
            "MUTUAL",
        ),
        (
            tls("mode: ISTIO_MUTUAL, credentialName: a"),
            "spec.servers[0].tls.credentialName",
            "mesh's certificates",
        ),
        (
            tls("mode: SIMPLE, credentialName: a, serverCertificate: b, privateKey: c"),
            "spec.servers[0].tls",
            "only one of",
        ),
        (
            tls("mode: SIMPLE, credentialName: a, caCrl: b"),
            "spec.servers[0].tls.caCrl",
            "excludes credentialName",
        ),
        (tls("mode: SIMPEL"), "spec.servers[0].tls.mode", "did you mean SIMPLE?"),
    ] {
        if reason == "excludes credentialName" {
            assert_eq!(super::judge(KIND, &spec).errors.len(), 2);
        } else {
            refused(KIND, &[(&spec, field, reason)]);
        }
    }
}

#[test]
fn surprises() {
    warned(
        KIND,
        &[
            (&tls("mode: PASSTHROUGH, credentialName: a"), "are ignored"),
            (&tls("mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_0"), "cipherSuites"),
        ],
    );
}

#[test]
fn a_name_with_dots_is_refused() {
    let mut gateway = object(KIND, &server("port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']"));
    gateway["metadata"]["name"] = json!("a.b");
    assert!(validate(&gateway, None).errors[0].message.contains("without dots"));
}
