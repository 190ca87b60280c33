//! What a path asks for.

/// A parsed request path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`
    Resources {
        group: String,
        version: String,
    },
    /// A resource, an object of it, or a subresource of an object.
    Object(ObjectPath),
    Version,
    Health,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/{path}`
    OpenApi(String),
    Unknown,
}

/// Where in the tree of resources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ObjectPath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

pub(super) fn route(path: &str) -> Route {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if parts.iter().any(|part| part.is_empty() || part.contains('%')) {
        return Route::Unknown;
    }
    match parts.as_slice() {
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["version"] => Route::Version,
        ["healthz" | "livez" | "readyz", ..] => Route::Health,
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiIndex,
        ["openapi", "v3", rest @ ..] => Route::OpenApi(rest.join("/")),
        ["apis", group] => Route::Group((*group).to_owned()),
        ["api", version] => Route::Resources {
            group: String::new(),
            version: (*version).to_owned(),
        },
        ["apis", group, version] => Route::Resources {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
        },
        ["api", version, ..] => {
            let version = (*version).to_owned();
            object(String::new(), version, &parts.split_off(2))
        }
        ["apis", group, version, ..] => {
            let (group, version) = ((*group).to_owned(), (*version).to_owned());
            object(group, version, &parts.split_off(3))
        }
        _ => Route::Unknown,
    }
}

fn object(group: String, version: String, rest: &[&str]) -> Route {
    // `namespaces/{name}` and its subresources are the Namespace itself; longer paths lie inside it.
    let (namespace, rest) = match rest {
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (*namespace, inner),
        other => ("", other),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return Route::Unknown,
    };
    Route::Object(ObjectPath {
        group,
        version,
        namespace: namespace.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(
        group: &str,
        version: &str,
        namespace: &str,
        plural: &str,
        name: &str,
        subresource: &str,
    ) -> Route {
        let [group, version, namespace, plural, name, subresource] =
            [group, version, namespace, plural, name, subresource].map(str::to_owned);
        Route::Object(ObjectPath {
            group,
            version,
            namespace,
            plural,
            name,
            subresource,
        })
    }

    #[test]
    fn paths_are_read_as_kubernetes_lays_them_out() {
        let ls = ("longshore.dev", "v1alpha1");
        let table = [
            ("/api/v1/namespaces", path("", "v1", "", "namespaces", "", "")),
            ("/api/v1/namespaces/a", path("", "v1", "", "namespaces", "a", "")),
            (
                "/api/v1/namespaces/a/status",
                path("", "v1", "", "namespaces", "a", "status"),
            ),
            (
                "/api/v1/namespaces/a/secrets",
                path("", "v1", "a", "secrets", "", ""),
            ),
            ("/api/v1/secrets", path("", "v1", "", "secrets", "", "")),
            (
                "/apis/longshore.dev/v1alpha1/namespaces/a/workloads/w/status",
                path(ls.0, ls.1, "a", "workloads", "w", "status"),
            ),
            ("/apis", Route::Groups),
            ("/apis/", Route::Groups),
            ("/apis/apps", Route::Group("apps".into())),
            ("/livez/ping", Route::Health),
            ("/openapi/v3/apis/apps/v1", Route::OpenApi("apis/apps/v1".into())),
            ("/openapi/v2", Route::OpenApiV2),
            ("/", Route::Unknown),
            ("/api/v1/namespaces/a/secrets/s/x/y", Route::Unknown),
            ("/api/v1//secrets", Route::Unknown),
        ];
        for (text, expected) in table {
            assert_eq!(route(text), expected, "{text}");
        }
    }
}
