//! Where in an object we are: a list on the stack that is only written out when there is something to say.

use std::fmt;

/// A path in an object. Written like `k8s.io/apimachinery`'s `field.Path`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    /// The whole object; written `<nil>`, as Kubernetes does.
    Root,
    /// A named field: `.name`.
    Field(&'a Path<'a>, &'a str),
    /// An item of a list: `[3]`.
    Index(&'a Path<'a>, usize),
    /// An entry of a map: `[key]`.
    Key(&'a Path<'a>, &'a str),
}

impl Path<'_> {
    /// Whether this is the whole object.
    pub(super) fn is_root(&self) -> bool {
        matches!(self, Path::Root)
    }

    /// The path as OpenAPI validators write it, where the whole object is the empty string.
    pub(super) fn or_empty(&self) -> String {
        if self.is_root() {
            String::new()
        } else {
            self.to_string()
        }
    }

    fn write_inner(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(parent, name) => {
                parent.write_inner(f)?;
                if !parent.is_root() {
                    f.write_str(".")?;
                }
                f.write_str(name)
            }
            Path::Index(parent, index) => {
                parent.write_inner(f)?;
                write!(f, "[{index}]")
            }
            Path::Key(parent, key) => {
                parent.write_inner(f)?;
                write!(f, "[{key}]")
            }
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            f.write_str("<nil>")
        } else {
            self.write_inner(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn paths_read_as_in_kubernetes() {
        let spec = Path::Field(&Path::Root, "spec");
        let list = Path::Field(&spec, "containers");
        let item = Path::Index(&list, 0);
        let key = Path::Key(&item, "a/b");
        assert_eq!(Path::Root.to_string(), "<nil>");
        assert_eq!(Path::Root.or_empty(), "");
        assert_eq!(key.to_string(), "spec.containers[0][a/b]");
        assert_eq!(Path::Field(&key, "x").to_string(), "spec.containers[0][a/b].x");
    }
}
