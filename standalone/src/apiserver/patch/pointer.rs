//! JSON pointers (RFC 6901) into a document, with Kubernetes' array indices.

use serde_json::Value;

/// A parsed pointer: its tokens, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// Parses a pointer; `None` unless it is empty or starts with a slash.
    pub(super) fn parse(text: &str) -> Option<Pointer> {
        if text.is_empty() {
            return Some(Pointer(Vec::new()));
        }
        let tokens = text
            .strip_prefix('/')?
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"));
        Some(Pointer(tokens.collect()))
    }

    /// Whether this points at the whole document.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// How many objects and lists are around the value here.
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether `other` is this place or below it.
    pub(super) fn contains(&self, other: &Pointer) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The parent's tokens and the last one.
    pub(super) fn split(&self) -> Option<(&[String], &str)> {
        self.0.split_last().map(|(last, parent)| (parent, last.as_str()))
    }

    /// The value here.
    pub(super) fn get<'d>(&self, doc: &'d Value) -> Option<&'d Value> {
        self.0.iter().try_fold(doc, |at, token| match at {
            Value::Object(fields) => fields.get(token),
            Value::Array(items) => items.get(existing(token, items.len())?),
            _ => None,
        })
    }
}

/// The value at `tokens`.
pub(super) fn get_mut<'d>(doc: &'d mut Value, tokens: &[String]) -> Option<&'d mut Value> {
    tokens.iter().try_fold(doc, |at, token| match at {
        Value::Object(fields) => fields.get_mut(token),
        Value::Array(items) => {
            let index = existing(token, items.len())?;
            items.get_mut(index)
        }
        _ => None,
    })
}

/// The index `token` names in a list of `len` items; a negative one counts from the end.
pub(super) fn existing(token: &str, len: usize) -> Option<usize> {
    let index = signed(token, len)?;
    (index < len).then_some(index)
}

/// Where in a list of `len` items `token` inserts; `-` is the end.
pub(super) fn insertion(token: &str, len: usize) -> Option<usize> {
    if token == "-" {
        return Some(len);
    }
    // A negative index names the place after the one it would read: -1 appends.
    let index = match token.strip_prefix('-') {
        Some(_) => signed(token, len + 1)?,
        None => signed(token, len)?,
    };
    (index <= len).then_some(index)
}

fn signed(token: &str, len: usize) -> Option<usize> {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: usize = digits.parse().ok()?;
    if token.starts_with('-') {
        len.checked_sub(number)
    } else {
        Some(number)
    }
}
