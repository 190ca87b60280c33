//! Strategic merge patch for core kinds: the rules of `k8s.io/apimachinery/pkg/util/strategicpatch` with the patch
//! strategies of the core types in place of Go's struct tags.

use serde_json::{Map, Value};

use super::PatchError;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// How a list merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// The patch's list takes the place of the other.
    Replace,
    /// A set of scalars.
    Set,
    /// Objects told apart by this field.
    Keyed(&'static str),
}

/// What the types say about the list at `path` of `kind`.
fn strategy(kind: &str, path: &str) -> Strategy {
    match (kind, path) {
        (_, "metadata.finalizers") => Strategy::Set,
        (_, "metadata.ownerReferences") => Strategy::Keyed("uid"),
        ("Namespace", "status.conditions") => Strategy::Keyed("type"),
        _ => Strategy::Replace,
    }
}

/// Applies `patch` to `doc`.
pub(super) fn apply(kind: &str, doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !matches!(
        kind,
        "Namespace" | "Secret" | "ConfigMap" | "Event" | "Lease" | "ControllerRevision"
    ) {
        return Err(PatchError::UnsupportedKind(kind.to_owned()));
    }
    let Value::Object(patch) = patch else {
        return Err(PatchError::mistyped(
            patch,
            "value of type map[string]interface {}",
        ));
    };
    let before = doc.as_object().cloned().unwrap_or_default();
    let mut after = Merge { kind }.map(before, patch, "")?;
    // Kubernetes merges into a typed object, which is what it is whatever the patch says.
    for field in ["kind", "apiVersion"] {
        match doc.get(field) {
            Some(value) => after.insert(field.to_owned(), value.clone()),
            None => after.remove(field),
        };
    }
    Ok(Value::Object(after))
}

struct Merge<'k> {
    kind: &'k str,
}

impl Merge<'_> {
    fn map(
        &self,
        mut out: Map<String, Value>,
        patch: &Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, PatchError> {
        match patch.get(DIRECTIVE).map(Value::as_str) {
            None => {}
            Some(Some("replace")) => {
                let mut whole = patch.clone();
                whole.remove(DIRECTIVE);
                return Ok(whole);
            }
            Some(Some("delete")) => return Ok(Map::new()),
            Some(_) => return Err(fail(path, "$patch must be replace or delete")),
        }
        retain_keys(&mut out, patch, path)?;
        let ordered = self.ordered_lists(&mut out, patch, path)?;
        for (name, change) in patch {
            if name == RETAIN_KEYS || name.starts_with(ELEMENT_ORDER) || ordered.contains(&name.as_str()) {
                continue;
            }
            if let Some(name) = name.strip_prefix(DELETE_FROM) {
                delete_from(&mut out, name, change, path)?;
                continue;
            }
            if change.is_null() {
                out.remove(name);
                continue;
            }
            let below = join(path, name);
            let after = match (out.remove(name), change) {
                (Some(Value::Object(before)), Value::Object(change)) => {
                    Some(Value::Object(self.map(before, change, &below)?))
                }
                (Some(Value::Array(before)), Value::Array(change)) => {
                    Some(Value::Array(self.list(before, change, &below)?))
                }
                (_, fresh) => without_directives(fresh),
            };
            if let Some(after) = after {
                out.insert(name.clone(), after);
            }
        }
        Ok(out)
    }

    /// Handles the lists that come with `$setElementOrder/…` and returns their names.
    fn ordered_lists<'p>(
        &self,
        out: &mut Map<String, Value>,
        patch: &'p Map<String, Value>,
        path: &str,
    ) -> Result<Vec<&'p str>, PatchError> {
        let mut done = Vec::new();
        for (directive, order) in patch {
            let Some(name) = directive.strip_prefix(ELEMENT_ORDER) else {
                continue;
            };
            let below = join(path, name);
            let list = |value: Option<&Value>| match value {
                None => Ok(None),
                Some(Value::Array(items)) => Ok(Some(items.clone())),
                Some(_) => Err(fail(&below, "must be a list")),
            };
            let order = list(Some(order))?.unwrap_or_default();
            let before = list(out.get(name))?;
            let change = list(patch.get(name).filter(|change| !change.is_null()))?;
            let keys = strategy(self.kind, &below);
            if let Some(change) = &change {
                check_order(keys, change, &order, &below)?;
            }
            let merged = match (&before, &change) {
                (None, None) => continue,
                (Some(before), None) => before.clone(),
                (None, Some(change)) => change.iter().filter_map(without_directives).collect(),
                (Some(before), Some(change)) => self.list(before.clone(), change, &below)?,
            };
            let sorted = arrange(keys, merged, &order, &before.unwrap_or_default(), &below)?;
            out.insert(name.to_owned(), Value::Array(sorted));
            if change.is_some() {
                done.push(name);
            }
        }
        Ok(done)
    }

    fn list(&self, before: Vec<Value>, change: &[Value], path: &str) -> Result<Vec<Value>, PatchError> {
        match strategy(self.kind, path) {
            Strategy::Replace => Ok(change.iter().filter_map(without_directives).collect()),
            Strategy::Set => {
                if before
                    .iter()
                    .chain(change)
                    .any(|item| item.is_object() || item.is_array())
                {
                    return Err(fail(path, "a list of scalars was expected"));
                }
                let mut both: Vec<Value> = Vec::with_capacity(before.len() + change.len());
                for item in before.iter().chain(change) {
                    if !both.contains(item) {
                        both.push(item.clone());
                    }
                }
                arrange(Strategy::Set, both, change, &before, path)
            }
            Strategy::Keyed(key) => self.keyed(before, change, key, path),
        }
    }

    fn keyed(
        &self,
        mut before: Vec<Value>,
        change: &[Value],
        key: &'static str,
        path: &str,
    ) -> Result<Vec<Value>, PatchError> {
        let identity = |item: &Value| {
            let identity = item.get(key).cloned();
            identity.ok_or_else(|| fail(path, &format!("item does not contain declared merge key: {key}")))
        };
        let mut plain = Vec::new();
        let mut replace = false;
        for item in change {
            match item.get(DIRECTIVE).map(Value::as_str) {
                None => plain.push(item.clone()),
                Some(Some("delete")) => {
                    let gone = identity(item)?;
                    before.retain(|item| item.get(key) != Some(&gone));
                }
                Some(Some("replace")) => replace = true,
                Some(_) => return Err(fail(path, "$patch of a list item must be replace or delete")),
            }
        }
        if replace {
            return Ok(plain);
        }
        let live = before.clone();
        for item in &plain {
            let wanted = identity(item)?;
            match before.iter_mut().find(|old| old.get(key) == Some(&wanted)) {
                Some(Value::Object(old)) => {
                    let Value::Object(item) = item else {
                        return Err(fail(path, "a list of objects was expected"));
                    };
                    *old = self.map(std::mem::take(old), item, path)?;
                }
                _ => before.extend(without_directives(item)),
            }
        }
        arrange(Strategy::Keyed(key), before, &plain, &live, path)
    }
}

/// Keeps only the keys named by `$retainKeys`, all of which a patch must name.
fn retain_keys(
    out: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    path: &str,
) -> Result<(), PatchError> {
    let Some(keep) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(keep) = keep else {
        return Err(fail(path, "$retainKeys must be a list"));
    };
    let kept = |name: &str| keep.iter().any(|key| key.as_str() == Some(name));
    let stray = patch.iter().any(|(name, change)| {
        !change.is_null()
            && !name.starts_with(DELETE_FROM)
            && !name.starts_with(ELEMENT_ORDER)
            && name != RETAIN_KEYS
            && !kept(name)
    });
    if stray {
        return Err(fail(path, "the patch has a key that $retainKeys does not name"));
    }
    out.retain(|name, _| kept(name));
    Ok(())
}

fn delete_from(out: &mut Map<String, Value>, name: &str, gone: &Value, path: &str) -> Result<(), PatchError> {
    match (out.get_mut(name), gone) {
        (_, Value::Null) => {
            out.remove(name);
        }
        (Some(Value::Array(items)), Value::Array(gone)) => items.retain(|item| !gone.contains(item)),
        (_, Value::Array(_)) => {}
        _ => return Err(fail(&join(path, name), "$deleteFromPrimitiveList must be a list")),
    }
    Ok(())
}

/// The patch's items must stand in the order the directive gives, and all be named by it.
fn check_order(keys: Strategy, change: &[Value], order: &[Value], path: &str) -> Result<(), PatchError> {
    if order.is_empty() || change.is_empty() {
        return Ok(());
    }
    let mut named = order.iter();
    for item in change.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        if !named.any(|place| same(keys, place, item)) {
            return Err(fail(
                path,
                "the order in patch list doesn't match $setElementOrder list",
            ));
        }
    }
    Ok(())
}

fn same(keys: Strategy, left: &Value, right: &Value) -> bool {
    match keys {
        Strategy::Keyed(key) => left.get(key).is_some() && left.get(key) == right.get(key),
        Strategy::Replace | Strategy::Set => left == right,
    }
}

/// Sorts a merged list: what `order` names in its order, the rest in the live order, interleaved by the live order.
fn arrange(
    keys: Strategy,
    merged: Vec<Value>,
    order: &[Value],
    live: &[Value],
    path: &str,
) -> Result<Vec<Value>, PatchError> {
    if let Strategy::Keyed(key) = keys
        && merged.iter().any(|item| item.get(key).is_none())
    {
        return Err(fail(
            path,
            &format!("item does not contain declared merge key: {key}"),
        ));
    }
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(keys, other, item));
    let (mut ordered, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(order, item).is_some());
    ordered.sort_by_key(|item| place(order, item));
    rest.sort_by_key(|item| place(live, item));
    let mut out = Vec::with_capacity(ordered.len() + rest.len());
    let (mut ordered, mut rest) = (ordered.into_iter().peekable(), rest.into_iter().peekable());
    while let (Some(next), Some(other)) = (ordered.peek(), rest.peek()) {
        let earlier =
            matches!((place(live, other), place(live, next)), (Some(other), Some(next)) if other < next);
        out.extend(if earlier { rest.next() } else { ordered.next() });
    }
    out.extend(ordered);
    out.extend(rest);
    Ok(out)
}

/// A patch's value as it stands where there was nothing: without directives and nulls.
fn without_directives(value: &Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| {
                !value.is_null()
                    && *name != RETAIN_KEYS
                    && !name.starts_with(DELETE_FROM)
                    && !name.starts_with(ELEMENT_ORDER)
            });
            Some(Value::Object(
                kept.filter_map(|(name, value)| Some((name.clone(), without_directives(value)?)))
                    .collect(),
            ))
        }
        Value::Array(items) => Some(Value::Array(
            items.iter().filter_map(without_directives).collect(),
        )),
        plain => Some(plain.clone()),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn fail(path: &str, why: &str) -> PatchError {
    let path = if path.is_empty() { "the object" } else { path };
    PatchError::Strategic {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
