//! What rendering carries along: the lookup, the problems found and the content used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use longshore_crds::Quantity;
use longshore_plan::names::DnsLabel;
use longshore_plan::spec::{ContentDigest, ContentRef};

use super::content::{ContentKind, ContentLookup, ContentObject, ContentSource};
use super::problem::RenderProblem;

/// Rendering goes on after a problem with a stand-in, to find the others; [`Context::finish`] sees to it
/// that no stand-in ever leaves.
pub(super) struct Context<'a> {
    namespace: &'a str,
    lookup: &'a dyn ContentLookup,
    problems: Vec<RenderProblem>,
    content: BTreeMap<ContentDigest, BTreeSet<ContentSource>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(namespace: &'a str, lookup: &'a dyn ContentLookup) -> Self {
        Self {
            namespace,
            lookup,
            problems: Vec::new(),
            content: BTreeMap::new(),
        }
    }

    /// The sources of the content used, or the problems. Of equal values in several places the first
    /// in order is named.
    pub(super) fn finish(self) -> Result<BTreeMap<ContentDigest, ContentSource>, Vec<RenderProblem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let first =
            |(digest, sources): (_, BTreeSet<ContentSource>)| Some((digest, sources.into_iter().next()?));
        Ok(self.content.into_iter().filter_map(first).collect())
    }

    pub(super) fn problem(&mut self, problem: RenderProblem) {
        self.problems.push(problem);
    }

    pub(super) fn invalid(&mut self, field: &str, reason: impl Into<String>) {
        self.problem(RenderProblem::Invalid {
            field: field.to_owned(),
            reason: reason.into(),
        });
    }

    pub(super) fn label(&mut self, field: &str, name: &str) -> DnsLabel {
        DnsLabel::new(name).unwrap_or_else(|invalid| {
            self.problem(RenderProblem::Name {
                field: field.to_owned(),
                invalid,
            });
            DnsLabel::new("invalid").expect("a label")
        })
    }

    pub(super) fn address(&mut self, field: &str, text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| {
            self.invalid(field, format!("{text:?} is no IP address"));
            IpAddr::from([0, 0, 0, 0])
        })
    }

    /// In thousandths; 0 and absence are one.
    pub(super) fn millis(&mut self, field: &str, quantity: Option<&Quantity>) -> Option<u64> {
        self.amount(field, quantity?.millis())
    }

    /// In whole units; 0 and absence are one.
    pub(super) fn bytes(&mut self, field: &str, quantity: Option<&Quantity>) -> Option<u64> {
        self.amount(field, quantity?.bytes()).filter(|bytes| *bytes > 0)
    }

    fn amount(&mut self, field: &str, read: Result<u64, longshore_crds::InvalidQuantity>) -> Option<u64> {
        read.map_err(|invalid| {
            self.problem(RenderProblem::Quantity {
                field: field.to_owned(),
                invalid,
            });
        })
        .ok()
    }

    /// One key. Absent if it is optional and missing, or a problem.
    pub(super) fn key(
        &mut self,
        field: &str,
        kind: ContentKind,
        name: &str,
        key: &str,
        optional: bool,
    ) -> Option<ContentRef> {
        let object = self.object(kind, name);
        let digests = self.lookup.digests(&object);
        if let Some(digest) = digests.and_then(|digests| digests.get(key)) {
            return Some(self.uses(&object, key, digest));
        }
        if !optional {
            let key = digests.map(|_| key.to_owned());
            self.missing(field, object, key);
        }
        None
    }

    /// Every key, sorted. Empty if the object is optional and missing, or a problem.
    pub(super) fn keys(
        &mut self,
        field: &str,
        kind: ContentKind,
        name: &str,
        optional: bool,
    ) -> Vec<(String, ContentRef)> {
        let object = self.object(kind, name);
        let Some(digests) = self.lookup.digests(&object) else {
            if !optional {
                self.missing(field, object, None);
            }
            return Vec::new();
        };
        digests
            .iter()
            .map(|(key, digest)| (key.clone(), self.uses(&object, key, digest)))
            .collect()
    }

    fn object(&self, kind: ContentKind, name: &str) -> ContentObject {
        ContentObject {
            kind,
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn uses(&mut self, object: &ContentObject, key: &str, digest: &ContentDigest) -> ContentRef {
        let source = ContentSource {
            object: object.clone(),
            key: key.to_owned(),
        };
        let reference = source.reference(digest);
        self.content.entry(digest.clone()).or_default().insert(source);
        reference
    }

    fn missing(&mut self, field: &str, object: ContentObject, key: Option<String>) {
        self.problem(RenderProblem::MissingContent {
            field: field.to_owned(),
            kind: object.kind,
            name: object.name,
            key,
        });
    }
}
