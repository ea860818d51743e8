//! Requests over real sockets: what upstreams and clients get to see.

mod failing;
mod passing;
mod routing;

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use proxy::snapshot::{
    headers::{Append, Edits, HeaderWrite, Value},
    http::{HttpConnectionManager, HttpFilters},
    matcher::{HeaderMatch, HeaderSource, HeaderValueMatch, StringMatch},
    path::{PathCondition, PathMatch},
    route::{
        Abort, Action, Conditions, Cors, Destination, DirectResponse, Fault, Forward, Fraction, HostRewrite,
        Mirror, PathRewrite, Redirect, RetryOn, RetryPolicy, Route, Target, VirtualHost, Weighted,
    },
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::rig::{
    Backend, Rig, body, free_address, full, header, manager, manager_of, read_all, read_answer, route,
    status, to,
};

fn prefix(text: &str) -> PathCondition {
    PathCondition { path: PathMatch::Prefix(text.into()), ignore_case: false }
}

fn retrying(cluster: &str, on: &str, retries: u32) -> Forward {
    let mut forward = Forward::to_cluster(cluster);
    let policy = RetryPolicy { retries, host_selection_attempts: 5, ..RetryPolicy::new(RetryOn::parse(on)) };
    forward.retry = Some(policy.into());
    forward
}
