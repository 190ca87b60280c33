//! What `kubectl get` shows: columns and their cells, computed by the server.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;

/// One column of a Table.
pub(crate) struct Column {
    pub(crate) name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub(crate) data_type: String,
    pub(crate) format: String,
    pub(crate) description: String,
    /// Above zero: only under `-o wide`.
    pub(crate) priority: i32,
    cell: Cell,
}

enum Cell {
    Path(JsonPath),
    Computed(fn(&Value, Timestamp) -> Value),
}

impl Column {
    fn computed(name: &str, data_type: &str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self {
            name: name.into(),
            data_type: data_type.into(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            cell: Cell::Computed(cell),
        }
    }

    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.data_type, "format": self.format,
            "description": self.description, "priority": self.priority,
        })
    }

    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let path = match &self.cell {
            Cell::Computed(cell) => return cell(object, now),
            Cell::Path(path) => path,
        };
        let found = path.find(object);
        let Some(first) = found.first().filter(|v| !v.is_null()) else {
            return Value::Null;
        };
        match self.data_type.as_str() {
            "date" => age_of(first, now),
            "integer" => first.as_i64().map_or(Value::Null, Value::from),
            "number" => first.as_f64().map_or(Value::Null, Value::from),
            "boolean" => first.as_bool().map_or(Value::Null, Value::from),
            _ => text(first).into(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A CRD's own column; `None` if its path is unsupported.
pub(super) fn printed(column: &CustomResourceColumnDefinition) -> Option<Column> {
    Some(Column {
        name: column.name.clone(),
        data_type: column.type_.clone(),
        format: column.format.clone().unwrap_or_default(),
        description: column.description.clone().unwrap_or_default(),
        priority: column.priority.unwrap_or(0),
        cell: Cell::Path(JsonPath::parse(&column.json_path)?),
    })
}

pub(super) fn name() -> Column {
    let mut column = Column::computed("Name", "string", |o, _| o["metadata"]["name"].clone());
    column.format = "name".into();
    column
}

pub(super) fn created() -> Column {
    Column::computed("Age", "string", |o, now| {
        age_of(&o["metadata"]["creationTimestamp"], now)
    })
}

fn entries(object: &Value, fields: &[&str]) -> Value {
    fields
        .iter()
        .map(|&f| object[f].as_object().map_or(0, serde_json::Map::len))
        .sum::<usize>()
        .into()
}

pub(super) fn config_map() -> Vec<Column> {
    vec![
        name(),
        Column::computed("Data", "string", |o, _| entries(o, &["data", "binaryData"])),
        created(),
    ]
}

pub(super) fn secret() -> Vec<Column> {
    vec![
        name(),
        Column::computed("Type", "string", |o, _| o["type"].clone()),
        Column::computed("Data", "string", |o, _| entries(o, &["data"])),
        created(),
    ]
}

pub(super) fn namespace() -> Vec<Column> {
    vec![
        name(),
        Column::computed("Status", "string", |o, _| o["status"]["phase"].clone()),
        created(),
    ]
}

pub(super) fn definition() -> Vec<Column> {
    vec![
        name(),
        Column::computed("Created At", "date", |o, _| {
            o["metadata"]["creationTimestamp"].clone()
        }),
    ]
}

pub(super) fn lease() -> Vec<Column> {
    vec![
        name(),
        Column::computed("Holder", "string", |o, _| o["spec"]["holderIdentity"].clone()),
        created(),
    ]
}

pub(super) fn controller_revision() -> Vec<Column> {
    let controller = |o: &Value, _: Timestamp| {
        let owners = o["metadata"]["ownerReferences"].as_array();
        let owner = owners
            .into_iter()
            .flatten()
            .find(|owner| owner["controller"] == true);
        owner.map_or_else(
            || Value::from("<none>"),
            |owner| {
                let kind = text(&owner["kind"]).to_lowercase();
                let version = text(&owner["apiVersion"]);
                let group = version
                    .split_once('/')
                    .map(|(group, _)| format!(".{group}"))
                    .unwrap_or_default();
                format!("{kind}{group}/{}", text(&owner["name"])).into()
            },
        )
    };
    vec![
        name(),
        Column::computed("Controller", "string", controller),
        Column::computed("Revision", "string", |o, _| o["revision"].clone()),
        created(),
    ]
}

/// Stored events have the core/v1 form; both resources show the same columns.
pub(super) fn event() -> Vec<Column> {
    let last = |o: &Value, now: Timestamp| {
        age_of(
            first_set(
                o,
                &[
                    "/series/lastObservedTime",
                    "/lastTimestamp",
                    "/eventTime",
                    "/metadata/creationTimestamp",
                ],
            ),
            now,
        )
    };
    let first = |o: &Value, now: Timestamp| {
        age_of(
            first_set(
                o,
                &["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"],
            ),
            now,
        )
    };
    let object = |o: &Value, _: Timestamp| {
        let about = &o["involvedObject"];
        Value::from(format!(
            "{}/{}",
            text(&about["kind"]).to_lowercase(),
            about["name"].as_str().unwrap_or_default()
        ))
    };
    let source = |o: &Value, _: Timestamp| {
        let component = first_set(o, &["/source/component", "/reportingComponent"])
            .as_str()
            .unwrap_or_default();
        let host = first_set(o, &["/source/host", "/reportingInstance"])
            .as_str()
            .unwrap_or_default();
        Value::from(if host.is_empty() {
            component.to_owned()
        } else {
            format!("{component}, {host}")
        })
    };
    let count = |o: &Value, _: Timestamp| match first_set(o, &["/series/count", "/count"]) {
        Value::Null => 1.into(),
        count => count.clone(),
    };
    vec![
        Column::computed("Last Seen", "string", last),
        Column::computed("Type", "string", |o, _| o["type"].clone()),
        Column::computed("Reason", "string", |o, _| o["reason"].clone()),
        Column::computed("Object", "string", object),
        Column::computed("Subobject", "string", |o, _| {
            o["involvedObject"]["fieldPath"].clone()
        })
        .wide(),
        Column::computed("Source", "string", source).wide(),
        Column::computed("Message", "string", |o, _| text(&o["message"]).trim().into()),
        Column::computed("First Seen", "string", first).wide(),
        Column::computed("Count", "string", count).wide(),
        Column::computed("Name", "string", |o, _| o["metadata"]["name"].clone()).wide(),
    ]
}

fn first_set<'v>(object: &'v Value, pointers: &[&str]) -> &'v Value {
    pointers
        .iter()
        .filter_map(|p| object.pointer(p))
        .find(|v| !v.is_null())
        .unwrap_or(&Value::Null)
}

fn age_of(at: &Value, now: Timestamp) -> Value {
    match at.as_str().map(str::parse::<Timestamp>) {
        None => "<unknown>".into(),
        Some(Err(_)) => "<invalid>".into(),
        Some(Ok(at)) => age(now.as_second() - at.as_second()).into(),
    }
}

/// A span as kubectl shows it: two units at most, finer the shorter it is.
pub(crate) fn age(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, l: char, small: i64, s: char| {
        if small == 0 {
            format!("{large}{l}")
        } else {
            format!("{large}{l}{small}{s}")
        }
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, 'm', s % MINUTE, 's'),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, 'h', s % HOUR / MINUTE, 'm'),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, 'd', s % DAY / HOUR, 'h'),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, 'y', s % YEAR / DAY, 'd'),
        s => format!("{}y", s / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let table = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (8 * 3600 + 60, "8h"),
            (47 * 3600, "47h"),
            (48 * 3600, "2d"),
            (49 * 3600, "2d1h"),
            (9 * 86400, "9d"),
            (730 * 86400, "2y"),
            (731 * 86400, "2y1d"),
            (3000 * 86400, "8y"),
        ];
        for (seconds, expected) in table {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }
}
