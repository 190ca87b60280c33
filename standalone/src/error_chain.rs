//! An error and its causes in one line, for the one place where a person reads it.

/// The causes from the outermost to the first that is the API server's own answer: its message says all
/// there is, and kube's way of printing it says it three times.
pub fn error_chain(error: &anyhow::Error) -> String {
    let mut words = Vec::new();
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            words.push(status.message.clone());
            break;
        }
        let text = cause.to_string();
        // Some libraries print their cause themselves.
        if !words.last().is_some_and(|outer: &String| outer.ends_with(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use kube::core::Status;

    use super::*;

    #[test]
    fn an_answer_of_the_api_server_is_told_once_and_without_its_structure() {
        let answer = kube::Error::Api(Box::new(Status::failure("spec.a: Invalid value: no", "Invalid")));
        let error = anyhow::Error::new(answer).context("apply workload/hello");
        assert_eq!(
            error_chain(&error),
            "apply workload/hello: spec.a: Invalid value: no"
        );
        let error = anyhow!("inner").context("outer");
        assert_eq!(error_chain(&error), "outer: inner");
        let error = anyhow!("inner").context("outer: inner");
        assert_eq!(error_chain(&error), "outer: inner");
    }
}
