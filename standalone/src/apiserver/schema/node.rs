//! One compiled node of a structural schema. Pure data; [`super::compile`] makes it and the other modules walk it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::cel::Rule;
use super::format::Format;
use super::pattern::Pattern;

/// A schema node: what Kubernetes calls a `Structural`, with its value validations.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The JSON type; `None` accepts any, as nodes below `allOf` and preserved ones do.
    pub(super) kind: Option<Kind>,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Node>>,
    pub(super) preserve_unknown: bool,
    pub(super) embedded_resource: bool,
    pub(super) list: ListType,
    pub(super) values: Values,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
    pub(super) rules: Vec<Rule>,
    /// Whether this node or one below it has CEL rules.
    pub(super) has_rules: bool,
}

/// The JSON types of OpenAPI, and Kubernetes' union of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

impl Kind {
    /// The type's name in an error message.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::IntOrString => "integer,string",
        }
    }
}

/// `additionalProperties`.
#[derive(Debug, Default)]
pub(super) enum Additional {
    /// Absent or `false`: unknown fields are pruned.
    #[default]
    None,
    /// `true`: any key, and below it nothing is known.
    Any,
    /// A schema every value obeys.
    Schema(Box<Node>),
}

impl Additional {
    /// The schema of the map's values.
    pub(super) fn schema(&self) -> Option<&Node> {
        match self {
            Additional::Schema(node) => Some(node),
            Additional::None | Additional::Any => None,
        }
    }
}

/// `x-kubernetes-list-type` with its keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// The value validations of one node.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) format: Option<Format>,
    pub(super) allowed: Vec<Value>,
    pub(super) pattern: Option<Pattern>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) required: Vec<String>,
}

impl Node {
    /// The schema of field `name`, declared or by `additionalProperties`.
    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or_else(|| self.additional.schema())
    }

    /// The items of the list `old` by identity, for [`Correlation::of`].
    pub(super) fn correlate<'n>(&'n self, old: Option<&'n Value>) -> Correlation<'n> {
        let keys: &[String] = match &self.list {
            ListType::Map(keys) => keys,
            ListType::Atomic | ListType::Set => &[],
        };
        let mut items = HashMap::new();
        for item in old.and_then(Value::as_array).into_iter().flatten() {
            if let Some(identity) = identity(keys, item) {
                items.entry(identity).or_insert(item);
            }
        }
        Correlation { keys, items }
    }
}

/// The old items of a list. Only in lists of type map has an item an identity: its keys, all present and scalar
/// (`MapList` of `k8s.io/apiserver/pkg/cel/common`).
pub(super) struct Correlation<'n> {
    keys: &'n [String],
    items: HashMap<String, &'n Value>,
}

impl<'n> Correlation<'n> {
    /// What `item` was before.
    pub(super) fn of(&self, item: &Value) -> Option<&'n Value> {
        self.items.get(&identity(self.keys, item)?).copied()
    }
}

fn identity(keys: &[String], item: &Value) -> Option<String> {
    let scalars: Option<Vec<&Value>> = keys
        .iter()
        .map(|key| {
            item.get(key)
                .filter(|value| !value.is_object() && !value.is_array() && !value.is_null())
        })
        .collect();
    scalars
        .filter(|scalars| !scalars.is_empty())
        .map(|scalars| format!("{scalars:?}"))
}
