//! The query string of a request, read once and checked.

use std::time::Duration;

use http::Uri;

use super::failure::{ApiError, Cause};

/// The parameter that says how a resourceVersion is meant.
pub(crate) const MATCH: &str = "resourceVersionMatch";

/// The longest a client may have a watch last. A moment much further away has no `Instant`.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

/// What to do with fields the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Strict,
    Warn,
    Ignore,
}

/// How a list's resourceVersion is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    NotOlderThan,
    Exact,
}

/// All query parameters this server knows. Unknown ones are ignored, as Kubernetes does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| ApiError::bad_request("the query string cannot be read"))?;
        Ok(Self { pairs: pairs.0 })
    }

    /// The parameter's value; empty when absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => {
                let invalid = || format!("{name}: Invalid value: {text:?}: it is not an unsigned number");
                text.parse()
                    .map(Some)
                    .map_err(|_| ApiError::bad_request(invalid()))
            }
        }
    }

    /// `None` when not given; `Some(0)` means "any".
    pub(crate) fn resource_version(&self) -> Result<Option<u64>, ApiError> {
        self.number("resourceVersion")
    }

    pub(crate) fn version_match(&self) -> Result<Option<Match>, ApiError> {
        match self.get(MATCH) {
            "" => Ok(None),
            "NotOlderThan" => Ok(Some(Match::NotOlderThan)),
            "Exact" => Ok(Some(Match::Exact)),
            other => {
                let cause = Cause::unsupported(MATCH, &format!("{other:?}"), &["Exact", "NotOlderThan", ""]);
                Err(ApiError::invalid_options("ListOptions", &[cause]))
            }
        }
    }

    pub(crate) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let limit = self.number("limit")?.filter(|&n| n > 0);
        Ok(limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    }

    /// How long a watch is to last; more than [`LONGEST_TIMEOUT`] is not given.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        Ok(self
            .number("timeoutSeconds")?
            .filter(|&s| s > 0)
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_TIMEOUT)))
    }

    /// `dryRun=All` is the only value there is. `options` names the verb's options.
    pub(crate) fn dry_run(&self, options: &str) -> Result<bool, ApiError> {
        dry_run(
            options,
            self.pairs
                .iter()
                .filter(|(key, _)| key == "dryRun")
                .map(|(_, value)| value.as_str()),
        )
    }

    pub(crate) fn field_validation(&self, options: &str) -> Result<FieldValidation, ApiError> {
        match self.get("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Strict" => Ok(FieldValidation::Strict),
            "Ignore" => Ok(FieldValidation::Ignore),
            other => {
                let known = ["", "Ignore", "Strict", "Warn"];
                let cause = Cause::unsupported("fieldValidation", &format!("{other:?}"), &known);
                Err(ApiError::invalid_options(options, &[cause]))
            }
        }
    }
}

/// Reads the values of `dryRun`, from the query or from DeleteOptions.
pub(crate) fn dry_run<'a>(options: &str, values: impl Iterator<Item = &'a str>) -> Result<bool, ApiError> {
    let mut dry = false;
    for value in values.filter(|v| !v.is_empty()) {
        if value != "All" {
            let cause = Cause::unsupported("dryRun", &format!("[{value:?}]"), &["All"]);
            return Err(ApiError::invalid_options(options, &[cause]));
        }
        dry = true;
    }
    Ok(dry)
}
