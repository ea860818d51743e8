//! The two macros every API type is written with, so that a field reads as a field and nothing else.
//! `message!` mirrors a protobuf message, `keywords!` a protobuf enum, `kind!` a Kubernetes object around a spec.

/// A protobuf message: every field may be absent, absent fields are not written, names are camelCase.
///
/// A missing required field doesn't fail decoding (one bad object must not end a watch of all objects);
/// [`crate::decode`] and the CRD schema report it instead.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident { $( $(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty ),* $(,)? }
    )*) => {$(
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$fmeta])* #[serde(skip_serializing_if = "crate::macros::is_unset")] $fvis $field: $ty, )*
        }
    )*};
}

/// A protobuf enum, written as its upper-case names. The first variant is the zero value.
///
/// A name that nobody knows becomes `Unrecognized`, which callers treat as the default;
/// the CRD schema and [`crate::decode`] report the name itself.
macro_rules! keywords {
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),* $(,)? }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            #[default]
            $( $(#[$vmeta])* $variant, )*
            /// A name this version doesn't know; treat it as the default.
            Unrecognized,
        }

        impl $name {
            /// Every name that may be written.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name as written in YAML.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unrecognized => "UNRECOGNIZED" }
            }

            /// The variant of a name; unknown names become `Unrecognized`.
            pub fn from_name(name: &str) -> Self {
                match name { $($text => Self::$variant,)* _ => Self::Unrecognized }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(d).map(|name| Self::from_name(&name))
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::NAMES })
            }
        }
    )*};
}

/// A Kubernetes object: `metadata`, `spec`, `status`, and what kube needs to list and watch it.
macro_rules! kind {
    ($(#[$meta:meta])* $name:ident { spec: $spec:ty, status: $status:ty, group: $group:literal,
        version: $version:literal, plural: $plural:literal, scope: $scope:ident }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        pub struct $name {
            /// Standard object metadata.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// What a person asked for.
            #[serde(default)]
            pub spec: $spec,
            /// What the mesh made of it.
            #[serde(default)]
            pub status: Option<$status>,
        }

        impl $name {
            /// An object of that name, without a namespace.
            pub fn new(name: &str, spec: $spec) -> Self {
                let metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                    name: Some(name.to_owned()),
                    ..Default::default()
                };
                Self { metadata, spec, status: None }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let mut object = s.serialize_struct(stringify!($name), 4 + usize::from(self.status.is_some()))?;
                object.serialize_field("apiVersion", concat!($group, "/", $version))?;
                object.serialize_field("kind", stringify!($name))?;
                object.serialize_field("metadata", &self.metadata)?;
                object.serialize_field("spec", &self.spec)?;
                match &self.status {
                    Some(status) => object.serialize_field("status", status)?,
                    None => object.skip_field("status")?,
                }
                object.end()
            }
        }

        impl kube::core::Resource for $name {
            type DynamicType = ();
            type Scope = kube::core::$scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                stringify!($name).into()
            }
            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn api_version((): &()) -> std::borrow::Cow<'_, str> {
                concat!($group, "/", $version).into()
            }
            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use {keywords, kind, message};

/// Whether a field holds what an absent field holds, and so need not be written.
pub(crate) fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
