//! What ConfigMaps and Secrets contain, known by keyed digests only. The values themselves are read from
//! the API when a device asks for them (see [`serve`]) and are held no longer than that takes.

pub(crate) mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Resource;
use kube::runtime::watcher::Event;
use longshore_crds::names::ObjectKey;
use longshore_plan::spec::ContentDigest;
use sha2::Sha256;

use crate::render::{ContentKind, ContentLookup, ContentObject};

/// The site's content key, from which each tenant's is derived. Digests tell equal values apart from
/// different ones within a tenant, and nothing to anybody without the key.
#[derive(Clone)]
pub(crate) struct ContentKeys {
    site: [u8; 32],
}

impl std::fmt::Debug for ContentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentKeys").finish_non_exhaustive()
    }
}

impl ContentKeys {
    /// Keys derived from the site's.
    pub(crate) fn new(site: [u8; 32]) -> Self {
        Self { site }
    }

    /// The digest of `value` among the tenant's.
    pub(crate) fn digest(&self, tenant: &str, value: &[u8]) -> ContentDigest {
        let tenant_key = hmac(&self.site, &[b"longshore.dev/content/v1/", tenant.as_bytes()]);
        let hex = hmac(&tenant_key, &[value])
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("writing to a String");
                hex
            });
        ContentDigest(hex)
    }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// One ConfigMap or Secret, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentState {
    object: ContentObject,
    /// By key of the object.
    digests: BTreeMap<String, ContentDigest>,
}

impl ContentState {
    /// What a ConfigMap contains. Absent for one without a name, which no server gives.
    pub(crate) fn of_config_map(object: &ConfigMap, keys: &ContentKeys) -> Option<Self> {
        let text = object.data.iter().flatten().map(|(k, v)| (k, v.as_bytes()));
        let binary = object
            .binary_data
            .iter()
            .flatten()
            .map(|(k, v)| (k, v.0.as_slice()));
        Self::new(ContentKind::ConfigMap, object, text.chain(binary), keys)
    }

    /// What a Secret contains.
    pub(crate) fn of_secret(object: &Secret, keys: &ContentKeys) -> Option<Self> {
        let data = object.data.iter().flatten().map(|(k, v)| (k, v.0.as_slice()));
        Self::new(ContentKind::Secret, object, data, keys)
    }

    fn new<'a>(
        kind: ContentKind,
        object: &impl Resource,
        values: impl Iterator<Item = (&'a String, &'a [u8])>,
        keys: &ContentKeys,
    ) -> Option<Self> {
        let ObjectKey { namespace, name } = ObjectKey::of(object)?;
        let digests = values
            .map(|(name, value)| (name.clone(), keys.digest(&namespace, value)))
            .collect();
        Some(Self {
            object: ContentObject {
                kind,
                namespace,
                name,
            },
            digests,
        })
    }
}

/// A watch event about one kind of content.
pub(crate) type ContentEvent = (ContentKind, Event<Option<ContentState>>);

type Digests = BTreeMap<String, ContentDigest>;

/// The digests of every ConfigMap and Secret.
#[derive(Debug, Default)]
pub(crate) struct ContentIndex {
    objects: BTreeMap<ContentObject, Digests>,
    listing: BTreeMap<ContentKind, BTreeMap<ContentObject, Digests>>,
    listed: BTreeSet<ContentKind>,
    /// Never given to a device, whatever refers to it: the site's own Secret.
    private: Option<ContentObject>,
}

impl ContentLookup for ContentIndex {
    fn digests(&self, object: &ContentObject) -> Option<&BTreeMap<String, ContentDigest>> {
        self.objects.get(object)
    }
}

impl ContentIndex {
    /// An index for which the Secret `private` does not exist.
    pub(crate) fn without(private: ContentObject) -> Self {
        Self {
            private: Some(private),
            ..Self::default()
        }
    }

    /// Whether both kinds were listed completely once.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.len() == 2
    }

    /// Takes in what a watch says; returns the objects whose content differs now.
    pub(crate) fn apply(&mut self, (kind, event): ContentEvent) -> BTreeSet<ContentObject> {
        let mut changed = BTreeSet::new();
        match event {
            Event::Apply(Some(state)) if !self.is_private(&state) => self.set(state, &mut changed),
            Event::Delete(Some(state)) => {
                if self.objects.remove(&state.object).is_some() {
                    changed.insert(state.object);
                }
            }
            Event::Init => {
                self.listing.insert(kind, BTreeMap::new());
            }
            Event::InitApply(Some(state)) if !self.is_private(&state) => {
                self.listing
                    .entry(kind)
                    .or_default()
                    .insert(state.object, state.digests);
            }
            Event::InitDone => self.finish_listing(kind, &mut changed),
            Event::Apply(_) | Event::Delete(None) | Event::InitApply(_) => {}
        }
        changed
    }

    fn is_private(&self, state: &ContentState) -> bool {
        self.private.as_ref() == Some(&state.object)
    }

    fn set(&mut self, state: ContentState, changed: &mut BTreeSet<ContentObject>) {
        let ContentState { object, digests } = state;
        if self.objects.get(&object) != Some(&digests) {
            self.objects.insert(object.clone(), digests);
            changed.insert(object);
        }
    }

    fn finish_listing(&mut self, kind: ContentKind, changed: &mut BTreeSet<ContentObject>) {
        let listing = self.listing.remove(&kind).unwrap_or_default();
        self.listed.insert(kind);
        self.objects.retain(|object, _| {
            let stays = object.kind != kind || listing.contains_key(object);
            if !stays {
                changed.insert(object.clone());
            }
            stays
        });
        for (object, digests) in listing {
            self.set(ContentState { object, digests }, changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn keys() -> ContentKeys {
        ContentKeys::new([7; 32])
    }

    fn name(name: &str) -> ContentObject {
        ContentObject {
            kind: ContentKind::Secret,
            namespace: "a".into(),
            name: name.into(),
        }
    }

    fn secret(name: &str, value: &str) -> Option<ContentState> {
        let mut secret = Secret {
            data: Some([("token".to_owned(), ByteString(value.into()))].into()),
            ..Secret::default()
        };
        secret.metadata.namespace = Some("a".into());
        secret.metadata.name = Some(name.into());
        ContentState::of_secret(&secret, &keys())
    }

    #[test]
    fn equal_values_of_two_tenants_have_different_digests() {
        let keys = keys();
        assert_eq!(keys.digest("a", b"x"), keys.digest("a", b"x"));
        assert_ne!(keys.digest("a", b"x"), keys.digest("b", b"x"));
        assert_ne!(
            keys.digest("a", b"x"),
            ContentKeys::new([8; 32]).digest("a", b"x")
        );
        assert_eq!(keys.digest("a", b"x").0.len(), 64);
    }

    #[test]
    fn only_another_value_is_a_change() {
        let mut index = ContentIndex::default();
        let mut apply = |value| index.apply((ContentKind::Secret, Event::Apply(secret("s", value))));
        assert_eq!(apply("v"), BTreeSet::from([name("s")]));
        assert!(apply("v").is_empty());
        assert_eq!(apply("w").len(), 1);
        assert_eq!(
            index.digests(&name("s")).unwrap()["token"],
            keys().digest("a", b"w")
        );
    }

    #[test]
    fn a_relist_drops_what_it_lacks_of_its_own_kind_only() {
        let mut index = ContentIndex::default();
        index.apply((ContentKind::Secret, Event::Apply(secret("s", "v"))));
        index.apply((ContentKind::ConfigMap, Event::Init));
        assert!(index.apply((ContentKind::ConfigMap, Event::InitDone)).is_empty());
        assert!(index.digests(&name("s")).is_some());
        assert!(!index.is_listed());
        index.apply((ContentKind::Secret, Event::Init));
        let changed = index.apply((ContentKind::Secret, Event::InitDone));
        assert_eq!(changed, BTreeSet::from([name("s")]));
        assert!(index.digests(&name("s")).is_none());
        assert!(index.is_listed());
    }

    #[test]
    fn the_sites_own_secret_does_not_exist_for_workloads() {
        let mut index = ContentIndex::without(name("s"));
        index.apply((ContentKind::Secret, Event::Apply(secret("s", "v"))));
        assert!(index.digests(&name("s")).is_none());
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", keys()), "ContentKeys { .. }");
    }
}
