//! Answers without what differs by nature: uids, versions, times, ages, tokens.

use std::collections::HashMap;

use serde_json::{Value, json};

/// What one server said before, as far as later requests and answers refer to it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest resourceVersion of each object, by its uid.
    versions: HashMap<String, String>,
    uid: String,
    version: String,
    old_version: String,
    continuation: String,
    /// What kubectl last printed.
    pub(super) said: String,
}

impl Memory {
    /// A request with its placeholders filled in: `$UID`, `$RV` and `$OLDRV` of the object last answered
    /// (its version now and before), `$CONTINUE` of the list last answered, `$SAID` by kubectl.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("$UID", &self.uid)
            .replace("$RV", &self.version)
            .replace("$OLDRV", &self.old_version)
            .replace("$CONTINUE", &self.continuation)
            .replace("$SAID", &self.said)
    }

    /// An answer's body, comparable.
    pub(super) fn plain(&mut self, body: &str) -> String {
        // A watch that tells of one event only is still a watch.
        let one = serde_json::from_str::<Value>(body).ok();
        if let Some(mut value) = one.filter(|value| value["object"]["kind"].is_null()) {
            if let Some(token) = value["metadata"]["continue"].as_str() {
                token.clone_into(&mut self.continuation);
            }
            if let (Some(uid), Some(version)) = (
                value["metadata"]["uid"].as_str(),
                value["metadata"]["resourceVersion"].as_str(),
            ) {
                uid.clone_into(&mut self.uid);
                if self.version != version {
                    self.old_version = std::mem::replace(&mut self.version, version.to_owned());
                }
            }
            leave_out_everywhere(&mut value);
            self.normalise(&mut value);
            return pretty(&value);
        }
        // A watch: one event a line. Bookmarks come when they come, but for the one that ends a list.
        let events = body.lines().map(serde_json::from_str::<Value>);
        if let Ok(events) = events.collect::<Result<Vec<_>, _>>() {
            let mut events: Vec<Value> = events
                .into_iter()
                .filter(|event| {
                    event["type"] != "BOOKMARK" || !event["object"]["metadata"]["annotations"].is_null()
                })
                .collect();
            for event in &mut events {
                if let Some(object) = event.get_mut("object") {
                    leave_out_everywhere(object);
                }
                self.normalise(event);
            }
            return pretty(&json!(events));
        }
        words(body)
    }

    fn normalise(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let uid = fields.get("uid").and_then(Value::as_str).map(str::to_owned);
                if let Some(version) = fields.get_mut("resourceVersion") {
                    *version = self.version_word(uid, version);
                }
                // An owner's key is its uid; managers are in the order in which, to the second, they wrote.
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, field)| (words(&name), field))
                    .collect();
                if let Some(Value::Array(managers)) = fields.get_mut("managedFields") {
                    managers.sort_by_key(|manager| {
                        ["manager", "operation", "subresource"].map(|field| manager[field].to_string())
                    });
                }
                for (name, field) in fields.iter_mut() {
                    if name == "continue" {
                        *field = json!("CONTINUE");
                    }
                    self.normalise(field);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.normalise(item)),
            Value::String(text) => *text = words(text),
            _ => {}
        }
    }

    /// Whether an object's version is a new one, which is what matters of it.
    fn version_word(&mut self, uid: Option<String>, version: &Value) -> Value {
        let (Some(uid), Some(version)) = (uid, version.as_str()) else {
            return json!("VERSION");
        };
        match self.versions.insert(uid, version.to_owned()) {
            Some(known) if known == version => json!("VERSION as before"),
            _ => json!("VERSION new"),
        }
    }
}

/// The differences there are in every answer of a kind, none of which a client can lean on: the items of a core
/// kind's list say what they are (the real server's do not), tables do not describe their columns (the real
/// server's quote Kubernetes' reference), and what is empty is left out where the real server shows empty
/// details of a Status and an empty token of a complete list.
fn leave_out_everywhere(value: &mut Value) {
    let core = value["apiVersion"] == "v1";
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    // The real server finds what is wrong in the order of Go's maps, which is none.
    let causes = fields
        .get_mut("details")
        .and_then(|details| details.get_mut("causes"));
    if let Some(causes) = causes.and_then(Value::as_array_mut)
        && causes.len() > 1
    {
        causes.sort_by_key(Value::to_string);
        if let Some(Value::String(message)) = fields.get_mut("message") {
            let mut parts: Vec<&str> = message.split([' ', ',', '[', ']']).collect();
            parts.sort_unstable();
            *message = parts.join(" ");
        }
    }
    let mut each = |field: &str, change: &dyn Fn(&mut Value)| {
        let items = fields.get_mut(field).and_then(Value::as_array_mut);
        items.into_iter().flatten().for_each(change);
    };
    each("items", &|item| {
        if core && let Some(item) = item.as_object_mut() {
            item.remove("apiVersion");
            item.remove("kind");
        }
    });
    each("columnDefinitions", &|column| column["description"] = json!(""));
    fields.retain(|name, value| name != "details" || *value != json!({}));
    if let Some(list) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        list.retain(|name, value| name != "continue" || value != "");
    }
}

/// An answer without the words of its Status: its code, its reason, and the fields it complains of.
pub(super) fn without_words(answer: &str) -> String {
    let lines = answer.lines();
    let kept = lines.filter(|line| !line.trim_start().starts_with("\"message\": "));
    kept.map(|line| line.trim_end_matches(','))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text with each uid, time, age and resourceVersion in it replaced by the kind of thing it is.
pub(super) fn words(text: &str) -> String {
    let lines = text.split('\n').map(|line| match line.split_once(':') {
        Some((name, _)) if ["resourceVersion", "Resource Version"].contains(&name.trim_start()) => {
            format!("{name}: VERSION")
        }
        _ => words_of(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn words_of(text: &str) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_alphanumeric() || "-:.".contains(letter) {
            word.push(letter);
            continue;
        }
        plain.push_str(&kind_of(&word));
        word.clear();
        plain.push(letter);
    }
    plain.pop();
    plain
}

fn kind_of(word: &str) -> String {
    let trimmed = word.trim_end_matches([':', '.']);
    let rest = &word[trimmed.len()..];
    let shape: String = trimmed
        .chars()
        .map(|letter| if letter.is_ascii_hexdigit() { 'x' } else { letter })
        .collect();
    let digits: String = trimmed
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    let is_time = |shape: &str| shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z');
    let kind = if shape == "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" {
        "UID"
    } else if is_time(&digits) {
        "TIME"
    } else if ["0s", "00s"].contains(&digits.as_str()) {
        "AGE"
    } else if digits == "0000-00-00" || digits == "00:00:00.000000000" {
        "TIME"
    } else if ["LIVE-", "MERGED-"].iter().any(|file| trimmed.starts_with(file)) {
        "FILE"
    } else if let Some(generated) = trimmed.strip_prefix("gen-")
        && generated.len() == 5
    {
        "gen-NAME"
    } else {
        trimmed
    };
    format!("{kind}{rest}")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}

/// The lines of each that the other has not, in their places.
pub(super) fn difference(ours: &str, real: &str) -> String {
    let (ours, real): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), real.lines().collect());
    let start = ours
        .iter()
        .zip(&real)
        .take_while(|(one, other)| one == other)
        .count();
    let (ours, real) = (&ours[start..], &real[start..]);
    let end = ours
        .iter()
        .rev()
        .zip(real.iter().rev())
        .take_while(|(one, other)| one == other)
        .count();
    let shown = |lines: &[&str], mark: &str| {
        let lines = lines[..lines.len() - end].iter().take(12);
        lines
            .map(|line| format!("  {mark} {line}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    format!("{}{}", shown(ours, "ours"), shown(real, "real"))
}
