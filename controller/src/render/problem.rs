//! Why a Workload cannot be rendered. Most of these the schema refuses at apply; the renderer trusts
//! nothing and says so with the same words: a path and a reason, never a value that came from a Secret.

use longshore_crds::InvalidQuantity;
use longshore_crds::conditions::reason;
use longshore_plan::names::InvalidName;

use super::content::ContentKind;

/// One reason why a Workload cannot be rendered. `field` is its path from the object's root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderProblem {
    /// A ConfigMap or Secret does not exist, or has no such key. It heals when it appears.
    #[error("{field}: {kind} {name:?} {}", match key { Some(key) => format!("has no key {key:?}"), None => "does not exist".to_owned() })]
    MissingContent {
        /// Where it is referred to.
        field: String,
        /// What is missing.
        kind: ContentKind,
        /// Its name.
        name: String,
        /// The key that the existing object lacks.
        key: Option<String>,
    },
    /// A name is no DNS label.
    #[error("{field}: {invalid}")]
    Name {
        /// Where.
        field: String,
        /// Why.
        invalid: InvalidName,
    },
    /// A quantity has no value.
    #[error("{field}: {invalid}")]
    Quantity {
        /// Where.
        field: String,
        /// Why.
        invalid: InvalidQuantity,
    },
    /// A `$(NAME)` refers to a variable whose value is not the controller's to read.
    #[error("{field}: $({variable}) comes from a ConfigMap or Secret, and such values never enter a plan")]
    ContentInText {
        /// Where.
        field: String,
        /// The variable.
        variable: String,
    },
    /// Something refers to what the template does not declare.
    #[error("{field}: there is no {what} {name:?}")]
    Unknown {
        /// Where.
        field: String,
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Two things of the workload want the same name or port.
    #[error("{field}: {what} {name} is taken by another one of this workload")]
    Taken {
        /// Where.
        field: String,
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Containers wait for each other in a circle.
    #[error("{field}: {} wait for each other", containers.join(", "))]
    DependencyCycle {
        /// Where.
        field: String,
        /// The containers of the circle, and those that wait for it.
        containers: Vec<String>,
    },
    /// Anything else the schema lets nobody write.
    #[error("{field}: {reason}")]
    Invalid {
        /// Where.
        field: String,
        /// Why.
        reason: String,
    },
}

impl RenderProblem {
    /// The path of the field it is about.
    pub fn field(&self) -> &str {
        match self {
            Self::MissingContent { field, .. }
            | Self::Name { field, .. }
            | Self::Quantity { field, .. }
            | Self::ContentInText { field, .. }
            | Self::Unknown { field, .. }
            | Self::Taken { field, .. }
            | Self::DependencyCycle { field, .. }
            | Self::Invalid { field, .. } => field,
        }
    }

    /// The condition's reason: missing content heals by itself, the rest needs another spec.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::MissingContent { .. } => reason::CONTENT_MISSING,
            _ => reason::INVALID_SPEC,
        }
    }
}
