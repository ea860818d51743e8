//! `security.istio.io`: who may talk to whom, and how that is proved.

mod peer_authentication;

pub use self::peer_authentication::*;
