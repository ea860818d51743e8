//! What comes out for what a user could apply: YAML in, resources out, as short text.

mod bookinfo;
mod fixture;
mod gateway;
mod render;
mod traffic;
mod updates;
