//! Small values that many resources share: durations, addresses, ranges, fractions, structs, wrappers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::r#type::v3 as kind;
use envoy_types::pb::google::protobuf as wkt;
use ipnet::IpNet;
use prost::Message;

use super::error::{At as _, ConfigError, Result};
use crate::snapshot::cluster::Place;
use crate::snapshot::route::Fraction;

/// A duration; negative ones and those beyond all reason are refused.
pub(super) fn duration(value: &wkt::Duration) -> Result<Duration> {
    let bad = || {
        ConfigError::new(format!("{}.{:09}s is not a duration of zero or more", value.seconds, value.nanos))
    };
    let seconds = u64::try_from(value.seconds).map_err(|_| bad())?;
    let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000).ok_or_else(bad)?;
    // A hundred years: longer ones would overflow deadlines.
    Ok(Duration::new(seconds.min(3_155_760_000), nanos))
}

/// A duration that may be missing.
pub(super) fn optional_duration(field: &str, value: Option<&wkt::Duration>) -> Result<Option<Duration>> {
    value.map(duration).transpose().field(field)
}

/// A timeout: missing means `default`, zero means none.
pub(super) fn timeout(
    field: &str,
    value: Option<&wkt::Duration>,
    default: Option<Duration>,
) -> Result<Option<Duration>> {
    Ok(match optional_duration(field, value)? {
        None => default,
        Some(zero) if zero.is_zero() => None,
        some => some,
    })
}

/// Whether a wrapped flag is set.
pub(super) fn flag(value: Option<&wkt::BoolValue>) -> bool {
    value.is_some_and(|value| value.value)
}

/// A wrapped number.
pub(super) fn number(value: Option<&wkt::UInt32Value>) -> Option<u32> {
    value.map(|value| value.value)
}

/// A port in a wrapped number.
pub(super) fn port(value: u32) -> Result<u16> {
    u16::try_from(value).map_err(|_| ConfigError::new(format!("{value} is not a port")))
}

/// An address with a port.
pub(super) fn socket_address(address: Option<&core::Address>) -> Result<SocketAddr> {
    use core::address::Address;
    match address.and_then(|address| address.address.as_ref()) {
        Some(Address::SocketAddress(address)) => {
            Ok(SocketAddr::new(ip(&address.address)?, port_of(address)?))
        }
        Some(Address::Pipe(pipe)) => {
            Err(ConfigError::unsupported(format!("the Unix socket {:?}", pipe.path)))
        }
        Some(Address::EnvoyInternalAddress(_)) => Err(ConfigError::unsupported("an internal address")),
        None => Err(ConfigError::new("an address is required")),
    }
}

/// Where an endpoint listens: an address with a port, or a Unix socket.
pub(super) fn place(address: Option<&core::Address>) -> Result<Place> {
    use core::address::Address;
    match address.and_then(|address| address.address.as_ref()) {
        Some(Address::Pipe(pipe)) if !pipe.path.is_empty() => Ok(Place::Socket(pipe.path.as_str().into())),
        _ => socket_address(address).map(Place::Port),
    }
}

/// The port of an address.
pub(super) fn port_of(address: &core::SocketAddress) -> Result<u16> {
    use core::socket_address::PortSpecifier;
    match &address.port_specifier {
        Some(PortSpecifier::PortValue(value)) => port(*value),
        Some(PortSpecifier::NamedPort(name)) => {
            Err(ConfigError::unsupported(format!("the named port {name:?}")))
        }
        None => Ok(0),
    }
}

/// An IP address.
pub(super) fn ip(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| ConfigError::new(format!("{text:?} is not an IP address")))
}

/// A range of addresses.
pub(super) fn cidr(range: &core::CidrRange) -> Result<IpNet> {
    let address = ip(&range.address_prefix)?;
    let length = number(range.prefix_len.as_ref()).unwrap_or(0);
    u8::try_from(length)
        .ok()
        .and_then(|length| IpNet::new(address, length).ok())
        .map(|net| net.trunc())
        .ok_or_else(|| ConfigError::new(format!("{address}/{length} is not a range of addresses")))
}

/// A share of requests.
pub(super) fn fraction(value: Option<&kind::FractionalPercent>) -> Result<Fraction> {
    use kind::fractional_percent::DenominatorType;
    let Some(value) = value else { return Ok(Fraction(0)) };
    let scale = match DenominatorType::try_from(value.denominator) {
        Ok(DenominatorType::Hundred) => 10_000,
        Ok(DenominatorType::TenThousand) => 100,
        Ok(DenominatorType::Million) => 1,
        Err(_) => return Err(ConfigError::new(format!("{} is not a denominator", value.denominator))),
    };
    Ok(Fraction(value.numerator.saturating_mul(scale).min(1_000_000)))
}

/// A share of requests that may be overridden at run time; only its default counts here. Missing is all of them.
pub(super) fn runtime_fraction(value: Option<&core::RuntimeFractionalPercent>) -> Result<Fraction> {
    match value {
        None => Ok(Fraction::ALL),
        Some(value) => fraction(value.default_value.as_ref()).field("default_value"),
    }
}

/// A member of an enumeration by its number.
pub(super) fn enumeration<T: TryFrom<i32>>(value: i32) -> Result<T> {
    T::try_from(value).map_err(|_| ConfigError::new(format!("{value} is not one of the known values")))
}

/// The message in an `Any`, whose type the caller has checked.
pub(super) fn decode<M: Message + Default>(any: &wkt::Any) -> Result<M> {
    M::decode(&*any.value).map_err(|e| ConfigError::new(format!("not a valid {:?}: {e}", any.type_url)))
}

/// A struct as JSON.
pub(super) fn json(value: &wkt::Struct) -> serde_json::Value {
    let fields = value.fields.iter().map(|(key, value)| (key.clone(), json_value(value)));
    serde_json::Value::Object(fields.collect())
}

fn json_value(value: &wkt::Value) -> serde_json::Value {
    use serde_json::Value;
    use wkt::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => {
            serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number)
        }
        Some(Kind::StringValue(text)) => Value::from(text.as_str()),
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StructValue(inner)) => json(inner),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json_value).collect()),
    }
}

/// A text in a struct.
pub(super) fn text_in<'a>(value: &'a wkt::Struct, key: &str) -> Option<&'a str> {
    match value.fields.get(key)?.kind.as_ref()? {
        wkt::value::Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The metadata that one filter or system owns.
pub(super) fn metadata<'a>(value: Option<&'a core::Metadata>, owner: &str) -> Option<&'a wkt::Struct> {
    value?.filter_metadata.get(owner)
}

/// The bytes of a data source that carries them itself, or a file that is read now.
pub(super) fn data(source: Option<&core::DataSource>) -> Result<Option<Vec<u8>>> {
    use core::data_source::Specifier;
    match source.and_then(|source| source.specifier.as_ref()) {
        None => Ok(None),
        Some(Specifier::InlineBytes(bytes)) => Ok(Some(bytes.clone())),
        Some(Specifier::InlineString(text)) => Ok(Some(text.clone().into_bytes())),
        Some(Specifier::Filename(path)) => {
            Err(ConfigError::unsupported(format!("the file {path:?} as a data source")))
        }
        Some(Specifier::EnvironmentVariable(name)) => {
            Err(ConfigError::unsupported(format!("the environment variable {name:?} as a data source")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_must_not_be_negative() {
        let of = |seconds, nanos| duration(&wkt::Duration { seconds, nanos });
        assert_eq!(of(1, 500_000_000), Ok(Duration::from_millis(1500)));
        assert_eq!(of(-1, 0).unwrap_err().to_string(), "-1.000000000s is not a duration of zero or more");
        assert!(of(0, 1_000_000_000).is_err());
        assert!(of(i64::MAX, 0).unwrap() < Duration::MAX);
    }

    #[test]
    fn a_timeout_of_zero_is_none() {
        let default = Some(Duration::from_secs(9));
        assert_eq!(timeout("t", None, default), Ok(default));
        assert_eq!(timeout("t", Some(&wkt::Duration::default()), default), Ok(None));
    }

    #[test]
    fn fractions_are_millionths_of_any_denominator() {
        let of = |numerator, denominator| fraction(Some(&kind::FractionalPercent { numerator, denominator }));
        assert_eq!(of(10, 0), Ok(Fraction(100_000)));
        assert_eq!(of(5, 1), Ok(Fraction(500)));
        assert_eq!(of(7, 2), Ok(Fraction(7)));
        assert_eq!(of(300, 0), Ok(Fraction::ALL));
        assert_eq!(of(1, 9).unwrap_err().to_string(), "9 is not a denominator");
    }

    #[test]
    fn ranges_are_cut_to_their_prefix() {
        let of = |address: &str, length| {
            let prefix_len = Some(wkt::UInt32Value { value: length });
            cidr(&core::CidrRange { address_prefix: address.into(), prefix_len })
        };
        assert_eq!(of("10.1.2.3", 8).unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(of("10.1.2.3", 33).unwrap_err().to_string(), "10.1.2.3/33 is not a range of addresses");
        assert_eq!(of("ten", 8).unwrap_err().to_string(), "\"ten\" is not an IP address");
    }
}
