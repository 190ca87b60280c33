//! The messages: `generated.proto` of `k8s.io/apimachinery` and `k8s.io/api` 0.36, field by field.

/// A message is its fields.
pub(super) type Message = [Column];

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) shape: Type,
    pub(super) presence: Presence,
}

/// How a field may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// A Go value with `omitempty`: always on the wire, in JSON only when it is not zero.
    Plain,
    /// A Go pointer: on the wire and in JSON when it is set, even to zero.
    Pointer,
    /// A list.
    Repeated,
    /// A map from strings.
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    String,
    /// Base64 in JSON.
    Bytes,
    Bool,
    Int,
    Message(&'static Message),
    /// `metav1.Time`: whole seconds in JSON.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// `runtime.RawExtension` and `FieldsV1`: JSON bytes.
    Json,
    /// A message that only wraps a list of strings.
    Strings,
}

use Presence::{Map, Plain, Pointer, Repeated};
use Type::{Bool, Bytes, Int, Json, MicroTime, String, Strings, Time};

const fn field(number: u64, name: &'static str, shape: Type, presence: Presence) -> Column {
    Column {
        number,
        name,
        shape,
        presence,
    }
}

/// The message of a kind.
pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "Secret") => SECRET,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Event") => EVENT,
        ("events.k8s.io/v1", "Event") => EVENTS_EVENT,
        ("coordination.k8s.io/v1", "Lease") => LEASE,
        ("apps/v1", "ControllerRevision") => CONTROLLER_REVISION,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => SELF_SUBJECT_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => SELF_SUBJECT_ACCESS_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => SELF_SUBJECT_RULES_REVIEW,
        // Clients send it in the group of what they delete.
        (_, "DeleteOptions") => DELETE_OPTIONS,
        _ => return None,
    })
}

const METADATA: Column = field(1, "metadata", Type::Message(OBJECT_META), Plain);

static OBJECT_META: &Message = &[
    field(1, "name", String, Plain),
    field(2, "generateName", String, Plain),
    field(3, "namespace", String, Plain),
    field(4, "selfLink", String, Plain),
    field(5, "uid", String, Plain),
    field(6, "resourceVersion", String, Plain),
    field(7, "generation", Int, Plain),
    field(8, "creationTimestamp", Time, Plain),
    field(9, "deletionTimestamp", Time, Pointer),
    field(10, "deletionGracePeriodSeconds", Int, Pointer),
    field(11, "labels", String, Map),
    field(12, "annotations", String, Map),
    field(13, "ownerReferences", Type::Message(OWNER_REFERENCE), Repeated),
    field(14, "finalizers", String, Repeated),
    field(17, "managedFields", Type::Message(MANAGED_FIELDS_ENTRY), Repeated),
];

static OWNER_REFERENCE: &Message = &[
    field(1, "kind", String, Plain),
    field(3, "name", String, Plain),
    field(4, "uid", String, Plain),
    field(5, "apiVersion", String, Plain),
    field(6, "controller", Bool, Pointer),
    field(7, "blockOwnerDeletion", Bool, Pointer),
];

static MANAGED_FIELDS_ENTRY: &Message = &[
    field(1, "manager", String, Plain),
    field(2, "operation", String, Plain),
    field(3, "apiVersion", String, Plain),
    field(4, "time", Time, Pointer),
    field(6, "fieldsType", String, Plain),
    field(7, "fieldsV1", Json, Pointer),
    field(8, "subresource", String, Plain),
];

static NAMESPACE: &Message = &[
    METADATA,
    field(
        2,
        "spec",
        Type::Message(&[field(1, "finalizers", String, Repeated)]),
        Plain,
    ),
    field(3, "status", Type::Message(NAMESPACE_STATUS), Plain),
];

static NAMESPACE_STATUS: &Message = &[
    field(1, "phase", String, Plain),
    field(2, "conditions", Type::Message(NAMESPACE_CONDITION), Repeated),
];

static NAMESPACE_CONDITION: &Message = &[
    field(1, "type", String, Plain),
    field(2, "status", String, Plain),
    field(4, "lastTransitionTime", Time, Plain),
    field(5, "reason", String, Plain),
    field(6, "message", String, Plain),
];

static SECRET: &Message = &[
    METADATA,
    field(2, "data", Bytes, Map),
    field(3, "type", String, Plain),
    field(4, "stringData", String, Map),
    field(5, "immutable", Bool, Pointer),
];

static CONFIG_MAP: &Message = &[
    METADATA,
    field(2, "data", String, Map),
    field(3, "binaryData", Bytes, Map),
    field(4, "immutable", Bool, Pointer),
];

static OBJECT_REFERENCE: &Message = &[
    field(1, "kind", String, Plain),
    field(2, "namespace", String, Plain),
    field(3, "name", String, Plain),
    field(4, "uid", String, Plain),
    field(5, "apiVersion", String, Plain),
    field(6, "resourceVersion", String, Plain),
    field(7, "fieldPath", String, Plain),
];

static EVENT_SOURCE: &Message = &[
    field(1, "component", String, Plain),
    field(2, "host", String, Plain),
];

static EVENT_SERIES: &Message = &[
    field(1, "count", Int, Plain),
    field(2, "lastObservedTime", MicroTime, Plain),
];

static EVENT: &Message = &[
    METADATA,
    field(2, "involvedObject", Type::Message(OBJECT_REFERENCE), Plain),
    field(3, "reason", String, Plain),
    field(4, "message", String, Plain),
    field(5, "source", Type::Message(EVENT_SOURCE), Plain),
    field(6, "firstTimestamp", Time, Plain),
    field(7, "lastTimestamp", Time, Plain),
    field(8, "count", Int, Plain),
    field(9, "type", String, Plain),
    field(10, "eventTime", MicroTime, Plain),
    field(11, "series", Type::Message(EVENT_SERIES), Pointer),
    field(12, "action", String, Plain),
    field(13, "related", Type::Message(OBJECT_REFERENCE), Pointer),
    field(14, "reportingComponent", String, Plain),
    field(15, "reportingInstance", String, Plain),
];

static EVENTS_EVENT: &Message = &[
    METADATA,
    field(2, "eventTime", MicroTime, Plain),
    field(3, "series", Type::Message(EVENT_SERIES), Pointer),
    field(4, "reportingController", String, Plain),
    field(5, "reportingInstance", String, Plain),
    field(6, "action", String, Plain),
    field(7, "reason", String, Plain),
    field(8, "regarding", Type::Message(OBJECT_REFERENCE), Plain),
    field(9, "related", Type::Message(OBJECT_REFERENCE), Pointer),
    field(10, "note", String, Plain),
    field(11, "type", String, Plain),
    field(12, "deprecatedSource", Type::Message(EVENT_SOURCE), Plain),
    field(13, "deprecatedFirstTimestamp", Time, Plain),
    field(14, "deprecatedLastTimestamp", Time, Plain),
    field(15, "deprecatedCount", Int, Plain),
];

static LEASE: &Message = &[METADATA, field(2, "spec", Type::Message(LEASE_SPEC), Plain)];

static LEASE_SPEC: &Message = &[
    field(1, "holderIdentity", String, Pointer),
    field(2, "leaseDurationSeconds", Int, Pointer),
    field(3, "acquireTime", MicroTime, Pointer),
    field(4, "renewTime", MicroTime, Pointer),
    field(5, "leaseTransitions", Int, Pointer),
    field(6, "strategy", String, Pointer),
    field(7, "preferredHolder", String, Pointer),
];

static CONTROLLER_REVISION: &Message = &[
    METADATA,
    field(2, "data", Json, Plain),
    field(3, "revision", Int, Plain),
];

static SELF_SUBJECT_REVIEW: &Message = &[
    METADATA,
    field(2, "status", Type::Message(SELF_SUBJECT_REVIEW_STATUS), Plain),
];

static SELF_SUBJECT_REVIEW_STATUS: &Message = &[field(1, "userInfo", Type::Message(USER_INFO), Plain)];

static USER_INFO: &Message = &[
    field(1, "username", String, Plain),
    field(2, "uid", String, Plain),
    field(3, "groups", String, Repeated),
    field(4, "extra", Strings, Map),
];

static SELF_SUBJECT_ACCESS_REVIEW: &Message = &[
    METADATA,
    field(2, "spec", Type::Message(SELF_SUBJECT_ACCESS_REVIEW_SPEC), Plain),
    field(3, "status", Type::Message(ACCESS_REVIEW_STATUS), Plain),
];

static SELF_SUBJECT_ACCESS_REVIEW_SPEC: &Message = &[
    field(
        1,
        "resourceAttributes",
        Type::Message(RESOURCE_ATTRIBUTES),
        Pointer,
    ),
    field(
        2,
        "nonResourceAttributes",
        Type::Message(NON_RESOURCE_ATTRIBUTES),
        Pointer,
    ),
];

static ACCESS_REVIEW_STATUS: &Message = &[
    field(1, "allowed", Bool, Plain),
    field(2, "reason", String, Plain),
    field(3, "evaluationError", String, Plain),
    field(4, "denied", Bool, Plain),
];

static RESOURCE_ATTRIBUTES: &Message = &[
    field(1, "namespace", String, Plain),
    field(2, "verb", String, Plain),
    field(3, "group", String, Plain),
    field(4, "version", String, Plain),
    field(5, "resource", String, Plain),
    field(6, "subresource", String, Plain),
    field(7, "name", String, Plain),
    field(8, "fieldSelector", Type::Message(SELECTOR_ATTRIBUTES), Pointer),
    field(9, "labelSelector", Type::Message(SELECTOR_ATTRIBUTES), Pointer),
];

static SELECTOR_ATTRIBUTES: &Message = &[
    field(1, "rawSelector", String, Plain),
    field(2, "requirements", Type::Message(REQUIREMENT), Repeated),
];

static REQUIREMENT: &Message = &[
    field(1, "key", String, Plain),
    field(2, "operator", String, Plain),
    field(3, "values", String, Repeated),
];

static NON_RESOURCE_ATTRIBUTES: &Message =
    &[field(1, "path", String, Plain), field(2, "verb", String, Plain)];

static SELF_SUBJECT_RULES_REVIEW: &Message = &[
    METADATA,
    field(
        2,
        "spec",
        Type::Message(&[field(1, "namespace", String, Plain)]),
        Plain,
    ),
];

static DELETE_OPTIONS: &Message = &[
    field(1, "gracePeriodSeconds", Int, Pointer),
    field(2, "preconditions", Type::Message(PRECONDITIONS), Pointer),
    field(3, "orphanDependents", Bool, Pointer),
    field(4, "propagationPolicy", String, Pointer),
    field(5, "dryRun", String, Repeated),
    field(
        6,
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        Bool,
        Pointer,
    ),
];

static PRECONDITIONS: &Message = &[
    field(1, "uid", String, Pointer),
    field(2, "resourceVersion", String, Pointer),
];
