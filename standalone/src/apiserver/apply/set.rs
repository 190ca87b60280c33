//! Sets of paths, and their JSON form `FieldsV1` (`fieldpath` of structured-merge-diff).
//!
//! A parent is in a set only if it was put there itself: `a.b` does not make `a` a member. Difference and intersection
//! compare members with members, so taking away a parent leaves its children.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

use super::types::same;
use crate::apiserver::depth;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathElement {
    /// A field of an object.
    Field(String),
    /// An item of a map list, by its keys sorted by name.
    Key(Vec<(String, Scalar)>),
    /// An item of a set.
    Value(Scalar),
    /// An item of another list.
    Index(i64),
}

/// A JSON value with the total order of structured-merge-diff: numbers, strings, booleans, lists, maps, null. Whole
/// and broken numbers compare by value.
#[derive(Debug, Clone)]
pub(super) struct Scalar(pub(super) Value);

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Scalar) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Scalar) -> Ordering {
        let rank = |value: &Value| match value {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        };
        match (&self.0, &other.0) {
            (left, right) if same(left, right) => Ordering::Equal,
            (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
                (Some(left), Some(right)) => left.cmp(&right),
                _ => left
                    .as_f64()
                    .unwrap_or(f64::NAN)
                    .total_cmp(&right.as_f64().unwrap_or(f64::NAN)),
            },
            (Value::String(left), Value::String(right)) => left.cmp(right),
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (left, right) => rank(left)
                .cmp(&rank(right))
                .then_with(|| left.to_string().cmp(&right.to_string())),
        }
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(keys) => {
                f.write_str("[")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", value.0)?;
                }
                f.write_str("]")
            }
            PathElement::Value(value) => write!(f, "[={}]", value.0),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl PathElement {
    /// The key of this element in `FieldsV1`.
    fn encode(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(keys) => {
                let keys: Map<String, Value> = keys
                    .iter()
                    .map(|(name, value)| (name.clone(), value.0.clone()))
                    .collect();
                format!("k:{}", Value::Object(keys))
            }
            PathElement::Value(value) => format!("v:{}", value.0),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }

    fn decode(text: &str) -> Option<PathElement> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => PathElement::Field(rest.to_owned()),
            "v" => PathElement::Value(Scalar(serde_json::from_str(rest).ok()?)),
            "i" => PathElement::Index(rest.parse().ok()?),
            "k" => {
                let Value::Object(keys) = serde_json::from_str(rest).ok()? else {
                    return None;
                };
                let mut keys: Vec<_> = keys
                    .into_iter()
                    .map(|(name, value)| (name, Scalar(value)))
                    .collect();
                keys.sort_by(|left, right| left.0.cmp(&right.0));
                PathElement::Key(keys)
            }
            _ => return None,
        })
    }
}

/// A full path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(pub(super) Vec<PathElement>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

/// How deep `FieldsV1` may nest: as deep as fits into an object that can be stored, four levels below its top.
const MAX_DEPTH: usize = depth::LIMIT - 5;

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) members: BTreeSet<PathElement>,
    pub(super) children: BTreeMap<PathElement, Set>,
}

impl Set {
    /// Adds one path, without its parents. Nobody owns the whole object.
    pub(super) fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        let Some((last, parents)) = path.0.split_last() else {
            return false;
        };
        let parent = parents
            .iter()
            .try_fold(self, |set, element| set.children.get(element));
        parent.is_some_and(|set| set.members.contains(last))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Set::is_empty)
    }

    pub(super) fn union(&self, other: &Set) -> Set {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (element, set) in &other.children {
            let merged = match out.children.get(element) {
                Some(mine) => mine.union(set),
                None => set.clone(),
            };
            out.children.insert(element.clone(), merged);
        }
        out
    }

    pub(super) fn intersection(&self, other: &Set) -> Set {
        let children = self.children.iter().filter_map(|(element, set)| {
            let both = set.intersection(other.children.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        Set {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    pub(super) fn difference(&self, other: &Set) -> Set {
        let children = self.children.iter().filter_map(|(element, set)| {
            let rest = match other.children.get(element) {
                Some(gone) => set.difference(gone),
                None => set.clone(),
            };
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        Set {
            members: self.members.difference(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// Everything but these fields of the object and what is below them.
    pub(super) fn without_top_level(mut self, names: &[&str]) -> Set {
        for name in names {
            let field = PathElement::Field((*name).to_owned());
            self.members.remove(&field);
            self.children.remove(&field);
        }
        self
    }

    /// Every path, parents before children, in order.
    pub(super) fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<PathElement>, out: &mut Vec<Path>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            out.push(Path(path));
        }
        for (element, set) in &self.children {
            prefix.push(element.clone());
            set.collect(prefix, out);
            prefix.pop();
        }
    }

    /// The set as `FieldsV1`.
    pub(super) fn encode(&self) -> Value {
        let mut out = Map::new();
        for member in &self.members {
            out.insert(member.encode(), Value::Object(Map::new()));
        }
        for (element, set) in self.children.iter().filter(|(_, set)| !set.is_empty()) {
            let mut below = set.encode();
            if self.members.contains(element) {
                below["."] = Value::Object(Map::new());
            }
            out.insert(element.encode(), below);
        }
        Value::Object(out)
    }

    /// Reads `FieldsV1`; `None` when it is none.
    pub(super) fn decode(fields: &Value) -> Option<Set> {
        Set::decode_below(fields, 0)
    }

    fn decode_below(fields: &Value, depth: usize) -> Option<Set> {
        let fields = fields.as_object().filter(|_| depth <= MAX_DEPTH)?;
        let mut out = Set::default();
        for (key, below) in fields {
            if key == "." {
                continue;
            }
            let element = PathElement::decode(key)?;
            let inner = below.as_object()?;
            if inner.is_empty() || inner.contains_key(".") {
                out.members.insert(element.clone());
            }
            let set = Set::decode_below(below, depth + 1)?;
            if !set.is_empty() {
                out.children.insert(element, set);
            }
        }
        Some(out)
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in self.paths() {
            f.write_str(&path.to_string())?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}
