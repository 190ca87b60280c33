//! Custom kinds, from their CustomResourceDefinitions.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::{Value, json};

use super::columns::{self, Column};
use super::{Form, OpenApi, Resource, ServeKindError};
use crate::apiserver::apply::MergeSchema;
use crate::apiserver::schema::Schema;

/// One resource for each served version.
pub(super) fn resources(crd: &CustomResourceDefinition) -> Result<Vec<Resource>, ServeKindError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    crd.spec
        .versions
        .iter()
        .filter(|v| v.served)
        .map(|version| resource(&name, crd, version))
        .collect()
}

fn resource(
    name: &str,
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> Result<Resource, ServeKindError> {
    let incomplete = |missing| ServeKindError::Incomplete {
        name: name.to_owned(),
        missing,
    };
    let declared = version
        .schema
        .as_ref()
        .and_then(|s| s.open_api_v3_schema.as_ref());
    let declared = declared.ok_or_else(|| incomplete("schema"))?;
    let structural = serde_json::to_value(declared).map_err(|_| incomplete("serialisable schema"))?;
    let compiled = Schema::compile(&structural);
    let schema = compiled.map_err(|source| ServeKindError::Schema {
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    let names = &crd.spec.names;
    let status = version.subresources.as_ref().is_some_and(|s| s.status.is_some());
    let merge = MergeSchema::from_structural(&structural);
    let printed = version.additional_printer_columns.as_deref().unwrap_or_default();
    Ok(Resource {
        group: crd.spec.group.clone(),
        version: version.name.clone(),
        plural: names.plural.clone(),
        singular: names
            .singular
            .clone()
            .unwrap_or_else(|| names.kind.to_lowercase()),
        kind: names.kind.clone(),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: crd.spec.scope == "Namespaced",
        status,
        custom: true,
        writable: true,
        table: Arc::from(format!("{}.{}", names.plural, crd.spec.group)),
        form: Form::Plain,
        columns: printer_columns(name, printed)?,
        openapi: OpenApi::Custom(
            model_name(&crd.spec.group, &version.name, &names.kind),
            structural.clone(),
        ),
        schema,
        merge: if status {
            merge.with_status_subresource()
        } else {
            merge
        },
    })
}

fn printer_columns(
    name: &str,
    printed: &[CustomResourceColumnDefinition],
) -> Result<Vec<Column>, ServeKindError> {
    let mut columns = vec![columns::name()];
    if printed.is_empty() {
        columns.push(columns::created());
    }
    for column in printed {
        columns.push(columns::printed(column).ok_or_else(|| ServeKindError::Column {
            name: name.to_owned(),
            column: column.name.clone(),
            path: column.json_path.clone(),
        })?);
    }
    Ok(columns)
}

/// `dev.longshore.v1alpha1.Workload`: the group reversed, as Kubernetes names CRD models.
fn model_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

/// The CRD as an object to store: what a cluster shows once a definition is established.
pub(crate) fn established(crd: &CustomResourceDefinition, since: &str) -> Option<Value> {
    let mut value = serde_json::to_value(crd).ok()?;
    let names = value["spec"]["names"].clone();
    let stored: Vec<&str> = crd
        .spec
        .versions
        .iter()
        .filter(|v| v.storage)
        .map(|v| v.name.as_str())
        .collect();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since});
    value["status"] = json!({
        "acceptedNames": names,
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    });
    Some(value)
}
