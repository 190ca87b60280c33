//! `x-kubernetes-validations`: CEL rules, evaluated as `apiextensions-apiserver/pkg/apiserver/schema/cel` does.
//!
//! The language and the Kubernetes function library are kube's (`kube::core::cel`, the crates `cel` and `kube-cel`);
//! kube's schema walk is not used: it correlates old list items by index, escapes `_` in field names, binds a missing
//! optional `oldSelf` to null and converts every subtree once per ancestor.
//!
//! Weaker than Kubernetes: rules are not type-checked beyond names and fields ([`check`]); there is no cost budget,
//! only the bounds on objects and rules; `cel.bind`, `sortBy`, comprehensions over two variables and type names with a
//! package are refused when the schema is compiled; lists of type set and map compare in order.

mod check;
mod convert;
mod program;

#[cfg(test)]
mod tests;

use kube::core::cel::cel::objects::OptionalValue;
use kube::core::cel::cel::{Context, ExecutionError, ParseErrors, Value as CelValue};
use serde_json::Value;
use std::sync::Arc;
use thiserror::Error;

pub(super) use check::Scope;
use program::Program;

use super::error::{ErrorKind, FieldError};
use super::node::{Kind, Node};
use super::path::Path;

/// The longest message a `messageExpression` may give, in bytes.
const MESSAGE_LIMIT: usize = 5 * 1024;

/// The longest rule; Kubernetes bounds its cost instead.
const RULE_LIMIT: usize = 64 * 1024;

thread_local! {
    /// All functions, no variables but the names of types. Costly to make, so one per thread.
    static FUNCTIONS: Context<'static> = program::functions();
}

/// Why a rule cannot be compiled.
#[derive(Debug, Error)]
pub(crate) enum RuleError {
    /// The rule's JSON is not a rule.
    #[error("{field} must be {wanted}")]
    Shape {
        /// The field of the rule.
        field: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The rule is not CEL.
    #[error("parse the rule")]
    Parse(#[source] ParseErrors),
    /// The message expression is not CEL.
    #[error("parse messageExpression {expression:?}")]
    ParseMessage {
        /// The expression.
        expression: String,
        /// What the parser says.
        #[source]
        source: ParseErrors,
    },
    /// The rule names something that is not there.
    #[error("undeclared reference to '{0}'")]
    Undeclared(String),
    /// The rule selects a field that the schema does not have.
    #[error("undefined field '{0}'")]
    UndefinedField(String),
    /// `oldSelf` where no old value can be found.
    #[error("oldSelf cannot be used on the uncorrelatable portion of the schema")]
    Uncorrelatable,
    /// `fieldPath` names no field of the schema.
    #[error("fieldPath {0:?} does not refer to a valid field")]
    FieldPath(String),
}

/// One compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    source: String,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    reason: ErrorKind,
    /// The normalised `fieldPath`: `.a[b]`.
    field_path: String,
    optional_old_self: bool,
    uses_old_self: bool,
}

impl Rule {
    /// Compiles one entry of `x-kubernetes-validations` that stands at `node`.
    pub(super) fn compile(rule: &Value, node: &Node, scope: Scope) -> Result<Rule, RuleError> {
        let text = |field: &'static str| match rule.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(_) => Err(RuleError::Shape {
                field,
                wanted: "a string",
            }),
        };
        let source = text("rule")?.ok_or(RuleError::Shape {
            field: "rule",
            wanted: "a CEL expression",
        })?;
        if source.len() > RULE_LIMIT {
            return Err(RuleError::Shape {
                field: "rule",
                wanted: "at most 64 KiB",
            });
        }
        let program = Program::compile(&source).map_err(RuleError::Parse)?;
        let message_program = match text("messageExpression")? {
            None => None,
            Some(expression) => match Program::compile(&expression) {
                Ok(program) => Some(program),
                Err(source) => return Err(RuleError::ParseMessage { expression, source }),
            },
        };
        let optional_old_self = match rule.get("optionalOldSelf") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                return Err(RuleError::Shape {
                    field: "optionalOldSelf",
                    wanted: "a boolean",
                });
            }
        };
        for program in std::iter::once(&program).chain(&message_program) {
            FUNCTIONS.with(|functions| check::check(program, node, scope, optional_old_self, functions))?;
        }
        let uses_old_self = program.references().has_variable("oldSelf");
        if uses_old_self && !scope.correlatable {
            return Err(RuleError::Uncorrelatable);
        }
        let reason = match text("reason")?.as_deref() {
            None | Some("FieldValueInvalid") => ErrorKind::Invalid,
            Some("FieldValueForbidden") => ErrorKind::Forbidden,
            Some("FieldValueRequired") => ErrorKind::Required,
            Some("FieldValueDuplicate") => ErrorKind::Duplicate,
            Some(_) => {
                let wanted =
                    "FieldValueInvalid, FieldValueForbidden, FieldValueRequired or FieldValueDuplicate";
                return Err(RuleError::Shape {
                    field: "reason",
                    wanted,
                });
            }
        };
        let field_path = match text("fieldPath")? {
            None => String::new(),
            Some(path) => check::field_path(&path, node).ok_or(RuleError::FieldPath(path))?,
        };
        let message = text("message")?;
        Ok(Rule {
            source,
            program,
            message,
            message_program,
            reason,
            field_path,
            optional_old_self,
            uses_old_self,
        })
    }

    /// The rule in an error about it.
    fn named(&self) -> &str {
        self.message.as_deref().unwrap_or(&self.source)
    }
}

/// How the value now walked relates to what was stored.
#[derive(Debug, Clone, Copy)]
struct Old<'o> {
    /// The old value, where it can be found.
    value: Option<&'o Value>,
    /// The value or the nearest one above it that has an old value equals that: errors of rules without `oldSelf`
    /// are then let through.
    unchanged: bool,
}

impl<'o> Old<'o> {
    /// The relation of a value below.
    fn below(self, value: &Value, old: Option<&'o Value>) -> Old<'o> {
        Old {
            value: old,
            unchanged: self.unchanged || old == Some(value),
        }
    }
}

/// Evaluates the rules of `node` and those below it on `value`.
pub(super) fn validate(node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let old = Old {
        value: old,
        unchanged: old == Some(value),
    };
    FUNCTIONS.with(|functions| walk(node, node, value, old, path, functions, &mut errors));
    errors
}

/// `rules` has the rules; `node` the types: they differ below `allOf`.
fn walk(
    rules: &Node,
    node: &Node,
    value: &Value,
    old: Old<'_>,
    path: &Path<'_>,
    functions: &Context<'_>,
    errors: &mut Vec<FieldError>,
) {
    if !rules.has_rules || value.is_null() {
        return;
    }
    if !rules.rules.is_empty() {
        evaluate(rules, node, value, old, path, functions, errors);
    }
    for branch in &rules.all_of {
        walk(branch, node, value, old, path, functions, errors);
    }
    match value {
        Value::Object(fields) => {
            let before = old.value.and_then(Value::as_object);
            for (name, field) in fields {
                let declared = rules.properties.get(name);
                let Some(below) = declared.or_else(|| rules.additional.schema()) else {
                    continue;
                };
                // Kubernetes compares neither at the root: both sides were converted to one version.
                let typed = path.is_root() && (name == "apiVersion" || name == "kind");
                let before = before.and_then(|before| before.get(name)).filter(|_| !typed);
                let at = if declared.is_some() {
                    Path::Field(path, name)
                } else {
                    Path::Key(path, name)
                };
                let types = node.field(name).unwrap_or(below);
                walk(
                    below,
                    types,
                    field,
                    old.below(field, before),
                    &at,
                    functions,
                    errors,
                );
            }
        }
        Value::Array(items) => {
            let Some(below) = rules.items.as_deref() else {
                return;
            };
            let before = node.correlate(old.value);
            let types = node.items.as_deref().unwrap_or(below);
            for (index, item) in items.iter().enumerate() {
                walk(
                    below,
                    types,
                    item,
                    old.below(item, before.of(item)),
                    &Path::Index(path, index),
                    functions,
                    errors,
                );
            }
        }
        _ => {}
    }
}

fn evaluate(
    rules: &Node,
    node: &Node,
    value: &Value,
    old: Old<'_>,
    path: &Path<'_>,
    functions: &Context<'_>,
    errors: &mut Vec<FieldError>,
) {
    let before = old
        .value
        .filter(|value| !value.is_null())
        .map(|value| convert::to_cel(value, Some(node), functions));
    let mut scope = functions.new_inner_scope();
    scope.add_variable_from_value("self", convert::to_cel(value, Some(node), functions));
    for rule in &rules.rules {
        if rule.uses_old_self && before.is_none() && !rule.optional_old_self {
            continue;
        }
        let mut scope = scope.new_inner_scope();
        if rule.optional_old_self {
            let optional = before.clone().map_or_else(OptionalValue::none, OptionalValue::of);
            scope.add_variable_from_value("oldSelf", CelValue::Opaque(Arc::new(optional)));
        } else if let Some(before) = &before {
            scope.add_variable_from_value("oldSelf", before.clone());
        }
        let Err(error) = outcome(rule, node, value, path, &scope) else {
            continue;
        };
        if rule.uses_old_self || !old.unchanged || error.internal {
            errors.push(error.error);
        }
    }
}

/// A rule that did not hold.
struct Failure {
    error: FieldError,
    /// The rule could not be evaluated, which no unchanged value excuses.
    internal: bool,
}

fn outcome(
    rule: &Rule,
    node: &Node,
    value: &Value,
    path: &Path<'_>,
    scope: &Context<'_>,
) -> Result<(), Failure> {
    let internal = |why: String| {
        let kind = Value::String(node.kind.map_or_else(String::new, |kind| kind.name().to_owned()));
        Err(Failure {
            error: FieldError::of(ErrorKind::Invalid, path, &kind, &why),
            internal: true,
        })
    };
    match rule.program.execute(scope) {
        Ok(CelValue::Bool(true)) => Ok(()),
        Ok(CelValue::Bool(false)) => Err(Failure {
            error: refusal(rule, node, value, path, scope),
            internal: false,
        }),
        Ok(_) => internal(format!(
            "cel expression must evaluate to a bool for rule: {}",
            rule.named()
        )),
        Err(ExecutionError::NoSuchOverload) => internal(format!(
            "'no such overload': call arguments did not match a supported operator, function or macro signature for \
             rule: {}",
            rule.named()
        )),
        Err(error) => internal(format!("{error} evaluating rule: {}", rule.named())),
    }
}

fn refusal(rule: &Rule, node: &Node, value: &Value, path: &Path<'_>, scope: &Context<'_>) -> FieldError {
    let detail = rule
        .message_program
        .as_ref()
        .and_then(|program| message(program, scope))
        .unwrap_or_else(|| {
            rule.message
                .clone()
                .unwrap_or_else(|| format!("failed rule: {}", rule.source))
        });
    let at = if path.is_root() && !rule.field_path.is_empty() {
        rule.field_path.trim_start_matches('.').to_owned()
    } else {
        format!("{path}{}", rule.field_path)
    };
    let whole = matches!(node.kind, Some(Kind::Object | Kind::Array));
    match rule.reason {
        ErrorKind::Forbidden | ErrorKind::Required => FieldError::bare(rule.reason, &at, &detail),
        ErrorKind::Duplicate if whole => FieldError::bare(ErrorKind::Duplicate, &at, ""),
        ErrorKind::Duplicate => FieldError::of(ErrorKind::Duplicate, &at, value, ""),
        _ if whole => FieldError::bare(ErrorKind::Invalid, &at, &detail),
        _ => FieldError::of(ErrorKind::Invalid, &at, value, &detail),
    }
}

/// What a `messageExpression` says; `None` where Kubernetes falls back to the message.
fn message(program: &Program, scope: &Context<'_>) -> Option<String> {
    let Ok(CelValue::String(text)) = program.execute(scope) else {
        return None;
    };
    let text = text.trim();
    (!text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n')).then(|| text.to_owned())
}
