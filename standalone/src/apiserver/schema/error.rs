//! What a validation says: cause reason, path and the words of `k8s.io/apimachinery`'s `field.Error`.

use std::fmt::Write as _;

use serde_json::Value;

/// One invalid field. `path`, `kind` and `detail` become the field, reason and message of a Status cause; a caller
/// that writes one line per error writes `{path}: {detail}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// Where, as `spec.containers[0].name`; `<nil>` is the whole object.
    pub(crate) path: String,
    /// Why, for machines.
    pub(crate) kind: ErrorKind,
    /// Why, for people: Kubernetes' whole sentence without the path.
    pub(crate) detail: String,
}

/// The cause reasons of Kubernetes that a validation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ErrorKind {
    /// A required field is absent.
    Required,
    /// Two list items that must differ do not.
    Duplicate,
    /// A value breaks a rule.
    Invalid,
    /// A value is none of an enum's.
    NotSupported,
    /// A value is legal but not here.
    Forbidden,
    /// A string is too long.
    TooLong,
    /// A list or map has too many entries.
    TooMany,
    /// A value has the wrong JSON type or format.
    TypeInvalid,
}

impl ErrorKind {
    /// The reason as it stands in a Status cause.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The words that open the sentence.
    fn lead(self) -> &'static str {
        match self {
            ErrorKind::Required => "Required value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
        }
    }

    /// Errors after which CEL rules cannot be trusted to say anything sensible, so they are not asked.
    pub(super) fn blocks_rules(self) -> bool {
        matches!(
            self,
            ErrorKind::Required | ErrorKind::TooLong | ErrorKind::TooMany | ErrorKind::TypeInvalid
        )
    }
}

impl FieldError {
    /// An error that shows no value: `Required value`, `Forbidden: why`.
    pub(super) fn bare(kind: ErrorKind, path: &(impl ToString + ?Sized), why: &str) -> FieldError {
        let lead = kind.lead();
        let detail = if why.is_empty() {
            lead.to_owned()
        } else {
            format!("{lead}: {why}")
        };
        FieldError {
            path: path.to_string(),
            kind,
            detail,
        }
    }

    /// An error that shows the value: `Invalid value: "x": why`.
    pub(super) fn of(
        kind: ErrorKind,
        path: &(impl ToString + ?Sized),
        value: &Value,
        why: &str,
    ) -> FieldError {
        let mut detail = format!("{}: {}", kind.lead(), shown(value));
        if !why.is_empty() {
            detail.push_str(": ");
            detail.push_str(why);
        }
        FieldError {
            path: path.to_string(),
            kind,
            detail,
        }
    }

    /// What Kubernetes adds when it skips the CEL rules.
    pub(super) fn rules_not_checked() -> FieldError {
        FieldError::of(
            ErrorKind::Invalid,
            "<nil>",
            &Value::Null,
            "some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        )
    }
}

/// A value as `field.Error` prints it: strings quoted in Go's way, the rest as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A string as Go's `%q` writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            control if (control as u32) < 0x20 || control == '\u{7f}' => {
                // Writing to a String cannot fail.
                write!(out, "\\x{:02x}", control as u32).expect("a String takes any text");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}
