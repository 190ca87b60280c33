//! JSON Patch (RFC 6902).

use serde_json::Value;

use super::PatchError;
use super::pointer::{Pointer, existing, get_mut, insertion};
use crate::apiserver::depth;

/// The most operations in one patch (`maxJSONPatchOperations` of `k8s.io/apiserver`).
const MAX_OPERATIONS: usize = 10_000;

/// The most nodes all `copy` operations of a patch may add, and those that `move` takes further down count as well;
/// Kubernetes bounds the bytes that `copy` adds to 3 MiB.
const MAX_COPIED: usize = 100_000;

/// Applies `patch` to a copy of `doc`.
pub(super) fn apply(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::mistyped(
            patch,
            "value of type []handlers.jsonPatchOp",
        ));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations {
            limit: MAX_OPERATIONS,
            got: operations.len(),
        });
    }
    operations.iter().try_for_each(decode)?;
    let mut doc = doc.clone();
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        apply_one(
            &mut doc,
            &Operation {
                index,
                json: operation,
            },
            &mut copied,
        )?;
    }
    Ok(doc)
}

/// An operation is an object whose `op`, `path` and `from` are texts, if they are there.
fn decode(operation: &Value) -> Result<(), PatchError> {
    if !operation.is_object() && !operation.is_null() {
        return Err(PatchError::mistyped(
            operation,
            "value of type handlers.jsonPatchOp",
        ));
    }
    for field in ["op", "path", "from"] {
        if let Some(value) = operation
            .get(field)
            .filter(|value| !value.is_string() && !value.is_null())
        {
            return Err(PatchError::mistyped(
                value,
                &format!("struct field jsonPatchOp.{field} of type string"),
            ));
        }
    }
    Ok(())
}

/// One operation as it came.
struct Operation<'p> {
    index: usize,
    json: &'p Value,
}

impl<'p> Operation<'p> {
    fn unfit(&self, why: &str) -> PatchError {
        PatchError::Unfit {
            operation: self.index,
            why: why.to_owned(),
        }
    }

    fn text(&self, field: &str) -> Result<&'p str, PatchError> {
        let text = self.json.get(field).and_then(Value::as_str);
        text.ok_or_else(|| self.unfit(&format!("{field} is missing")))
    }

    fn pointer(&self, field: &str) -> Result<Pointer, PatchError> {
        let text = self.text(field)?;
        Pointer::parse(text).ok_or_else(|| self.unfit(&format!("{field} {text:?} is not a JSON pointer")))
    }

    /// A value that is not there is null.
    fn value(&self) -> &'p Value {
        self.json.get("value").unwrap_or(&Value::Null)
    }

    /// With `value` at `path` the document must not nest too deep. Where it was within the bound before, it then
    /// stays so: nothing else of it moves further down.
    fn check_depth(&self, path: &Pointer, value: &Value) -> Result<(), PatchError> {
        let left = depth::LIMIT.checked_sub(path.depth());
        if left.is_some_and(|left| depth::is_within(value, left)) {
            return Ok(());
        }
        Err(PatchError::TooDeep {
            operation: self.index,
        })
    }

    /// Counts what is copied; many small operations must not make something huge.
    fn count(&self, value: &Value, copied: &mut usize) -> Result<(), PatchError> {
        *copied += nodes(value);
        if *copied > MAX_COPIED {
            return Err(self.unfit("the patch copies too much"));
        }
        Ok(())
    }

    fn missing(&self, operation: &'static str, field: &str) -> PatchError {
        let path = self
            .json
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        PatchError::MissingPath { operation, path }
    }
}

fn apply_one(doc: &mut Value, operation: &Operation<'_>, copied: &mut usize) -> Result<(), PatchError> {
    let path = operation.pointer("path")?;
    match operation.text("op")? {
        "add" => {
            operation.check_depth(&path, operation.value())?;
            let value = operation.value().clone();
            add(doc, &path, value).ok_or_else(|| operation.missing("add", "path"))
        }
        "remove" => remove(doc, &path)
            .map(|_| ())
            .ok_or_else(|| operation.missing("remove", "path")),
        "replace" => {
            operation.check_depth(&path, operation.value())?;
            let value = operation.value().clone();
            replace(doc, &path, value).ok_or_else(|| operation.missing("replace", "path"))
        }
        "move" => {
            let from = operation.pointer("from")?;
            if from.contains(&path) && from != path {
                return Err(operation.unfit("a value cannot move into itself"));
            }
            let value = remove(doc, &from).ok_or_else(|| operation.missing("move", "from"))?;
            if path.depth() > from.depth() {
                operation.count(&value, copied)?;
                operation.check_depth(&path, &value)?;
            }
            add(doc, &path, value).ok_or_else(|| operation.missing("move", "path"))
        }
        "copy" => {
            // The whole document can be tested and replaced, but neither copied nor added.
            let from = operation.pointer("from")?;
            let value = from.get(doc).filter(|_| !from.is_root());
            let value = value.ok_or_else(|| operation.missing("copy", "from"))?;
            operation.count(value, copied)?;
            operation.check_depth(&path, value)?;
            let value = value.clone();
            add(doc, &path, value).ok_or_else(|| operation.missing("copy", "path"))
        }
        "test" => {
            // A value that is absent and one that is null are the same here: both what is there and what is wanted.
            if path.get(doc).unwrap_or(&Value::Null) == operation.value() {
                return Ok(());
            }
            Err(PatchError::TestFailed {
                path: operation.text("path")?.to_owned(),
            })
        }
        other => Err(operation.unfit(&format!("unexpected kind: {other}"))),
    }
}

fn add(doc: &mut Value, path: &Pointer, value: Value) -> Option<()> {
    let (parent, last) = path.split()?;
    match get_mut(doc, parent)? {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(items) => {
            let index = insertion(last, items.len())?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(doc: &mut Value, path: &Pointer) -> Option<Value> {
    let (parent, last) = path.split()?;
    match get_mut(doc, parent)? {
        Value::Object(fields) => fields.remove(last),
        Value::Array(items) => existing(last, items.len()).map(|index| items.remove(index)),
        _ => None,
    }
}

fn replace(doc: &mut Value, path: &Pointer, value: Value) -> Option<()> {
    if path.is_root() {
        *doc = value;
        return Some(());
    }
    let (parent, last) = path.split()?;
    match get_mut(doc, parent)? {
        // As in Kubernetes, replacing a field that is not there adds it.
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(items) => {
            let index = existing(last, items.len())?;
            *items.get_mut(index)? = value;
        }
        _ => return None,
    }
    Some(())
}

fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(nodes).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 32,
        _ => 1,
    }
}
