//! Temp.
pub(crate) mod apply;
pub(crate) mod patch;
pub(crate) mod protobuf;
pub(crate) mod schema;
