//! What an engine was told and must not be quoted with.

/// Shorter values are not looked for: they would hit half the words.
const SHORTEST: usize = 4;

/// The texts that no error may hold, in every form in which an engine may repeat them.
#[derive(Default)]
pub(super) struct Secrets {
    /// The longest first: one may be a part of another.
    texts: Vec<String>,
}

impl Secrets {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn of_values<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut texts: Vec<String> = values.into_iter().flat_map(forms).collect();
        texts.retain(|text| text.len() >= SHORTEST);
        texts.sort_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
        texts.dedup();
        Self { texts }
    }

    /// `NAME=value` pairs: hidden as a whole, and their values alone.
    pub(super) fn of_environment(pairs: &[String]) -> Self {
        let values = pairs.iter().filter_map(|pair| pair.split_once('='));
        let values = values.map(|(_, value)| value);
        Self::of_values(pairs.iter().map(String::as_str).chain(values))
    }

    /// `message` without any of them. Before it is cut: a part of a secret is one too.
    pub(super) fn hidden_in(&self, message: &str) -> String {
        let mut hidden = message.to_owned();
        for text in &self.texts {
            hidden = hidden.replace(text, "<redacted>");
        }
        hidden
    }
}

/// Never shows them.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} secrets>", self.texts.len())
    }
}

/// As it is, as it is quoted, and its lines one by one.
fn forms(value: &str) -> Vec<String> {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    let mut forms = vec![value.to_owned(), quoted.trim_matches('"').to_owned()];
    forms.extend(value.lines().map(|line| line.trim().to_owned()));
    forms
}
