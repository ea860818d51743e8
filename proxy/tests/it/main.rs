//! Tests of the proxy that need real sockets, processes or network namespaces.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod decision;
#[cfg(test)]
mod http;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod redirect;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod subscribe;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod tls;
