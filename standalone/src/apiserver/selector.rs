//! Label and field selectors, as lists and watches take them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::failure::ApiError;
use super::kinds::{EVENTS, NAMESPACES, Resource};
use super::store::{Key, Object};

/// What a list or watch is narrowed to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    field: Field,
    wanted: String,
    equal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    /// Pointers into the stored object, the first that is set.
    Pointers(&'static [&'static str]),
}

impl Selector {
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = parse_labels(labels)
            .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))?;
        Ok(Self {
            labels,
            fields: parse_fields(resource, fields)?,
        })
    }

    /// Narrowed to one name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.fields.push(FieldTerm {
            field: Field::Name,
            wanted: name.to_owned(),
            equal: true,
        });
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, key: &Key, object: &Object) -> bool {
        self.labels.iter().all(|r| r.matches(&object.labels)) && self.fields_match(key, object)
    }

    fn fields_match(&self, key: &Key, object: &Object) -> bool {
        let mut parsed: Option<Value> = None;
        self.fields.iter().all(|term| {
            let found: &str = match &term.field {
                Field::Name => &key.name,
                Field::Namespace => &key.namespace,
                Field::Pointers(pointers) => {
                    let value = parsed.get_or_insert_with(|| object.value());
                    pointers
                        .iter()
                        .find_map(|p| value.pointer(p).and_then(Value::as_str))
                        .unwrap_or_default()
                }
            };
            (found == term.wanted) == term.equal
        })
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match &self.rule {
            Rule::In(wanted) => value.is_some_and(|v| wanted.contains(v)),
            Rule::NotIn(unwanted) => value.is_none_or(|v| !unwanted.contains(v)),
            Rule::Exists => value.is_some(),
            Rule::Absent => value.is_none(),
            Rule::Above(bound) => number().is_some_and(|n| n > *bound),
            Rule::Below(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let split = text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    split.map(str::trim).filter(|term| !term.is_empty()).collect()
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    terms(text).into_iter().map(parse_requirement).collect()
}

fn parse_requirement(term: &str) -> Result<Requirement, String> {
    let make = |key: &str, rule: Rule| {
        let key = key.trim();
        if key.is_empty()
            || !key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        {
            return Err(format!("invalid label key {key:?} in {term:?}"));
        }
        Ok(Requirement {
            key: key.to_owned(),
            rule,
        })
    };
    let value = |v: &str| -> Result<String, String> {
        let v = v.trim();
        let legal = v.len() <= 63 && v.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if legal {
            Ok(v.to_owned())
        } else {
            Err(format!("invalid label value {v:?} in {term:?}"))
        }
    };
    if let Some(key) = term.strip_prefix('!') {
        return make(key, Rule::Absent);
    }
    if let Some((left, rest)) = term.split_once('(') {
        let list = rest
            .strip_suffix(')')
            .ok_or_else(|| format!("missing ) in {term:?}"))?;
        let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        let mut words = left.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => make(key, Rule::In(values)),
            (Some(key), Some("notin"), None) => make(key, Rule::NotIn(values)),
            _ => Err(format!("expected in or notin in {term:?}")),
        };
    }
    if let Some((key, v)) = term.split_once("!=") {
        return make(key, Rule::NotIn(vec![value(v)?]));
    }
    if let Some((key, v)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return make(key, Rule::In(vec![value(v)?]));
    }
    let bound = |v: &str| {
        v.trim()
            .parse::<i64>()
            .map_err(|_| format!("{:?} is not a number in {term:?}", v.trim()))
    };
    if let Some((key, v)) = term.split_once('>') {
        return make(key, Rule::Above(bound(v)?));
    }
    if let Some((key, v)) = term.split_once('<') {
        return make(key, Rule::Below(bound(v)?));
    }
    make(term, Rule::Exists)
}

fn parse_fields(resource: &Resource, text: &str) -> Result<Vec<FieldTerm>, ApiError> {
    let parse = |term: &str| {
        let (name, wanted, equal) = if let Some((name, wanted)) = term.split_once("!=") {
            (name, wanted, false)
        } else if let Some((name, wanted)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (name, wanted, true)
        } else {
            return Err(ApiError::bad_request(format!(
                "Unable to find \"{}\" that match label selector \"\", field selector \"{text}\": invalid field \
                 selector: \"{term}\": couldn't understand selector",
                resource.plural
            )));
        };
        let field = field(resource, name.trim())
            .ok_or_else(|| ApiError::bad_request(format!("field label not supported: {}", name.trim())))?;
        Ok(FieldTerm {
            field,
            wanted: wanted.trim().to_owned(),
            equal,
        })
    };
    terms(text).into_iter().map(parse).collect()
}

fn field(resource: &Resource, name: &str) -> Option<Field> {
    match name {
        "metadata.name" => return Some(Field::Name),
        "metadata.namespace" if resource.namespaced => return Some(Field::Namespace),
        _ => {}
    }
    match (&*resource.table, name) {
        (EVENTS, name) => {
            let core = name
                .strip_prefix("regarding.")
                .map(|rest| format!("involvedObject.{rest}"));
            event_field(core.as_deref().unwrap_or(name)).map(Field::Pointers)
        }
        ("secrets", "type") => Some(Field::Pointers(&["/type"])),
        (NAMESPACES, "status.phase") => Some(Field::Pointers(&["/status/phase"])),
        _ => None,
    }
}

/// The fields Kubernetes indexes on events, in their stored form.
fn event_field(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "involvedObject.kind" => &["/involvedObject/kind"],
        "involvedObject.namespace" => &["/involvedObject/namespace"],
        "involvedObject.name" => &["/involvedObject/name"],
        "involvedObject.uid" => &["/involvedObject/uid"],
        "involvedObject.apiVersion" => &["/involvedObject/apiVersion"],
        "involvedObject.resourceVersion" => &["/involvedObject/resourceVersion"],
        "involvedObject.fieldPath" => &["/involvedObject/fieldPath"],
        "reason" => &["/reason"],
        "type" => &["/type"],
        "source" => &["/source/component", "/reportingComponent"],
        "reportingComponent" | "reportingController" => &["/reportingComponent"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn label_selectors_choose_as_kubernetes_does() {
        let object = labels(&[("app", "web"), ("tier", "front"), ("n", "5")]);
        let table = [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app=db", false),
            ("app!=db", true),
            ("gone!=x", true),
            ("app in (web, db)", true),
            ("app in (db)", false),
            ("app notin (db)", true),
            ("gone notin (a)", true),
            ("app", true),
            ("gone", false),
            ("!gone", true),
            ("!app", false),
            ("app=web,tier=front", true),
            ("app=web,tier=back", false),
            ("app in (web,db),!gone", true),
            ("n>4", true),
            ("n<5", false),
            ("app>1", false),
        ];
        for (text, expected) in table {
            let all = parse_labels(text).unwrap();
            assert_eq!(all.iter().all(|r| r.matches(&object)), expected, "{text}");
        }
    }

    #[test]
    fn broken_label_selectors_are_refused() {
        for text in ["app in (a", "app within (a)", "=x", "a b", "app=x y", "n>x"] {
            assert!(parse_labels(text).is_err(), "{text}");
        }
    }
}
