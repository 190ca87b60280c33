//! What can be said of a rule without running it: its names exist, and the fields it selects from `self` are in the
//! schema. Kubernetes type-checks rules in full; this finds the mistakes people make.

use kube::core::cel::cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};
use kube::core::cel::cel::common::ast::{LiteralValue, operators};
use kube::core::cel::cel::{Context, ExecutionError};

use super::RuleError;
use super::convert::escape;
use super::program::{Program, TYPE_NAMES};
use crate::apiserver::schema::node::{Additional, Kind, Node};

/// Where a rule stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::apiserver::schema) struct Scope {
    /// At the root of a resource: `apiVersion`, `kind` and two fields of `metadata` are there too.
    pub(in crate::apiserver::schema) resource: bool,
    /// An old value can be found here.
    pub(in crate::apiserver::schema) correlatable: bool,
    /// Below `allOf` and the like, where the types are elsewhere in the schema.
    pub(in crate::apiserver::schema) nested: bool,
}

/// A library of the `cel` crates that kube-apiserver 1.36 does not have.
const NOT_IN_KUBERNETES: &str = "math.";

/// What is known of an expression's value.
#[derive(Debug, Clone, Copy)]
enum Known<'n> {
    Nothing,
    /// A value of this schema node.
    Of(&'n Node),
    /// The root of a resource.
    Resource(&'n Node),
    /// `metadata` of a resource.
    Metadata,
}

/// Checks the names and fields of a program that stands at `node`.
pub(super) fn check(
    program: &Program,
    node: &Node,
    scope: Scope,
    optional_old_self: bool,
    functions: &Context<'_>,
) -> Result<(), RuleError> {
    let this = match (scope.nested, scope.resource) {
        (true, _) => Known::Nothing,
        (false, true) => Known::Resource(node),
        (false, false) => Known::Of(node),
    };
    let old = if optional_old_self { Known::Nothing } else { this };
    let mut checker = Checker {
        functions,
        variables: vec![("self", this), ("oldSelf", old)],
    };
    checker.visit(program.expression()).map(|_| ())
}

struct Checker<'c, 'n> {
    functions: &'c Context<'c>,
    variables: Vec<(&'n str, Known<'n>)>,
}

impl<'n> Checker<'_, 'n> {
    fn visit(&mut self, expression: &'n IdedExpr) -> Result<Known<'n>, RuleError> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(Known::Nothing),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let operand = self.visit(&select.operand)?;
                field(operand, &select.field)
            }
            Expr::Call(call) => {
                let namespace = call.target.as_deref().and_then(|target| match &target.expr {
                    Expr::Ident(name) if self.variable(name).is_err() => Some(name),
                    _ => None,
                });
                let name = match namespace {
                    Some(namespace) => format!("{namespace}.{}", call.func_name),
                    None => call.func_name.clone(),
                };
                if !self.is_function(&name) {
                    return Err(RuleError::Undeclared(name));
                }
                let mut first = match (&call.target, namespace) {
                    (Some(target), None) => Some(self.visit(target)?),
                    _ => None,
                };
                for argument in &call.args {
                    let known = self.visit(argument)?;
                    first.get_or_insert(known);
                }
                if call.func_name == operators::OPT_INDEX
                    && let Some(Known::Of(node)) = first
                    && node.kind == Some(Kind::Object)
                    && let Some(Expr::Literal(LiteralValue::String(name))) =
                        call.args.get(1).map(|name| &name.expr)
                {
                    field(Known::Of(node), name.inner())?;
                }
                Ok(if call.func_name == "_[_]" {
                    element(first.unwrap_or(Known::Nothing))
                } else {
                    Known::Nothing
                })
            }
            Expr::List(list) => self.visit_all(&list.elements),
            Expr::Map(map) => self.visit_entries(&map.entries),
            Expr::Struct(literal) => self.visit_entries(&literal.entries),
            Expr::Comprehension(comprehension) => {
                if comprehension.iter_var2.is_some() {
                    return Err(RuleError::Undeclared(
                        "comprehension over two variables".to_owned(),
                    ));
                }
                let range = self.visit(&comprehension.iter_range)?;
                self.visit(&comprehension.accu_init)?;
                let depth = self.variables.len();
                let item = match range {
                    Known::Of(node) if node.kind == Some(Kind::Array) => element(range),
                    _ => Known::Nothing,
                };
                self.variables.push((&comprehension.iter_var, item));
                self.variables.push((&comprehension.accu_var, Known::Nothing));
                self.visit(&comprehension.loop_cond)?;
                self.visit(&comprehension.loop_step)?;
                self.visit(&comprehension.result)?;
                self.variables.truncate(depth);
                Ok(Known::Nothing)
            }
        }
    }

    fn visit_all(&mut self, expressions: &'n [IdedExpr]) -> Result<Known<'n>, RuleError> {
        for expression in expressions {
            self.visit(expression)?;
        }
        Ok(Known::Nothing)
    }

    fn visit_entries(&mut self, entries: &'n [IdedEntryExpr]) -> Result<Known<'n>, RuleError> {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.visit(&field.value)?,
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key)?;
                    self.visit(&entry.value)?
                }
            };
        }
        Ok(Known::Nothing)
    }

    fn variable(&self, name: &str) -> Result<Known<'n>, RuleError> {
        if let Some((_, known)) = self
            .variables
            .iter()
            .rev()
            .find(|(variable, _)| *variable == name)
        {
            return Ok(*known);
        }
        if name.starts_with('@') || TYPE_NAMES.contains(&name) {
            return Ok(Known::Nothing);
        }
        Err(RuleError::Undeclared(name.to_owned()))
    }

    /// Whether `name` is an operator or a function of the library: an unknown one cannot even be called.
    fn is_function(&self, name: &str) -> bool {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
            return true;
        }
        if name.starts_with(NOT_IN_KUBERNETES) {
            return false;
        }
        match Program::compile(&format!("{name}()")).map(|call| call.execute(self.functions)) {
            Ok(Err(ExecutionError::UndeclaredReference(_))) | Err(_) => false,
            Ok(_) => true,
        }
    }
}

fn field<'n>(operand: Known<'n>, name: &str) -> Result<Known<'n>, RuleError> {
    let undefined = || Err(RuleError::UndefinedField(name.to_owned()));
    let (node, is_resource) = match operand {
        Known::Nothing => return Ok(Known::Nothing),
        Known::Metadata => {
            return if matches!(name, "name" | "generateName") {
                Ok(Known::Nothing)
            } else {
                undefined()
            };
        }
        Known::Resource(node) => (node, true),
        Known::Of(node) => (node, node.embedded_resource),
    };
    if is_resource {
        match name {
            "metadata" => return Ok(Known::Metadata),
            "apiVersion" | "kind" => return Ok(Known::Nothing),
            _ => {}
        }
    }
    match &node.additional {
        Additional::Schema(values) => return Ok(Known::Of(values)),
        Additional::Any => return Ok(Known::Nothing),
        Additional::None => {}
    }
    if node.kind != Some(Kind::Object) {
        return if node.kind.is_none() {
            Ok(Known::Nothing)
        } else {
            undefined()
        };
    }
    match node
        .properties
        .iter()
        .find(|(property, _)| escape(property).as_deref() == Some(name))
    {
        Some((_, property)) => Ok(Known::Of(property)),
        None => undefined(),
    }
}

fn element(range: Known<'_>) -> Known<'_> {
    let Known::Of(node) = range else {
        return Known::Nothing;
    };
    node.items
        .as_deref()
        .or_else(|| node.additional.schema())
        .map_or(Known::Nothing, Known::Of)
}

/// Checks a rule's `fieldPath` (`.a.b`, `.a['b-c']`) against the schema and writes it as an error path.
pub(super) fn field_path(path: &str, node: &Node) -> Option<String> {
    let mut out = String::new();
    let mut rest = path;
    let mut node = node;
    while !rest.is_empty() {
        let (name, after) = if let Some(plain) = rest.strip_prefix('.') {
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            (plain[..end].to_owned(), &plain[end..])
        } else {
            let (name, after) = quoted_name(rest.strip_prefix("['")?)?;
            (name, after.strip_prefix(']')?)
        };
        if let Some(property) = node.properties.get(&name) {
            out.push('.');
            out.push_str(&name);
            node = property;
        } else {
            node = node.additional.schema().filter(|_| node.properties.is_empty())?;
            out.push('[');
            out.push_str(&name);
            out.push(']');
        }
        rest = after;
    }
    Some(out)
}

/// Text up to the closing quote, and what follows it.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Some((name, &text[at + 1..])),
            '\\' => name.push(characters.next()?.1),
            plain => name.push(plain),
        }
    }
    None
}
