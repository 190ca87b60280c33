//! `pattern`: an unanchored regular expression.
//!
//! Kubernetes uses Go's RE2; this asks CEL's `matches`, which is Rust's `regex` crate. Both are linear-time and share
//! a syntax but for corners (Rust's `\d` and `\w` know Unicode). A pattern is checked when the schema is compiled.

use std::sync::Arc;

use kube::core::cel::cel::{Context, ExecutionError, Program, Value as CelValue};

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    source: Arc<String>,
}

thread_local! {
    static MATCHES: (Context<'static>, Program) =
        (Context::default(), Program::compile("text.matches(pattern)").expect("a constant expression parses"));
}

impl Pattern {
    /// Checks `source`; the error is the regex engine's.
    pub(super) fn new(source: &str) -> Result<Pattern, ExecutionError> {
        let pattern = Pattern {
            source: Arc::new(source.to_owned()),
        };
        pattern.evaluate("")?;
        Ok(pattern)
    }

    /// The expression as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether `text` has a match anywhere.
    pub(super) fn is_match(&self, text: &str) -> bool {
        // An error here would be an engine limit; failing closed keeps the value out.
        self.evaluate(text).unwrap_or(false)
    }

    fn evaluate(&self, text: &str) -> Result<bool, ExecutionError> {
        MATCHES.with(|(context, program)| {
            let mut scope = context.new_inner_scope();
            scope.add_variable_from_value("text", CelValue::String(Arc::new(text.to_owned())));
            scope.add_variable_from_value("pattern", CelValue::String(Arc::clone(&self.source)));
            program
                .execute(&scope)
                .map(|matched| matched == CelValue::Bool(true))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_are_unanchored_and_checked_at_once() {
        assert!(Pattern::new("b+").expect("valid").is_match("abbc"));
        assert!(!Pattern::new("^b+$").expect("valid").is_match("abbc"));
        assert!(Pattern::new("(foo").is_err());
        assert!(Pattern::new("(?!look)").is_err(), "look-around is not RE2");
    }
}
