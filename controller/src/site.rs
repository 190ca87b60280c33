//! The site's identity and its leader's Lease: the two objects the controller keeps for itself.
//!
//! The Secret `longshore-site` {uid, contentKey} is made once and never changed: the uid is in every
//! fence and every container's labels, the key in every content digest. Whoever comes second reads what
//! the first one made.

pub(crate) mod lease;

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use rand::TryRngCore as _;
use uuid::Uuid;

use crate::content::ContentKeys;

/// The Secret that holds the site's identity.
pub(crate) const SITE_SECRET: &str = "longshore-site";
/// Who writes, in managed fields.
pub(crate) const FIELD_MANAGER: &str = "longshore-controller";

const UID: &str = "uid";
const CONTENT_KEY: &str = "contentKey";

/// Who this site is.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Its uid.
    pub(crate) uid: String,
    /// Its content keys.
    pub(crate) keys: ContentKeys,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The system namespace is not there and cannot be made.
    #[error("create namespace {namespace}")]
    CreateNamespace {
        /// Its name.
        namespace: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The Secret cannot be read.
    #[error("read Secret {namespace}/{SITE_SECRET}")]
    Read {
        /// The system namespace.
        namespace: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The Secret cannot be made.
    #[error("create Secret {namespace}/{SITE_SECRET}")]
    Create {
        /// The system namespace.
        namespace: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The Secret is there and is not what it should be. It is never overwritten: every device would
    /// take a new identity for another site.
    #[error("Secret {namespace}/{SITE_SECRET} has no valid {field}")]
    Malformed {
        /// The system namespace.
        namespace: String,
        /// Which field.
        field: &'static str,
    },
    /// The operating system gives no random bytes.
    #[error("get random bytes for the site's content key")]
    Random {
        /// Why.
        #[source]
        source: rand::rand_core::OsError,
    },
}

/// Reads the identity, or makes it the first time, under the uid that is given then.
pub(crate) async fn ensure(
    client: &Client,
    namespace: &str,
    uid: impl FnOnce() -> Uuid,
) -> Result<Site, SiteError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let read = |source| SiteError::Read {
        namespace: namespace.to_owned(),
        source,
    };
    if let Some(secret) = api.get_opt(SITE_SECRET).await.map_err(read)? {
        return parse(namespace, &secret);
    }
    ensure_namespace(client, namespace).await?;
    let fresh = fresh(uid())?;
    match api.create(&params(), &fresh).await {
        Ok(secret) => parse(namespace, &secret),
        Err(error) if status(&error) == Some(409) => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            parse(namespace, &api.get(SITE_SECRET).await.map_err(read)?)
        }
        Err(source) => Err(SiteError::Create {
            namespace: namespace.to_owned(),
            source,
        }),
    }
}

async fn ensure_namespace(client: &Client, namespace: &str) -> Result<(), SiteError> {
    let object = Namespace {
        metadata: ObjectMeta {
            name: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    match Api::<Namespace>::all(client.clone())
        .create(&params(), &object)
        .await
    {
        Ok(_) => Ok(()),
        // There already, or not ours to make: the Secret will tell whether that matters.
        Err(error) if matches!(status(&error), Some(403 | 409)) => Ok(()),
        Err(source) => Err(SiteError::CreateNamespace {
            namespace: namespace.to_owned(),
            source,
        }),
    }
}

/// A new identity. The key comes from the operating system and not from an `IdSource`, whose generator can be
/// foreseen by who sees enough ids; a simulation that wants equal digests makes the Secret itself.
fn fresh(uid: Uuid) -> Result<Secret, SiteError> {
    let mut key = [0; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut key)
        .map_err(|source| SiteError::Random { source })?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SITE_SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("longshore.dev/site".to_owned()),
        data: Some(
            [
                (UID.to_owned(), ByteString(uid.to_string().into_bytes())),
                (CONTENT_KEY.to_owned(), ByteString(key.to_vec())),
            ]
            .into(),
        ),
        ..Secret::default()
    })
}

/// Reads the identity out of its Secret.
pub(crate) fn parse(namespace: &str, secret: &Secret) -> Result<Site, SiteError> {
    let malformed = |field| SiteError::Malformed {
        namespace: namespace.to_owned(),
        field,
    };
    let value = |field| secret.data.as_ref()?.get(field).map(|value| value.0.clone());
    let uid = value(UID)
        .and_then(|uid| String::from_utf8(uid).ok())
        // It becomes a label's value on every container.
        .filter(|uid| uid.parse::<Uuid>().is_ok())
        .ok_or_else(|| malformed(UID))?;
    let key = value(CONTENT_KEY)
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| malformed(CONTENT_KEY))?;
    Ok(Site {
        uid,
        keys: ContentKeys::new(key),
    })
}

/// Parameters of a create under our name.
pub(crate) fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// The HTTP status an API server answered with.
pub(crate) fn status(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use longshore_bus::clock::{IdSource, SystemClock};

    use super::*;

    #[test]
    fn a_fresh_identity_reads_back() {
        let ids = IdSource::from_seed(Arc::new(SystemClock), 1);
        let secret = fresh(ids.uuid()).unwrap();
        let site = parse("longshore-system", &secret).unwrap();
        assert!(site.uid.parse::<Uuid>().is_ok());
        let again = parse("longshore-system", &secret).unwrap();
        assert_eq!(site.keys.digest("a", b"x"), again.keys.digest("a", b"x"));
    }

    #[test]
    fn a_damaged_identity_is_an_error_that_names_the_field() {
        let ids = IdSource::from_seed(Arc::new(SystemClock), 1);
        for field in [UID, CONTENT_KEY] {
            let mut secret = fresh(ids.uuid()).unwrap();
            secret
                .data
                .as_mut()
                .unwrap()
                .insert(field.to_owned(), ByteString(b"?".to_vec()));
            let error = parse("longshore-system", &secret).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
