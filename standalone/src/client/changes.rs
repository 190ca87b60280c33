//! Which fields of an object a change touches, by path and never by value. Pure.

use serde_json::Value;

/// How many paths are named.
const NAMED: usize = 8;

/// The paths that differ, without what the server keeps for itself. Empty means that nothing would change.
pub(super) fn changed_paths(before: &Value, after: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for field in fields(before, after) {
        match field.as_str() {
            // Kinds do not change, and a status is no declaration.
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                let (before, after) = (&before["metadata"], &after["metadata"]);
                for field in ["labels", "annotations", "ownerReferences", "finalizers"] {
                    compare(
                        &format!("metadata.{field}"),
                        &before[field],
                        &after[field],
                        &mut paths,
                    );
                }
            }
            _ => compare(&field, &before[&field], &after[&field], &mut paths),
        }
    }
    paths
}

/// The paths in words, the first few of them.
pub(super) fn words(paths: &[String]) -> String {
    let named = paths[..paths.len().min(NAMED)].join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn fields(before: &Value, after: &Value) -> Vec<String> {
    let mut fields: Vec<String> = [before, after]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|map| map.keys().cloned())
        .collect();
    fields.sort();
    fields.dedup();
    fields
}

fn compare(path: &str, before: &Value, after: &Value, into: &mut Vec<String>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(_), Value::Object(_)) => {
            for field in fields(before, after) {
                compare(&format!("{path}.{field}"), &before[&field], &after[&field], into);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                // The items of lists of objects have names, as a rule.
                let item = match new["name"].as_str() {
                    Some(name) => format!("{path}[{name}]"),
                    None => format!("{path}[{at}]"),
                };
                compare(&item, old, new, into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_what_is_declared_and_nothing_the_server_keeps() {
        let before = json!({"kind": "A", "metadata": {"resourceVersion": "1", "managedFields": [1]}, "status": {"a": 1},
            "spec": {"image": "x", "env": [{"name": "A", "value": "s3cret"}], "list": [1]}});
        let mut after = before.clone();
        after["metadata"]["resourceVersion"] = "2".into();
        after["metadata"]["generation"] = 2.into();
        after["status"] = json!({"a": 2});
        assert!(changed_paths(&before, &after).is_empty());
        after["metadata"]["labels"] = json!({"a": "b"});
        after["spec"] = json!({"env": [{"name": "A", "value": "n3w"}], "list": [1, 2], "more": {}});
        let paths = changed_paths(&before, &after);
        let expected = [
            "metadata.labels",
            "spec.env[A].value",
            "spec.image",
            "spec.list",
            "spec.more",
        ];
        assert_eq!(paths, expected);
        let many: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(words(&many), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
