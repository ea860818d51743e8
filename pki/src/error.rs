//! Everything that can be wrong with keys, certificates and requests for them.

use crate::SpiffeId;

/// A refusal to load, sign or verify; the text says which input is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A PEM input could not be read.
    #[error("{what}: {problem}; expected PEM")]
    Pem {
        /// Which input.
        what: &'static str,
        /// What the parser said.
        problem: String,
    },
    /// An input has no certificate or key in it.
    #[error("{what} contains no {wanted}")]
    Missing {
        /// Which input.
        what: &'static str,
        /// What was looked for.
        wanted: &'static str,
    },
    /// An input is larger than anything reasonable.
    #[error("{what} is {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Which input.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A certificate could not be parsed or used.
    #[error("{what} is not usable: {problem}")]
    Certificate {
        /// Which certificate.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// A private key could not be parsed or used.
    #[error("{what} is not usable: {problem}; expected an unencrypted RSA or ECDSA key in PEM")]
    Key {
        /// Which key.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// The plug-in CA's files don't belong together.
    #[error(
        "the CA files do not fit together: {0}; root-cert.pem must verify ca-cert.pem (through cert-chain.pem), and ca-key.pem must be its key"
    )]
    Mismatch(String),
    /// The CSR is malformed, or its signature is wrong.
    #[error("the certificate signing request is not valid: {0}")]
    Csr(String),
    /// The CSR asks for something other than the caller's own identity.
    #[error("the certificate signing request asks for {asked:?}, but the caller is {caller}")]
    ForeignIdentity {
        /// The name that was asked for.
        asked: String,
        /// Who was authenticated.
        caller: SpiffeId,
    },
    /// The asked-for validity is too long.
    #[error("the requested validity of {asked} seconds is greater than the {limit} seconds allowed")]
    TtlTooLong {
        /// As requested, in seconds.
        asked: u64,
        /// The longest possible, in seconds.
        limit: u64,
    },
    /// The CA certificate itself has ended or not begun.
    #[error("the CA certificate is not valid now (it ends at {0}); rotate it")]
    CaExpired(String),
    /// A failure of the crypto library.
    #[error("{doing} failed: {problem}")]
    Crypto {
        /// What was being done.
        doing: &'static str,
        /// What the library said.
        problem: String,
    },
}

impl PkiError {
    pub(crate) fn crypto(doing: &'static str, error: impl ToString) -> Self {
        Self::Crypto { doing, problem: error.to_string() }
    }

    pub(crate) fn certificate(what: &'static str, error: impl ToString) -> Self {
        Self::Certificate { what, problem: error.to_string() }
    }
}
