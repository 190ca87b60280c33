//! The environment, and Kubernetes' `$(VAR)`.

use std::collections::BTreeMap;

use longshore_crds::workload::{Container, EnvVar as Declared};
use longshore_plan::spec::{EnvSource, EnvVar};

use super::content::{of_env_from, of_source};
use super::context::Context;
use super::problem::RenderProblem;

/// The environment: all of `envFrom`, then `env`; of one name the later counts.
pub(super) fn render(context: &mut Context<'_>, field: &str, container: &Container) -> Vec<EnvVar> {
    let mut vars: Vec<EnvVar> = Vec::new();
    for (index, from) in container.env_from.iter().enumerate() {
        let field = format!("{field}.envFrom[{index}]");
        let Some((kind, name, optional)) = of_env_from(from) else {
            context.invalid(&field, "needs exactly one of configMapRef and secretRef");
            continue;
        };
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (key, content) in context.keys(&field, kind, name, optional) {
            set(&mut vars, format!("{prefix}{key}"), EnvSource::Content(content));
        }
    }
    // As in Kubernetes, `$(VAR)` in a value sees the variables of `env` before it, and not those of
    // `envFrom`.
    let mut before = BTreeMap::new();
    for (index, var) in container.env.iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        if let Some(source) = value(context, &field, var, &before) {
            before.insert(var.name.clone(), source.clone());
            set(&mut vars, var.name.clone(), source);
        }
    }
    vars
}

fn set(vars: &mut Vec<EnvVar>, name: String, source: EnvSource) {
    vars.retain(|var| var.name != name);
    vars.push(EnvVar { name, source });
}

/// Absent for an optional reference to what does not exist, and for a problem.
fn value(
    context: &mut Context<'_>,
    field: &str,
    var: &Declared,
    before: &BTreeMap<String, EnvSource>,
) -> Option<EnvSource> {
    let Declared {
        name: _,
        value,
        value_from,
    } = var;
    match (value, value_from) {
        (Some(value), None) => {
            let value = expand(context, &format!("{field}.value"), value, before);
            Some(EnvSource::Value(value))
        }
        (None, Some(source)) => {
            let field = format!("{field}.valueFrom");
            let Some((kind, reference)) = of_source(source) else {
                context.invalid(&field, "needs exactly one of configMapKeyRef and secretKeyRef");
                return None;
            };
            let optional = reference.optional == Some(true);
            let content = context.key(&field, kind, &reference.name, &reference.key, optional)?;
            Some(EnvSource::Content(content))
        }
        _ => {
            context.invalid(field, "needs exactly one of value and valueFrom");
            None
        }
    }
}

/// Arguments see the whole environment.
pub(super) fn expand_all(
    context: &mut Context<'_>,
    field: &str,
    texts: &[String],
    vars: &[EnvVar],
) -> Vec<String> {
    let known = vars
        .iter()
        .map(|var| (var.name.clone(), var.source.clone()))
        .collect();
    let mut expanded = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        expanded.push(expand(context, &format!("{field}[{index}]"), text, &known));
    }
    expanded
}

/// Kubernetes' expansion: `$(NAME)` is the variable's value, or stays when there is none of that name;
/// `$$` is `$`; any other `$` stays.
///
/// The value of a ConfigMap or Secret is not known here and must not enter a plan, so a reference to such
/// a variable is a problem.
fn expand(context: &mut Context<'_>, field: &str, text: &str, known: &BTreeMap<String, EnvSource>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (plain, from_dollar) = rest.split_at(dollar);
        out.push_str(plain);
        let after = &from_dollar[1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(EnvSource::Value(value)) => out.push_str(value),
                Some(EnvSource::Content(_)) => context.problem(RenderProblem::ContentInText {
                    field: field.to_owned(),
                    variable: name.to_owned(),
                }),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
