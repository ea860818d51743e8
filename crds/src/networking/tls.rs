//! TLS of clients (DestinationRule) and of servers (Gateway, Sidecar).

use crate::{
    macros::{keywords, message},
    rules::cel,
};

message! {
    /// TLS towards a host.
    pub struct ClientTlsSettings {
        /// Whether and how TLS is spoken.
        pub mode: Option<ClientTlsMode>,
        /// File of the client's certificate (MUTUAL).
        pub client_certificate: Option<String>,
        /// File of the client's key (MUTUAL).
        pub private_key: Option<String>,
        /// File of the authorities that the host's certificate is verified with.
        pub ca_certificates: Option<String>,
        /// Secret that holds certificate, key and authorities.
        pub credential_name: Option<String>,
        /// Names of which the host's certificate must bear one.
        pub subject_alt_names: Vec<String>,
        /// Server name to present.
        pub sni: Option<String>,
        /// Don't verify the host's certificate.
        #[schemars(extend("nullable" = true))]
        pub insecure_skip_verify: Option<bool>,
        /// File of revoked certificates.
        pub ca_crl: Option<String>,
    }

    /// TLS of a server port.
    #[schemars(extend("x-kubernetes-validations" = cel(&[
        ("!has(self.tlsCertificates) || !has(self.credentialNames)",
         "credentialNames and tlsCertificates exclude each other"),
        ("!has(self.credentialName) || !has(self.credentialNames)",
         "credentialName and credentialNames exclude each other"),
    ])))]
    pub struct ServerTlsSettings {
        /// Answer HTTP requests with a redirect to HTTPS.
        pub https_redirect: Option<bool>,
        /// Whether and how TLS is terminated.
        pub mode: Option<ServerTlsMode>,
        /// File of the server's certificate.
        pub server_certificate: Option<String>,
        /// File of the server's key.
        pub private_key: Option<String>,
        /// File of the authorities that clients' certificates are verified with.
        pub ca_certificates: Option<String>,
        /// File of revoked client certificates.
        pub ca_crl: Option<String>,
        /// Secret that holds certificate and key.
        pub credential_name: Option<String>,
        /// Secrets that hold an RSA and an ECDSA certificate.
        #[schemars(extend("minItems" = 1, "maxItems" = 2))]
        pub credential_names: Vec<String>,
        /// Secret or ConfigMap that holds the authorities for clients' certificates.
        pub ca_cert_credential_name: Option<String>,
        /// Files of an RSA and an ECDSA certificate.
        #[schemars(extend("minItems" = 1, "maxItems" = 2))]
        pub tls_certificates: Vec<TlsCertificate>,
        /// Names of which a client's certificate must bear one.
        pub subject_alt_names: Vec<String>,
        /// Base64 SHA-256 hashes of public keys of which a client's must be one.
        pub verify_certificate_spki: Vec<String>,
        /// Hex SHA-256 hashes of certificates of which a client's must be one.
        pub verify_certificate_hash: Vec<String>,
        /// Lowest version of TLS; 1.2 when absent.
        pub min_protocol_version: Option<TlsProtocol>,
        /// Highest version of TLS.
        pub max_protocol_version: Option<TlsProtocol>,
        /// Cipher suites for TLS 1.2 and older.
        pub cipher_suites: Vec<String>,
        /// Ask for a client's certificate but don't verify it.
        #[schemars(extend("nullable" = true))]
        pub insecure_skip_verify: Option<bool>,
    }

    /// Files of one certificate.
    pub struct TlsCertificate {
        /// File of the certificate.
        pub server_certificate: Option<String>,
        /// File of the key.
        pub private_key: Option<String>,
        /// File of the authorities for clients' certificates.
        pub ca_certificates: Option<String>,
    }
}

keywords! {
    /// TLS of clients.
    pub enum ClientTlsMode {
        /// Plain text.
        Disable = "DISABLE",
        /// The server shows a certificate.
        Simple = "SIMPLE",
        /// Both show a certificate, from files or a Secret.
        Mutual = "MUTUAL",
        /// Both show the mesh's certificates.
        IstioMutual = "ISTIO_MUTUAL",
    }

    /// TLS of servers.
    pub enum ServerTlsMode {
        /// Not terminated; routed by server name through a VirtualService.
        Passthrough = "PASSTHROUGH",
        /// The server shows a certificate.
        Simple = "SIMPLE",
        /// Both show a certificate.
        Mutual = "MUTUAL",
        /// Not terminated; the server name itself says the destination.
        AutoPassthrough = "AUTO_PASSTHROUGH",
        /// Both show the mesh's certificates.
        IstioMutual = "ISTIO_MUTUAL",
        /// A client's certificate is verified when it shows one.
        OptionalMutual = "OPTIONAL_MUTUAL",
    }

    /// Version of TLS.
    pub enum TlsProtocol {
        /// The proxy's choice.
        TlsAuto = "TLS_AUTO",
        /// TLS 1.0.
        TlsV1_0 = "TLSV1_0",
        /// TLS 1.1.
        TlsV1_1 = "TLSV1_1",
        /// TLS 1.2.
        TlsV1_2 = "TLSV1_2",
        /// TLS 1.3.
        TlsV1_3 = "TLSV1_3",
    }
}
