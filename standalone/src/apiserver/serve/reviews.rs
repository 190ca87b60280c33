//! Questions about identity and rights. There is one identity here, the administrator, who may do
//! everything; the answers are those a cluster would give about a `system:masters` user.

use serde_json::{Value, json};

use super::Reply;
use super::route::ObjectPath;
use crate::apiserver::Core;
use crate::apiserver::failure::ApiError;

/// The administrator's name.
const ADMIN: &str = "longshore-admin";
/// The group that may do everything.
const MASTERS: &str = "system:masters";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Review {
    SelfSubject,
    Token,
    SelfSubjectAccess,
    SelfSubjectRules,
    SubjectAccess,
}

/// A resource that only takes POST and stores nothing.
pub(super) struct ReviewKind {
    pub(super) group: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    review: Review,
}

const fn kind(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    review: Review,
) -> ReviewKind {
    ReviewKind {
        group,
        plural,
        kind,
        namespaced,
        review,
    }
}

const AUTHN: &str = "authentication.k8s.io";
const AUTHZ: &str = "authorization.k8s.io";

/// All of them, at version `v1`.
pub(super) const KINDS: [ReviewKind; 6] = [
    kind(
        AUTHN,
        "selfsubjectreviews",
        "SelfSubjectReview",
        false,
        Review::SelfSubject,
    ),
    kind(AUTHN, "tokenreviews", "TokenReview", false, Review::Token),
    kind(
        AUTHZ,
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        true,
        Review::SubjectAccess,
    ),
    kind(
        AUTHZ,
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
        Review::SelfSubjectAccess,
    ),
    kind(
        AUTHZ,
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        false,
        Review::SelfSubjectRules,
    ),
    kind(
        AUTHZ,
        "subjectaccessreviews",
        "SubjectAccessReview",
        false,
        Review::SubjectAccess,
    ),
];

pub(super) fn find(path: &ObjectPath) -> Option<&'static ReviewKind> {
    let fits = |k: &&ReviewKind| {
        k.group == path.group
            && path.version == "v1"
            && k.plural == path.plural
            && k.namespaced != path.namespace.is_empty()
    };
    KINDS.iter().find(fits).filter(|_| path.name.is_empty())
}

pub(super) fn answer(core: &Core, kind: &ReviewKind, sent: Value) -> Result<Reply, ApiError> {
    let mut review = sent;
    if !review.is_object() {
        return Err(ApiError::bad_request("the body of the request is not an object"));
    }
    let admin = json!({"username": ADMIN, "uid": ADMIN, "groups": [MASTERS, "system:authenticated"]});
    let status = match kind.review {
        Review::SelfSubject => json!({"userInfo": admin}),
        Review::Token => {
            let token = review["spec"]["token"].as_str().unwrap_or_default();
            if core.token.as_ref().is_some_and(|known| known.matches(token)) {
                json!({"authenticated": true, "user": admin})
            } else {
                json!({"authenticated": false})
            }
        }
        Review::SelfSubjectAccess => {
            json!({"allowed": true, "reason": "the administrator may do everything"})
        }
        Review::SubjectAccess => {
            let groups = review["spec"]["groups"].as_array();
            let master = groups.into_iter().flatten().any(|group| group == MASTERS);
            if master || review["spec"]["user"] == ADMIN {
                json!({"allowed": true, "reason": "the administrator may do everything"})
            } else {
                json!({"allowed": false, "reason": "only the administrator has rights on this server"})
            }
        }
        Review::SelfSubjectRules => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }),
    };
    review["status"] = status;
    review["kind"] = kind.kind.into();
    review["apiVersion"] = format!("{}/v1", kind.group).into();
    if let Some(spec) = review["spec"].as_object_mut() {
        // The token was sent to be checked, not to be shown.
        spec.remove("token");
    }
    Ok(Reply::value(&review).with_status(http::StatusCode::CREATED))
}
