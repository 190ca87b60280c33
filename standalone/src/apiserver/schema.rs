//! The OpenAPI v3 structural schema of one version of a CRD: what it owns is the whole way of a custom
//! resource from the wire to the store, in the order kube-apiserver takes it.
//!
//! 1. [`Schema::unknown_fields`] names the fields the schema does not know (field validation `Strict` and `Warn`);
//! 2. [`Schema::prune`] drops them;
//! 3. [`Schema::drop_nulls`] drops nulls nobody declared, and [`Schema::default`] fills in defaults;
//! 4. [`Schema::validate`] checks types and values, list invariants, then the CEL rules.
//!
//! The rules and their words are those of `k8s.io/apiextensions-apiserver` 0.36 and `k8s.io/kube-openapi`, read and
//! rewritten; where this is weaker than Kubernetes the module that is says so. Every walk is led by the schema, whose
//! depth is bounded when it is compiled, so no object can make one recurse further than that.

mod cel;
mod compile;
mod error;
mod format;
mod listtype;
mod metadata;
mod node;
mod path;
mod pattern;
mod prune;
mod values;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub(crate) use compile::CompileError;
pub(crate) use error::{ErrorKind, FieldError};
pub(crate) use metadata::{Names, validate_metadata};

use node::Node;
use path::Path;

/// A compiled structural schema. Compile once per CRD version, use for every object.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Node,
}

impl Schema {
    /// Compiles `spec.versions[].schema.openAPIV3Schema`. Fails on what kube-apiserver would refuse at the CRD's
    /// registration and what would otherwise fail on every object: bad types, bad patterns, bad CEL.
    pub(crate) fn compile(structural: &Value) -> Result<Schema, CompileError> {
        Ok(Schema {
            root: compile::compile(structural)?,
        })
    }

    /// Paths of the fields that [`Schema::prune`] would drop, sorted, as field validation words them
    /// (`spec.template.containers[0].imge`).
    pub(crate) fn unknown_fields(&self, object: &Value) -> Vec<String> {
        let mut object = object.clone();
        prune::prune(&self.root, &mut object)
    }

    /// Drops every field the schema does not specify, but for those below `x-kubernetes-preserve-unknown-fields`.
    pub(crate) fn prune(&self, object: &mut Value) {
        prune::prune(&self.root, object);
    }

    /// Drops nulls that are neither nullable nor defaulted. What server-side apply makes keeps them, and is invalid.
    pub(crate) fn drop_nulls(&self, object: &mut Value) {
        prune::drop_nulls(&self.root, object);
    }

    /// Fills in defaults, also in place of nulls that are not nullable.
    pub(crate) fn default(&self, object: &mut Value) {
        prune::default(&self.root, object);
    }

    /// Every error in `object`; `old` is the stored object on an update. As since Kubernetes 1.30, what was invalid
    /// before and was not touched is let through on an update (ratcheting).
    pub(crate) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = values::validate(&self.root, object, old);
        if old.is_none_or(|old| listtype::validate(&self.root, old).is_empty()) {
            errors.extend(listtype::validate(&self.root, object));
        }
        if !self.root.has_rules {
            return errors;
        }
        if errors.iter().any(|error| error.kind.blocks_rules()) {
            errors.push(FieldError::rules_not_checked());
            return errors;
        }
        errors.extend(cel::validate(&self.root, object, old, &Path::Root));
        errors
    }
}
