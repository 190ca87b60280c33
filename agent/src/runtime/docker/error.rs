//! What an engine's refusal means. Status codes differ between versions and engines (podman answers 500
//! where Docker says 409; a registry's 401 arrives as 500 or 401), so the words decide as well.
//!
//! Words measured on Docker 20.10, 26 and 28 and podman 4.3; see NOTES and the tests below.

use std::error::Error as _;

use bollard::errors::Error;

use super::secrets::Secrets;
use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// No message is longer.
const LONGEST_MESSAGE: usize = 1024;

/// The engine's error in our terms, without `secrets`.
pub(super) fn refusal(operation: &str, error: &Error, secrets: &Secrets) -> RuntimeError {
    let (kind, message) = match error {
        Error::DockerResponseServerError { status_code, message } => {
            (classify(Some(*status_code), message), message.clone())
        }
        Error::DockerStreamError { error } => (classify(None, error), error.clone()),
        Error::SocketNotFoundError(path) => (
            RuntimeErrorKind::Unavailable,
            format!("the engine's socket {path} does not exist"),
        ),
        Error::RequestTimeoutError => (RuntimeErrorKind::Timeout, "no answer in time".to_owned()),
        Error::IOError { .. } | Error::HyperResponseError { .. } | Error::HyperLegacyError { .. } => {
            (RuntimeErrorKind::Unavailable, chain(error))
        }
        other => (RuntimeErrorKind::Other, chain(other)),
    };
    RuntimeError {
        operation: operation.to_owned(),
        kind,
        message: tidy(&secrets.hidden_in(&message)),
    }
}

/// The engine did not answer in time.
pub(super) fn timed_out(operation: &str) -> RuntimeError {
    RuntimeError {
        operation: operation.to_owned(),
        kind: RuntimeErrorKind::Timeout,
        message: "no answer in time".to_owned(),
    }
}

/// The engine's words of a kind that is known already.
pub(super) fn told(operation: &str, kind: RuntimeErrorKind, words: &str, secrets: &Secrets) -> RuntimeError {
    own(operation, kind, tidy(&secrets.hidden_in(words)))
}

/// An error of our own.
pub(super) fn own(operation: &str, kind: RuntimeErrorKind, message: impl Into<String>) -> RuntimeError {
    RuntimeError {
        operation: operation.to_owned(),
        kind,
        message: message.into(),
    }
}

/// The same for a pull, where "not found" and "denied" are the registry's words.
pub(super) fn pull_refusal(operation: &str, error: &Error, secrets: &Secrets) -> RuntimeError {
    let mut refused = refusal(operation, error, secrets);
    let (status, message) = match error {
        Error::DockerResponseServerError { status_code, message } => (Some(*status_code), message),
        Error::DockerStreamError { error } => (None, error),
        _ => return refused,
    };
    refused.kind = classify_pull(status, message);
    refused
}

pub(super) fn classify_pull(status: Option<u16>, message: &str) -> RuntimeErrorKind {
    let has = words_of(message);
    if has(&["no space left on device", "disk quota exceeded"]) {
        RuntimeErrorKind::DiskFull
    } else if has(&[
        "no basic auth credentials",
        "unauthorized",
        "authentication required",
        "401 ",
    ]) || status == Some(401)
    {
        RuntimeErrorKind::RegistryAuthenticationFailed
    } else if has(&[
        "pull access denied",
        "repository does not exist",
        "name unknown",
        "repository name not known",
        "requested access to the resource is denied",
    ]) {
        RuntimeErrorKind::ImageNotFound
    } else if has(&[
        "manifest unknown",
        "manifest for",
        "tag does not exist",
        "no matching manifest",
    ]) {
        RuntimeErrorKind::ImageTagNotFound
    } else if has(&["denied", "403 forbidden"]) {
        RuntimeErrorKind::RegistryAuthenticationFailed
    } else if has(&[
        "dial tcp",
        "dial unix",
        "connection refused",
        "connection reset",
        "no such host",
        "i/o timeout",
        "handshake timeout",
        "request canceled",
        "deadline exceeded",
        "http response to https client",
        "x509",
        "unexpected http status",
        "received unexpected",
        "error parsing http",
        "unexpected eof",
        ": eof",
        "network is unreachable",
        "no route to host",
        "toomanyrequests",
        "too many requests",
        "bad gateway",
        "service unavailable",
    ]) {
        RuntimeErrorKind::RegistryUnavailable
    } else {
        classify(status, message)
    }
}

pub(super) fn classify(status: Option<u16>, message: &str) -> RuntimeErrorKind {
    let has = words_of(message);
    if has(&["no space left on device", "disk quota exceeded"]) {
        RuntimeErrorKind::DiskFull
    } else if has(&["port is already allocated", "address already in use"]) {
        RuntimeErrorKind::PortConflict
    } else if has(&[
        "is already in use by",
        "name is already in use",
        "already exists",
        "is in use: container",
    ]) {
        RuntimeErrorKind::NameConflict
    } else if has(&["is too new. maximum supported", "is too old. minimum supported"]) {
        // The engine was replaced since the version was agreed on; nothing was done.
        RuntimeErrorKind::Unavailable
    } else if has(&["page not found", "not implemented", "not supported"]) {
        RuntimeErrorKind::Unsupported
    } else if has(&[
        "active endpoints",
        "volume is in use",
        "pool overlaps",
        "non-overlapping",
        "is not running",
        "is paused",
        "is not paused",
        "is restarting",
        "already in progress",
    ]) {
        RuntimeErrorKind::Conflict
    } else if has(&[
        "oci runtime",
        "exec format error",
        "executable file not found",
        "error looking up",
    ]) {
        RuntimeErrorKind::Invalid
    } else {
        match status {
            Some(400 | 422) => RuntimeErrorKind::Invalid,
            Some(404) => RuntimeErrorKind::NotFound,
            Some(403 | 409) => RuntimeErrorKind::Conflict,
            Some(501) => RuntimeErrorKind::Unsupported,
            Some(503) => RuntimeErrorKind::Unavailable,
            Some(408 | 504) => RuntimeErrorKind::Timeout,
            _ => RuntimeErrorKind::Other,
        }
    }
}

fn words_of(message: &str) -> impl Fn(&[&str]) -> bool + use<> {
    let message = message.to_lowercase();
    move |words| words.iter().any(|word| message.contains(word))
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// One line, bounded, that no terminal obeys.
fn tidy(message: &str) -> String {
    let words = message.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if line.len() > LONGEST_MESSAGE {
        line.truncate(line.floor_char_boundary(LONGEST_MESSAGE));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use RuntimeErrorKind as Kind;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        assert_eq!(tidy(" a\n\tb\u{1b}[2J\u{7} c\u{9b}1m "), "a b [2J c 1m");
    }

    #[test]
    fn pulls_fail_for_the_reason_the_words_give() {
        for (status, message, kind) in [
            (
                Some(404),
                "pull access denied for hello, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Kind::ImageNotFound,
            ),
            (
                Some(404),
                "manifest for r:5000/a:9 not found: manifest unknown: manifest unknown",
                Kind::ImageTagNotFound,
            ),
            (
                Some(404),
                "name unknown: repository name not known to registry",
                Kind::ImageNotFound,
            ),
            (
                Some(500),
                "Head \"http://127.0.0.1:5000/v2/a/manifests/1\": no basic auth credentials",
                Kind::RegistryAuthenticationFailed,
            ),
            (
                Some(500),
                "Head \"http://127.0.0.1:5000/v2/a/manifests/1\": unauthorized: authentication required",
                Kind::RegistryAuthenticationFailed,
            ),
            (Some(401), "unauthorized", Kind::RegistryAuthenticationFailed),
            (
                Some(500),
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                Kind::RegistryUnavailable,
            ),
            (
                Some(500),
                "Get \"https://r.example/v2/\": dial tcp: lookup r.example on 1.1.1.1:53: no such host",
                Kind::RegistryUnavailable,
            ),
            (
                Some(500),
                "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
                Kind::RegistryUnavailable,
            ),
            (
                Some(500),
                "Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client",
                Kind::RegistryUnavailable,
            ),
            (
                None,
                "write /var/lib/docker/tmp/x: no space left on device",
                Kind::DiskFull,
            ),
            (
                None,
                "no matching manifest for linux/arm64 in the manifest list entries",
                Kind::ImageTagNotFound,
            ),
            (Some(400), "invalid reference format", Kind::Invalid),
        ] {
            assert_eq!(classify_pull(status, message), kind, "{message}");
        }
    }

    #[test]
    fn containers_are_refused_for_the_reason_the_words_give() {
        for (status, message, kind) in [
            (
                Some(409),
                "Conflict. The container name \"/a\" is already in use by container \"b\". You have to remove (or rename) that container to be able to reuse that name.",
                Kind::NameConflict,
            ),
            (
                Some(500),
                "creating container storage: the container name \"a\" is already in use by 1234. that name is already in use",
                Kind::NameConflict,
            ),
            (
                Some(500),
                "driver failed programming external connectivity on endpoint a (b): Bind for 0.0.0.0:80 failed: port is already allocated",
                Kind::PortConflict,
            ),
            (
                Some(500),
                "driver failed programming external connectivity: Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use",
                Kind::PortConflict,
            ),
            (Some(404), "No such container: a", Kind::NotFound),
            (
                Some(400),
                "invalid mount config for type \"bind\": bind source path does not exist: /x",
                Kind::Invalid,
            ),
            (
                Some(400),
                "failed to create shim: OCI runtime create failed: exec: \"/x\": no such file or directory: unknown",
                Kind::Invalid,
            ),
            (
                Some(403),
                "error while removing network: network a id b has active endpoints",
                Kind::Conflict,
            ),
            (Some(409), "remove v: volume is in use - [abc]", Kind::Conflict),
            (Some(409), "Container a is not running", Kind::Conflict),
            (Some(404), "page not found", Kind::Unsupported),
            (
                Some(500),
                "mkdir /var/lib/docker/x: no space left on device",
                Kind::DiskFull,
            ),
            (
                Some(400),
                "client version 1.45 is too new. Maximum supported API version is 1.41",
                Kind::Unavailable,
            ),
            (
                Some(404),
                "create v: error looking up volume plugin nope: plugin \"nope\" not found",
                Kind::Invalid,
            ),
            (Some(500), "something new", Kind::Other),
        ] {
            assert_eq!(classify(status, message), kind, "{message}");
        }
    }

    #[test]
    fn messages_are_one_bounded_line() {
        let error = Error::DockerResponseServerError {
            status_code: 400,
            message: format!("invalid\n mount:  {}", "é".repeat(2000)),
        };
        let error = refusal("create a", &error, &Secrets::none());
        assert!(error.message.starts_with("invalid mount: éé"));
        assert!(error.message.ends_with('…'));
        assert!(error.message.len() < LONGEST_MESSAGE + 5);
    }

    #[test]
    fn no_message_holds_a_secret_or_a_part_of_one_however_it_is_written_or_cut() {
        let key = "-----BEGIN KEY-----\nMIIEvQ IBADAN\n\thunter22\n-----END KEY-----";
        let env = [
            "TOKEN=hunter22".to_owned(),
            "LONGER=hunter22hunter33".to_owned(),
            "PATH=a b".to_owned(),
            format!("KEY={key}"),
            "SHORT=abc".to_owned(),
        ];
        let secrets = Secrets::of_environment(&env);
        let quoted = serde_json::to_string(key).unwrap();
        // It begins before the cut and ends after it.
        let before = "x".repeat(LONGEST_MESSAGE - 6);
        for (message, expected) in [
            (
                "invalid =hunter22 PATH=a b".to_owned(),
                "invalid =<redacted> <redacted>",
            ),
            ("hunter22hunter33".to_owned(), "<redacted>"),
            (format!("bad {key}!"), "bad <redacted>!"),
            (format!("bad {quoted}!"), "bad \"<redacted>\"!"),
            ("line 2: MIIEvQ IBADAN".to_owned(), "line 2: <redacted>"),
            (format!("{before} hunter22"), "x"),
            ("abc is no secret".to_owned(), "abc is no secret"),
        ] {
            let engine = Error::DockerResponseServerError {
                status_code: 400,
                message,
            };
            let told = refusal("create a", &engine, &secrets).message;
            assert!(told.starts_with(expected), "{told}");
            for part in ["hunter", "MIIEvQ", "BEGIN"] {
                assert!(!told.contains(&part[..4]), "{told}");
            }
            let told = pull_refusal("pull a", &engine, &Secrets::of_values([env[0].as_str()])).message;
            assert!(!told.contains("TOKEN=hunt"), "{told}");
        }
    }
}
