//! Expressions and the functions they may call. The `cel` crate's own `Program` has no optional syntax (`a.?b`), and
//! its functions lack `type`; rules in the field use both.

use std::sync::Arc;

use kube::core::cel::KubeCelExt as _;
use kube::core::cel::cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use kube::core::cel::cel::objects::{Opaque, ValueType};
use kube::core::cel::cel::parser::{Expression, ExpressionReferences, Parser};
use kube::core::cel::cel::{Context, ParseErrors, ResolveResult, Value as CelValue};

/// A parsed expression.
#[derive(Debug)]
pub(super) struct Program {
    expression: Expression,
}

impl Program {
    pub(super) fn compile(source: &str) -> Result<Program, ParseErrors> {
        let mut expression = Parser::new().enable_optional_syntax(true).parse(source)?;
        index_optionally(&mut expression);
        Ok(Program { expression })
    }

    pub(super) fn execute(&self, scope: &Context<'_>) -> ResolveResult {
        scope.resolve(&self.expression)
    }

    pub(super) fn references(&self) -> ExpressionReferences<'_> {
        self.expression.references()
    }

    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }
}

/// Writes `a.?b.c` as `a[?"b"][?"c"]`: the crate evaluates the former to an error for an absent `b`, and does not
/// select from an optional.
fn index_optionally(expression: &mut Expression) {
    match &mut expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Select(select) => {
            index_optionally(&mut select.operand);
            if !select.test && is_optional(&select.operand) {
                let name = Expr::Literal(LiteralValue::String(select.field.as_str().into()));
                let name = Expression {
                    id: expression.id,
                    expr: name,
                };
                let args = vec![std::mem::take(&mut *select.operand), name];
                expression.expr = Expr::Call(CallExpr {
                    func_name: operators::OPT_INDEX.to_owned(),
                    target: None,
                    args,
                });
            }
        }
        Expr::Call(call) => {
            if call.func_name == operators::OPT_SELECT {
                operators::OPT_INDEX.clone_into(&mut call.func_name);
            }
            call.target.iter_mut().for_each(|target| index_optionally(target));
            call.args.iter_mut().for_each(index_optionally);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(index_optionally),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .for_each(|entry| index_entry(&mut entry.expr)),
        Expr::Struct(literal) => literal
            .entries
            .iter_mut()
            .for_each(|entry| index_entry(&mut entry.expr)),
        Expr::Comprehension(comprehension) => {
            index_optionally(&mut comprehension.iter_range);
            index_optionally(&mut comprehension.accu_init);
            index_optionally(&mut comprehension.loop_cond);
            index_optionally(&mut comprehension.loop_step);
            index_optionally(&mut comprehension.result);
        }
    }
}

/// Whether an expression selects from an optional.
fn is_optional(expression: &Expression) -> bool {
    let Expr::Call(call) = &expression.expr else {
        return false;
    };
    call.func_name == operators::OPT_INDEX
        || call.func_name == operators::INDEX && call.args.first().is_some_and(is_optional)
}

fn index_entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => index_optionally(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            index_optionally(&mut entry.key);
            index_optionally(&mut entry.value);
        }
    }
}

/// A context with all functions and no variables but the names of types.
pub(super) fn functions() -> Context<'static> {
    let mut functions = Context::default().with_all();
    functions.add_function("type", |value: CelValue| -> ResolveResult { Ok(type_of(&value)) });
    for name in TYPE_NAMES {
        functions.add_variable_from_value(name, named(name));
    }
    functions
}

/// Type names, which are values in CEL.
pub(super) const TYPE_NAMES: [&str; 10] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// A type as a value.
#[derive(Debug, PartialEq, Eq)]
struct TypeName(&'static str);

impl Opaque for TypeName {
    fn runtime_type_name(&self) -> &'static str {
        "type"
    }
}

fn named(name: &'static str) -> CelValue {
    CelValue::Opaque(Arc::new(TypeName(name)))
}

fn type_of(value: &CelValue) -> CelValue {
    named(match value.type_of() {
        ValueType::Bool => "bool",
        ValueType::Bytes => "bytes",
        ValueType::Float => "double",
        ValueType::Int => "int",
        ValueType::List => "list",
        ValueType::Map => "map",
        ValueType::Null => "null_type",
        ValueType::String => "string",
        ValueType::UInt => "uint",
        ValueType::Duration => "google.protobuf.Duration",
        ValueType::Timestamp => "google.protobuf.Timestamp",
        // The type of a type; other opaque values are the library's (quantities, URLs), which nobody compares.
        ValueType::Function | ValueType::Opaque => "type",
    })
}
