//! From a CRD's JSON to [`Node`]s. What is refused here is what would otherwise fail on every object.

use serde_json::{Map, Value};
use thiserror::Error;

use super::cel::{self, Rule};
use super::format::Format;
use super::node::{Additional, Kind, ListType, Node, Values};
use super::path::Path;
use super::pattern::Pattern;
use super::prune::default_fits;
use kube::core::cel::cel::ExecutionError;

/// How deep a schema may nest. Kubernetes bounds the size of a CRD instead; its deepest in the wild is about 40.
const MAX_DEPTH: usize = 64;

/// Why a schema cannot be used.
#[derive(Debug, Error)]
pub(crate) enum CompileError {
    /// The schema nests deeper than any walk here goes.
    #[error("compile schema at {path}: nested deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// Where in the object.
        path: String,
    },
    /// A keyword holds the wrong kind of value.
    #[error("compile schema at {path}: {keyword} must be {wanted}")]
    Keyword {
        /// Where in the object.
        path: String,
        /// The schema keyword.
        keyword: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// `$ref` and other keywords that structural schemas may not use.
    #[error("compile schema at {path}: {keyword} is forbidden in a structural schema")]
    Forbidden {
        /// Where in the object.
        path: String,
        /// The schema keyword.
        keyword: String,
    },
    /// A pattern is no regular expression.
    #[error("compile pattern {pattern:?} at {path}")]
    Pattern {
        /// Where in the object.
        path: String,
        /// The pattern.
        pattern: String,
        /// What the regex engine says.
        #[source]
        source: ExecutionError,
    },
    /// A CEL rule or its message cannot be compiled.
    #[error("compile rule {rule:?} at {path}")]
    Rule {
        /// Where in the object.
        path: String,
        /// The rule.
        rule: String,
        /// What is wrong with it.
        #[source]
        source: cel::RuleError,
    },
}

/// What a node inherits from those above it.
#[derive(Debug, Clone, Copy)]
struct Place<'p> {
    path: &'p Path<'p>,
    depth: usize,
    /// Whether an old value can be found for a value here, which rules with `oldSelf` need.
    correlatable: bool,
    /// Below `allOf`, `anyOf`, `oneOf` or `not`: only value validations count.
    nested: bool,
    /// The whole resource.
    root: bool,
}

impl<'p> Place<'p> {
    fn below<'q>(&self, path: &'q Path<'q>) -> Place<'q>
    where
        'p: 'q,
    {
        Place {
            path,
            depth: self.depth + 1,
            correlatable: self.correlatable,
            nested: self.nested,
            root: false,
        }
    }
}

/// Compiles the whole schema.
pub(super) fn compile(schema: &Value) -> Result<Node, CompileError> {
    node(
        schema,
        Place {
            path: &Path::Root,
            depth: 0,
            correlatable: true,
            nested: false,
            root: true,
        },
    )
}

fn node(schema: &Value, place: Place<'_>) -> Result<Node, CompileError> {
    let path = || place.path.to_string();
    if place.depth > MAX_DEPTH {
        return Err(CompileError::TooDeep { path: path() });
    }
    let keywords = Keywords {
        map: object(schema, "schema", place)?,
        place,
    };
    for keyword in [
        "$ref",
        "definitions",
        "dependencies",
        "patternProperties",
        "additionalItems",
    ] {
        if keywords.map.contains_key(keyword) {
            return Err(CompileError::Forbidden {
                path: path(),
                keyword: keyword.to_owned(),
            });
        }
    }
    if keywords.flag("uniqueItems")? {
        return Err(keywords.wrong("uniqueItems", "absent, its cost being quadratic"));
    }
    let kind = kind(&keywords)?;
    let mut out = Node {
        kind,
        nullable: keywords.flag("nullable")?,
        preserve_unknown: keywords.flag("x-kubernetes-preserve-unknown-fields")?,
        embedded_resource: keywords.flag("x-kubernetes-embedded-resource")?,
        list: list_type(&keywords)?,
        values: values(&keywords, kind)?,
        ..Node::default()
    };
    if let Some(default) = keywords.map.get("default").filter(|default| !default.is_null()) {
        if !default_fits(kind, default) {
            return Err(keywords.wrong("default", "of the schema's type"));
        }
        out.default = Some(default.clone());
    }
    if let Some(properties) = keywords.map.get("properties") {
        for (name, property) in object(properties, "properties", place)? {
            let at = Path::Field(place.path, name);
            out.properties
                .insert(name.clone(), node(property, place.below(&at))?);
        }
    }
    out.additional = match keywords.map.get("additionalProperties") {
        None | Some(Value::Null | Value::Bool(false)) => Additional::None,
        Some(Value::Bool(true)) => Additional::Any,
        Some(schema) => Additional::Schema(Box::new(node(schema, place.below(&Path::Key(place.path, "*")))?)),
    };
    if let Some(items) = keywords.map.get("items") {
        let at = Path::Key(place.path, "*");
        let correlatable = place.correlatable && matches!(out.list, ListType::Map(_));
        out.items = Some(Box::new(node(
            items,
            Place {
                correlatable,
                ..place.below(&at)
            },
        )?));
    }
    out.all_of = branches(&keywords, "allOf")?;
    out.any_of = branches(&keywords, "anyOf")?;
    out.one_of = branches(&keywords, "oneOf")?;
    if let Some(not) = keywords.map.get("not") {
        out.not = Some(Box::new(node(
            not,
            Place {
                nested: true,
                ..place.below(place.path)
            },
        )?));
    }
    out.has_rules = out
        .properties
        .values()
        .chain(&out.all_of)
        .any(|below| below.has_rules)
        || out.items.as_ref().is_some_and(|items| items.has_rules)
        || out.additional.schema().is_some_and(|values| values.has_rules);
    out.rules = rules(&keywords, &out)?;
    out.has_rules |= !out.rules.is_empty();
    Ok(out)
}

fn rules(keywords: &Keywords<'_>, node: &Node) -> Result<Vec<Rule>, CompileError> {
    let place = keywords.place;
    let rules = keywords.list("x-kubernetes-validations")?;
    rules
        .iter()
        .map(|rule| {
            let scope = cel::Scope {
                resource: place.root || node.embedded_resource,
                correlatable: place.correlatable,
                nested: place.nested,
            };
            Rule::compile(rule, node, scope).map_err(|source| CompileError::Rule {
                path: place.path.to_string(),
                rule: rule
                    .get("rule")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                source,
            })
        })
        .collect()
}

fn kind(keywords: &Keywords<'_>) -> Result<Option<Kind>, CompileError> {
    if keywords.flag("x-kubernetes-int-or-string")? {
        return Ok(Some(Kind::IntOrString));
    }
    match keywords.map.get("type") {
        None => Ok(None),
        Some(Value::String(name)) => match name.as_str() {
            "object" => Ok(Some(Kind::Object)),
            "array" => Ok(Some(Kind::Array)),
            "string" => Ok(Some(Kind::String)),
            "integer" => Ok(Some(Kind::Integer)),
            "number" => Ok(Some(Kind::Number)),
            "boolean" => Ok(Some(Kind::Boolean)),
            "" => Ok(None),
            _ => Err(keywords.wrong("type", "array, boolean, integer, number, object or string")),
        },
        Some(_) => Err(keywords.wrong("type", "a string")),
    }
}

fn list_type(keywords: &Keywords<'_>) -> Result<ListType, CompileError> {
    let keys = keywords.strings("x-kubernetes-list-map-keys")?;
    match keywords.map.get("x-kubernetes-list-type").map(Value::as_str) {
        None | Some(Some("atomic")) => Ok(ListType::Atomic),
        Some(Some("set")) => Ok(ListType::Set),
        Some(Some("map")) if !keys.is_empty() => Ok(ListType::Map(keys)),
        Some(Some("map")) => {
            Err(keywords.wrong("x-kubernetes-list-map-keys", "given for a list of type map"))
        }
        Some(_) => Err(keywords.wrong("x-kubernetes-list-type", "atomic, set or map")),
    }
}

fn values(keywords: &Keywords<'_>, kind: Option<Kind>) -> Result<Values, CompileError> {
    let pattern = match keywords.map.get("pattern") {
        None => None,
        Some(Value::String(source)) if source.is_empty() => None,
        Some(Value::String(source)) => Some(Pattern::new(source).map_err(|error| CompileError::Pattern {
            path: keywords.place.path.to_string(),
            pattern: source.clone(),
            source: error,
        })?),
        Some(_) => return Err(keywords.wrong("pattern", "a string")),
    };
    let format = match keywords.map.get("format") {
        None => None,
        Some(Value::String(name)) => Format::of(name, kind),
        Some(_) => return Err(keywords.wrong("format", "a string")),
    };
    Ok(Values {
        format,
        allowed: keywords.list("enum")?.to_vec(),
        pattern,
        min_length: keywords.count("minLength")?,
        max_length: keywords.count("maxLength")?,
        min_items: keywords.count("minItems")?,
        max_items: keywords.count("maxItems")?,
        min_properties: keywords.count("minProperties")?,
        max_properties: keywords.count("maxProperties")?,
        minimum: keywords.number("minimum")?,
        exclusive_minimum: keywords.flag("exclusiveMinimum")?,
        maximum: keywords.number("maximum")?,
        exclusive_maximum: keywords.flag("exclusiveMaximum")?,
        multiple_of: keywords.number("multipleOf")?,
        required: keywords.strings("required")?,
    })
}

fn branches(keywords: &Keywords<'_>, keyword: &'static str) -> Result<Vec<Node>, CompileError> {
    let place = keywords.place;
    keywords
        .list(keyword)?
        .iter()
        .map(|branch| {
            node(
                branch,
                Place {
                    nested: true,
                    ..place.below(place.path)
                },
            )
        })
        .collect()
}

fn object<'v>(
    value: &'v Value,
    keyword: &str,
    place: Place<'_>,
) -> Result<&'v Map<String, Value>, CompileError> {
    value.as_object().ok_or_else(|| CompileError::Keyword {
        path: place.path.to_string(),
        keyword: keyword.to_owned(),
        wanted: "an object",
    })
}

/// The keywords of one node, read with their types checked.
struct Keywords<'k> {
    map: &'k Map<String, Value>,
    place: Place<'k>,
}

impl Keywords<'_> {
    fn wrong(&self, keyword: &str, wanted: &'static str) -> CompileError {
        CompileError::Keyword {
            path: self.place.path.to_string(),
            keyword: keyword.to_owned(),
            wanted,
        }
    }

    fn flag(&self, keyword: &'static str) -> Result<bool, CompileError> {
        match self.map.get(keyword) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(keyword, "a boolean")),
        }
    }

    fn count(&self, keyword: &'static str) -> Result<Option<u64>, CompileError> {
        match self.map.get(keyword) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| self.wrong(keyword, "a non-negative integer")),
        }
    }

    fn number(&self, keyword: &'static str) -> Result<Option<f64>, CompileError> {
        match self.map.get(keyword) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| self.wrong(keyword, "a number")),
        }
    }

    fn list(&self, keyword: &'static str) -> Result<&[Value], CompileError> {
        match self.map.get(keyword) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.wrong(keyword, "a list")),
        }
    }

    fn strings(&self, keyword: &'static str) -> Result<Vec<String>, CompileError> {
        self.list(keyword)?
            .iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| self.wrong(keyword, "a list of strings"))
            })
            .collect()
    }
}
