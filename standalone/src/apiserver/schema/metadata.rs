//! Names, namespaces, labels, annotations and finalizers: `ValidateObjectMeta` of
//! `k8s.io/apimachinery/pkg/api/validation`.

use serde_json::{Map, Value};

use super::error::{ErrorKind, FieldError};

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_KEY: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// All annotations of an object together may hold this much.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Whether `text` is a DNS label in Kubernetes' lower-case sense (RFC 1123, 63 characters).
pub(super) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && label_syntax(text)
}

/// Whether `text` is a DNS subdomain in Kubernetes' lower-case sense (253 characters; its parts have no limit).
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(label_syntax)
}

fn label_syntax(text: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

fn name_syntax(text: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// How the names of a kind are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Of labels with dots between them.
    Subdomains,
    /// Of one label, as a namespace's.
    Labels,
}

/// Errors in `object.metadata`: name, generateName and namespace, label keys and values, annotation keys and size,
/// finalizers and owner references, worded as Kubernetes words them. Names are DNS subdomains, as for custom
/// resources, ConfigMaps, Secrets and Leases, or DNS labels. Whether a name or a namespace must be there is the caller's
/// to know.
pub(crate) fn validate_metadata(object: &Value, names: Names) -> Vec<FieldError> {
    let Some(metadata) = object.get("metadata") else {
        return Vec::new();
    };
    let Value::Object(metadata) = metadata else {
        return vec![wrong_type("metadata", metadata, "object")];
    };
    let mut errors = Vec::new();
    for (field, is_prefix) in [("generateName", true), ("name", false)] {
        if let Some(text) = string_field(metadata, field, &mut errors) {
            let checked = if is_prefix {
                text.strip_suffix('-').unwrap_or(text)
            } else {
                text
            };
            let path = format!("metadata.{field}");
            match names {
                _ if checked.is_empty() => {}
                Names::Subdomains => subdomain_errors(&path, text, checked, &mut errors),
                Names::Labels => label_errors(&path, text, checked, &mut errors),
            }
        }
    }
    if let Some(namespace) = string_field(metadata, "namespace", &mut errors)
        && !namespace.is_empty()
    {
        label_errors("metadata.namespace", namespace, namespace, &mut errors);
    }
    if let Some(labels) = string_map(metadata, "labels", &mut errors) {
        for (key, value) in labels {
            qualified_name_errors("metadata.labels", key, &mut errors);
            if value.len() > 63 {
                errors.push(invalid("metadata.labels", value, "must be no more than 63 bytes"));
            }
            if !value.is_empty() && !name_syntax(value) {
                errors.push(invalid("metadata.labels", value, LABEL_VALUE));
            }
        }
    }
    if let Some(annotations) = string_map(metadata, "annotations", &mut errors) {
        for (key, _) in &annotations {
            qualified_name_errors("metadata.annotations", &key.to_lowercase(), &mut errors);
        }
        let size: usize = annotations
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if size > ANNOTATIONS_LIMIT {
            let why = format!("may not be more than {ANNOTATIONS_LIMIT} bytes");
            errors.push(FieldError::bare(ErrorKind::TooLong, "metadata.annotations", &why));
        }
    }
    finalizer_errors(metadata, &mut errors);
    owner_errors(metadata, &mut errors);
    errors
}

fn label_errors(path: &str, shown: &str, checked: &str, errors: &mut Vec<FieldError>) {
    if checked.len() > 63 {
        errors.push(invalid(path, shown, "must be no more than 63 characters"));
    }
    if !label_syntax(checked) {
        let dotted = checked.split('.').all(label_syntax);
        let why = if dotted {
            "must not contain dots"
        } else {
            DNS_LABEL
        };
        errors.push(invalid(path, shown, why));
    }
}

fn subdomain_errors(path: &str, shown: &str, checked: &str, errors: &mut Vec<FieldError>) {
    if checked.len() > 253 {
        errors.push(invalid(path, shown, "must be no more than 253 characters"));
    }
    if !checked.split('.').all(label_syntax) {
        errors.push(invalid(path, shown, DNS_SUBDOMAIN));
    }
}

fn qualified_name_errors(path: &str, key: &str, errors: &mut Vec<FieldError>) {
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((_, rest)) if rest.contains('/') => {
            let why = format!(
                "a valid label key {LABEL_KEY} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            );
            errors.push(invalid(path, key, &why));
            return;
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    match prefix {
        Some("") => errors.push(invalid(path, key, "prefix part must be non-empty")),
        Some(prefix) if !prefix.split('.').all(label_syntax) => {
            errors.push(invalid(path, key, &format!("prefix part {DNS_SUBDOMAIN}")));
        }
        Some(prefix) if prefix.len() > 253 => {
            errors.push(invalid(path, key, "prefix part must be no more than 253 bytes"));
        }
        _ => {}
    }
    if name.is_empty() {
        errors.push(invalid(path, key, "name part must be non-empty"));
    } else if name.len() > 63 {
        errors.push(invalid(path, key, "name part must be no more than 63 bytes"));
    }
    if !name_syntax(name) {
        errors.push(invalid(path, key, &format!("name part {LABEL_KEY}")));
    }
}

fn finalizer_errors(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    match metadata.get("finalizers") {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => {
            for item in items {
                match item {
                    Value::String(name) => qualified_name_errors("metadata.finalizers", name, errors),
                    other => errors.push(wrong_type("metadata.finalizers", other, "string")),
                }
            }
        }
        Some(other) => errors.push(wrong_type("metadata.finalizers", other, "array")),
    }
}

fn owner_errors(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let owners = match metadata.get("ownerReferences") {
        None | Some(Value::Null) => return,
        Some(Value::Array(owners)) => owners,
        Some(other) => {
            errors.push(wrong_type("metadata.ownerReferences", other, "array"));
            return;
        }
    };
    let mut controllers = Vec::new();
    for owner in owners {
        for (field, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let text = owner.get(field).and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() {
                // Kubernetes does not say which of them.
                errors.push(invalid(&format!("metadata.ownerReferences.{field}"), text, why));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers.push(owner);
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let part = |owner: &Value, field| {
            owner
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let name = |owner: &Value| format!("{}/{}", part(owner, "kind"), part(owner, "name"));
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            name(first),
            name(second)
        );
        errors.push(FieldError::of(
            ErrorKind::Invalid,
            "metadata.ownerReferences",
            &Value::Array(owners.clone()),
            &why,
        ));
    }
}

fn string_field<'m>(
    metadata: &'m Map<String, Value>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Option<&'m str> {
    match metadata.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => {
            errors.push(wrong_type(&format!("metadata.{field}"), other, "string"));
            None
        }
    }
}

fn string_map<'m>(
    metadata: &'m Map<String, Value>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<(&'m String, &'m String)>> {
    let path = format!("metadata.{field}");
    match metadata.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::Object(entries)) => {
            let mut out = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                match value {
                    Value::String(text) => out.push((key, text)),
                    other => errors.push(wrong_type(&path, other, "string")),
                }
            }
            Some(out)
        }
        Some(other) => {
            errors.push(wrong_type(&path, other, "object"));
            None
        }
    }
}

fn wrong_type(path: &str, value: &Value, wanted: &str) -> FieldError {
    FieldError::of(
        ErrorKind::TypeInvalid,
        path,
        value,
        &format!("must be of type {wanted}"),
    )
}

fn invalid(path: &str, value: &str, why: &str) -> FieldError {
    FieldError::of(ErrorKind::Invalid, path, &Value::String(value.to_owned()), why)
}
