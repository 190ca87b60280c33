//! `metadata.managedFields` (`managedfields/internal` of `k8s.io/apimachinery`): who owns which fields since when.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::Set;
use super::{Manager, Operation};

/// How many managers that update an object are told apart; older ones become one.
const MAX_UPDATERS: usize = 10;

/// The name of the managers nobody tells apart any more.
const ANCIENT: &str = "ancient-changes";

/// What makes two entries the same manager's. One that applies is one whatever version it applies in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ManagerId {
    operation: Operation,
    name: String,
    /// Empty for one that applies.
    api_version: String,
    subresource: String,
}

impl ManagerId {
    pub(super) fn of(manager: &Manager) -> ManagerId {
        let name = if manager.name.is_empty() {
            "unknown"
        } else {
            &manager.name
        };
        ManagerId::new(
            name,
            manager.operation,
            &manager.api_version,
            &manager.subresource,
        )
    }

    /// Stands for the write that is being recorded, which is nobody's yet.
    pub(super) fn current() -> ManagerId {
        ManagerId::new("", Operation::Update, "", "")
    }

    fn new(name: &str, operation: Operation, api_version: &str, subresource: &str) -> ManagerId {
        let api_version = if operation == Operation::Apply {
            ""
        } else {
            api_version
        };
        ManagerId {
            operation,
            name: name.to_owned(),
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }
}

/// As a conflict names a manager.
impl fmt::Display for ManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        if self.operation == Operation::Update {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) set: Set,
    pub(super) api_version: String,
    /// When it last changed something, to the second.
    pub(super) time: Option<String>,
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Managed {
    pub(super) entries: BTreeMap<ManagerId, Entry>,
}

/// Whether a client asks to forget all managers: an empty list, or one empty entry.
pub(super) fn is_reset(fields: &Value) -> bool {
    match fields.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(only)]) => only.is_empty(),
        _ => false,
    }
}

impl Managed {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads `managedFields`; the error says which entry is bad and why.
    pub(super) fn decode(fields: Option<&Value>) -> Result<Managed, String> {
        let mut managed = Managed::default();
        let entries = match fields {
            None | Some(Value::Null) => return Ok(managed),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err("managedFields must be a list".to_owned()),
        };
        for (index, entry) in entries.iter().enumerate() {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            if text("apiVersion").is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => {
                    return Err(format!(
                        "invalid fieldsType {other:?} in managed fields entry {index}"
                    ));
                }
            }
            let set = match entry.get("fieldsV1") {
                None | Some(Value::Null) => Set::default(),
                Some(fields) => {
                    Set::decode(fields).ok_or_else(|| format!("error decoding set of entry {index}"))?
                }
            };
            let id = ManagerId::new(
                text("manager"),
                operation,
                text("apiVersion"),
                text("subresource"),
            );
            let time = Some(text("time"))
                .filter(|time| !time.is_empty())
                .map(str::to_owned);
            managed.entries.insert(
                id,
                Entry {
                    set,
                    api_version: text("apiVersion").to_owned(),
                    time,
                },
            );
        }
        Ok(managed)
    }

    /// Writes `metadata.managedFields`, or takes it away when there is none to write.
    pub(super) fn encode_into(&self, object: &mut Value) {
        let Some(object) = object.as_object_mut() else {
            return;
        };
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else {
            return;
        };
        if self.entries.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        let mut entries: Vec<(&ManagerId, &Entry)> = self.entries.iter().collect();
        entries.sort_by_key(|(id, entry)| {
            (
                id.operation,
                entry.seconds(),
                &id.name,
                &entry.api_version,
                &id.subresource,
            )
        });
        let encoded = entries.into_iter().map(|(id, entry)| entry.encode(id)).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(encoded));
    }

    /// Notes that a manager changed something now.
    pub(super) fn touch(&mut self, id: &ManagerId, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.time = Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
    }

    /// Merges the longest unchanged updaters until at most ten are left.
    pub(super) fn cap_updaters(&mut self) {
        let mut updaters: Vec<(i64, ManagerId)> = self
            .entries
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update)
            .map(|(id, entry)| (entry.seconds(), id.clone()))
            .collect();
        updaters.sort();
        let mut count = updaters.len();
        let mut first_of: BTreeMap<String, ManagerId> = BTreeMap::new();
        for (_, id) in updaters {
            if count <= MAX_UPDATERS {
                break;
            }
            let Some(entry) = self.entries.get(&id).cloned() else {
                continue;
            };
            let bucket = ManagerId::new(ANCIENT, Operation::Update, &entry.api_version, "");
            let Some(first) = first_of.get(&entry.api_version).cloned() else {
                first_of.insert(entry.api_version, id);
                continue;
            };
            if !self.entries.contains_key(&bucket)
                && let Some(oldest) = self.entries.remove(&first)
            {
                self.entries.insert(bucket.clone(), oldest);
            }
            self.entries.remove(&id);
            count -= 1;
            if let Some(bucket) = self.entries.get_mut(&bucket) {
                bucket.set = bucket.set.union(&entry.set);
                bucket.time = entry.time;
            }
        }
    }
}

impl Entry {
    fn seconds(&self) -> i64 {
        self.time
            .as_deref()
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map_or(0, Timestamp::as_second)
    }

    fn encode(&self, id: &ManagerId) -> Value {
        let operation = match id.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut out = json!({
            "manager": id.name,
            "operation": operation,
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.set.encode(),
        });
        if let Some(time) = &self.time {
            out["time"] = Value::String(time.clone());
        }
        if !id.subresource.is_empty() {
            out["subresource"] = Value::String(id.subresource.clone());
        }
        out
    }
}
