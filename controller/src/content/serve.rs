//! Answers a device's request for a value it lacks: reads it from the API, checks that it is still the
//! one asked for, sends a piece. Never logs a value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use longshore_bus::envelope::{ContentRequest, ContentResponse, VERSION};
use longshore_bus::port::{Message, Properties};
use longshore_bus::{DeviceId, Topic, codec};

use super::ContentKeys;
use crate::render::{ContentKind, ContentSource};

/// Why a value could not be read. The agent asks again.
#[derive(Debug, thiserror::Error)]
#[error("read {} {}/{}", .from.object.kind, .from.object.namespace, .from.object.name)]
pub(crate) struct ReadError {
    /// What was read.
    pub(crate) from: ContentSource,
    /// Why not.
    #[source]
    pub(crate) source: kube::Error,
}

/// Reads the value at `from`; absent if the object or the key is not there.
async fn read(client: Client, from: &ContentSource) -> Result<Option<Vec<u8>>, ReadError> {
    let failed = |source| ReadError {
        from: from.clone(),
        source,
    };
    let (namespace, name) = (&from.object.namespace, &from.object.name);
    match from.object.kind {
        ContentKind::ConfigMap => {
            let api: Api<ConfigMap> = Api::namespaced(client, namespace);
            let object = api.get_opt(name).await.map_err(failed)?.unwrap_or_default();
            let text = object.data.and_then(|mut data| data.remove(&from.key));
            let binary = object.binary_data.and_then(|mut data| data.remove(&from.key));
            Ok(text.map(String::into_bytes).or(binary.map(|b| b.0)))
        }
        ContentKind::Secret => {
            let api: Api<Secret> = Api::namespaced(client, namespace);
            let object = api.get_opt(name).await.map_err(failed)?.unwrap_or_default();
            Ok(object
                .data
                .and_then(|mut data| data.remove(&from.key))
                .map(|b| b.0))
        }
    }
}

/// The answer to `request` of `device`. `from` is absent for a value that this device has no business
/// with or that nobody has.
pub(crate) async fn answer(
    client: Client,
    keys: ContentKeys,
    device: DeviceId,
    request: ContentRequest,
    from: Option<ContentSource>,
) -> Result<Message, ReadError> {
    let value = match &from {
        Some(from) => read(client, from).await?,
        None => None,
    };
    // It may have changed since the index saw it; then another digest is on its way to the device.
    let value = value.filter(|v| keys.digest(device.tenant().as_str(), v) == request.digest);
    Ok(message(&device, &piece(&request, value.as_deref())))
}

fn piece(request: &ContentRequest, value: Option<&[u8]>) -> ContentResponse {
    let rest = value
        .and_then(|v| v.get(usize::try_from(request.offset).ok()?..))
        .unwrap_or_default();
    let chunk = &rest[..rest.len().min(ContentResponse::CHUNK)];
    ContentResponse {
        version: VERSION,
        digest: request.digest.clone(),
        offset: request.offset,
        total: value.map(|v| v.len() as u64),
        data: STANDARD.encode(chunk),
    }
}

fn message(device: &DeviceId, response: &ContentResponse) -> Message {
    Message {
        topic: Topic::ContentResponse(device.clone()).to_string(),
        payload: codec::encode(response).expect("a piece is smaller than an envelope may be"),
        properties: Properties {
            // The agent asks again: an old answer helps nobody.
            message_expiry: Some(std::time::Duration::from_secs(30)),
            ..Properties::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use longshore_plan::spec::ContentDigest;

    use super::*;

    fn request(offset: u64) -> ContentRequest {
        ContentRequest {
            version: VERSION,
            digest: ContentDigest("d".repeat(64)),
            offset,
        }
    }

    #[test]
    fn a_value_comes_in_pieces_that_fit_an_envelope_and_add_up() {
        let value: Vec<u8> = (0..200_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let device: DeviceId = "default.dev1".parse().unwrap();
        let mut got = Vec::new();
        while got.len() < value.len() {
            let response = piece(&request(got.len() as u64), Some(&value));
            assert_eq!(response.total, Some(200_000));
            assert!(message(&device, &response).payload.len() <= longshore_bus::envelope::MAX_ENVELOPE);
            got.extend(STANDARD.decode(&response.data).unwrap());
        }
        assert_eq!(got, value);
    }

    #[test]
    fn an_offset_behind_the_end_yields_an_empty_piece() {
        for offset in [3, 4, u64::MAX] {
            let response = piece(&request(offset), Some(b"abc"));
            assert_eq!((response.total, response.data.as_str()), (Some(3), ""));
        }
    }

    #[test]
    fn a_value_nobody_has_has_no_length() {
        let response = piece(&request(0), None);
        assert_eq!((response.total, response.data.as_str()), (None, ""));
    }

    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(piece(&request(0), Some(b"")).total, Some(0));
    }
}
