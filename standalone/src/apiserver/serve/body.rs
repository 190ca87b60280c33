//! Request bodies: bounded, in JSON, YAML or the protobuf of Kubernetes.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};

use crate::apiserver::admit::{DeleteOptions, Propagation};
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::protobuf::{self, DecodeError};
use crate::apiserver::query::Query;

/// The largest body taken, as in Kubernetes.
pub(super) const BODY_LIMIT: usize = 3 << 20;

/// How much of a body that is too large is read and dropped: a client still busy sending would see
/// a broken connection instead of the answer.
const DRAIN_LIMIT: usize = 8 * BODY_LIMIT;

const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The media type without its parameters; empty when none was sent.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim()
}

pub(super) async fn bytes(mut body: Body) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the body of the request could not be read"))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total <= BODY_LIMIT {
            read.extend_from_slice(&data);
        } else if total > DRAIN_LIMIT {
            break;
        }
    }
    if total > BODY_LIMIT {
        Err(ApiError::too_large(&format!("limit is {BODY_LIMIT}")))
    } else {
        Ok(read.freeze())
    }
}

/// One object.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Value, ApiError> {
    let bytes = bytes(body).await?;
    match media_type(headers) {
        // Some clients send none and mean JSON.
        "" | "application/json" => json(&bytes),
        "application/yaml" => yaml(&bytes),
        other if protobuf::is_protobuf(other) => protobuf::decode(&bytes).map_err(|error| match error {
            DecodeError::UnknownKind { .. } => {
                ApiError::unsupported_media_type("application/json, application/yaml")
            }
            other => ApiError::bad_request(other.to_string()),
        }),
        _ => Err(ApiError::unsupported_media_type(ACCEPTED)),
    }
}

pub(super) fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    parse(bytes)
        .map_err(|why| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {why}")))
}

/// Parses JSON; the error says what is wrong, as Go does where that can be said.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        }
    })
}

pub(super) fn yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_yaml::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))
}

/// DeleteOptions from the body, or from the query where the body has none.
pub(super) async fn delete_options(
    headers: &HeaderMap,
    query: &Query,
    body: Body,
) -> Result<DeleteOptions, ApiError> {
    let bytes = bytes(body).await?;
    let mut sent = if bytes.is_empty() {
        Value::Object(Map::new())
    } else {
        read(headers, Body::from(bytes)).await?
    };
    // Deleting on a body that means something else would be a bad guess.
    let kind = sent["kind"].as_str().unwrap_or_default();
    if !kind.is_empty() && kind != "DeleteOptions" {
        let version = sent["apiVersion"].as_str().unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?}"
        )));
    }
    let policy = match sent
        .as_object_mut()
        .and_then(|options| options.remove("propagationPolicy"))
    {
        Some(Value::String(policy)) => policy,
        _ => query.get("propagationPolicy").to_owned(),
    };
    let options: DeleteOptions = serde_json::from_value(sent)
        .map_err(|error| ApiError::bad_request(format!("invalid DeleteOptions: {error}")))?;
    let propagation_policy = match policy.as_str() {
        "Orphan" => Some(Propagation::Orphan),
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "" => None,
        other => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            let cause = Cause::unsupported("propagationPolicy", &format!("{other:?}"), &known);
            return Err(ApiError::invalid_options("DeleteOptions", &[cause]));
        }
    };
    Ok(DeleteOptions {
        propagation_policy,
        ..options
    })
}
