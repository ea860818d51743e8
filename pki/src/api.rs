//! `istio.v1.auth.IstioCertificateService`: the gRPC messages, client and server that agents and the CA speak.

#![allow(missing_docs, unused_qualifications, unreachable_pub, clippy::pedantic, reason = "generated code")]

tonic::include_proto!("istio.v1.auth");

pub use istio_certificate_service_client::IstioCertificateServiceClient;
pub use istio_certificate_service_server::{IstioCertificateService, IstioCertificateServiceServer};
