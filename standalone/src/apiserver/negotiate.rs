//! Which representation a client asked for.
//!
//! Answers are JSON. Clients that would rather have protobuf list JSON too, or take it anyway; one
//! that takes neither gets 406.

use http::HeaderMap;
use http::header::ACCEPT;

use super::failure::ApiError;

/// How resources are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// As they are.
    Object,
    /// As rows of a `meta.k8s.io` Table.
    Table,
    /// Metadata only.
    Partial,
}

/// How discovery is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// Aggregated, `apidiscovery.k8s.io/v2`.
    V2,
    /// Aggregated, `apidiscovery.k8s.io/v2beta1`.
    V2Beta1,
    /// One document per group and version.
    Plain,
}

/// How `/openapi/v2` is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenApiV2 {
    Json,
    /// gnostic's message: what kubectl asks for, and takes alone.
    Protobuf,
}

/// One alternative of an Accept header: media type and parameters.
struct Alternative {
    media: String,
    params: Vec<(String, String)>,
}

impl Alternative {
    fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    fn is_json(&self) -> bool {
        matches!(self.media.as_str(), "application/json" | "application/*" | "*/*")
    }

    /// Protobuf is answered in JSON: every client that asks for it reads the Content-Type.
    fn is_readable(&self) -> bool {
        self.is_json()
            || matches!(
                self.media.as_str(),
                "application/vnd.kubernetes.protobuf" | "application/yaml"
            )
    }
}

fn alternatives(headers: &HeaderMap) -> Vec<Alternative> {
    let header = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    let parse = |text: &str| {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let params = parts
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        Alternative { media, params }
    };
    header.split(',').map(parse).collect()
}

/// The first alternative this server can give.
pub(crate) fn show(headers: &HeaderMap, list: bool) -> Result<Show, ApiError> {
    for alternative in alternatives(headers).iter().filter(|a| a.is_readable()) {
        let partial = if list {
            "PartialObjectMetadataList"
        } else {
            "PartialObjectMetadata"
        };
        match (
            alternative.param("as"),
            alternative.param("g"),
            alternative.param("v"),
        ) {
            ("", ..) => return Ok(Show::Object),
            ("Table", "meta.k8s.io", "v1" | "v1beta1") if alternative.is_json() => return Ok(Show::Table),
            (kind, "meta.k8s.io", "v1" | "v1beta1")
                if alternative.is_json() && (kind == partial || kind == "PartialObjectMetadata") =>
            {
                return Ok(Show::Partial);
            }
            _ => {}
        }
    }
    Err(ApiError::not_acceptable("application/json"))
}

/// The first form of discovery this server can give; plain when nothing matches.
pub(crate) fn discovery(headers: &HeaderMap) -> Discovery {
    for alternative in alternatives(headers).iter().filter(|a| a.is_json()) {
        match (
            alternative.param("as"),
            alternative.param("g"),
            alternative.param("v"),
        ) {
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => return Discovery::V2,
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => return Discovery::V2Beta1,
            ("", ..) => return Discovery::Plain,
            _ => {}
        }
    }
    Discovery::Plain
}

/// The first form of `/openapi/v2` this server can give; JSON when nothing matches, as in Kubernetes.
pub(crate) fn openapi_v2(headers: &HeaderMap) -> OpenApiV2 {
    let readable = alternatives(headers).iter().find_map(|a| match a.media.as_str() {
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
        | "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" => Some(OpenApiV2::Protobuf),
        _ if a.is_json() => Some(OpenApiV2::Json),
        _ => None,
    });
    readable.unwrap_or(OpenApiV2::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())])
    }

    #[test]
    fn the_first_form_on_offer_is_taken() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        assert_eq!(show(&accept(table), true).unwrap(), Show::Table);
        assert_eq!(show(&accept(partial), true).unwrap(), Show::Partial);
        assert_eq!(
            show(&accept("application/vnd.kubernetes.protobuf, */*"), true).unwrap(),
            Show::Object
        );
        assert_eq!(show(&HeaderMap::new(), false).unwrap(), Show::Object);
        assert!(show(&accept("text/html"), false).is_err());
    }

    #[test]
    fn discovery_prefers_what_the_client_lists_first() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery(&accept(v2)), Discovery::V2);
        assert_eq!(
            discovery(&accept(v2.split_once(',').unwrap().1)),
            Discovery::V2Beta1
        );
        assert_eq!(discovery(&accept("application/json, */*")), Discovery::Plain);
        let gnostic = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(openapi_v2(&accept(gnostic)), OpenApiV2::Protobuf);
        assert_eq!(openapi_v2(&accept("application/json")), OpenApiV2::Json);
    }
}
