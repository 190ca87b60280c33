//! The real kubectl.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{apiserver, find_program, skip};

/// One of the versions that Longshore is tested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kubectl {
    /// That of the real kube-apiserver; without Go to build it, the one on PATH.
    #[default]
    Newest,
    /// The oldest that is tested, `tests/kube-tools/kubectl-old`.
    Oldest,
}

impl Kubectl {
    /// Whether this machine has it; where not, that is said, and the test is to return.
    pub async fn is_here(self) -> Result<bool> {
        if self.program().await?.is_some() {
            return Ok(true);
        }
        let skipped: Option<()> = match self {
            Self::Newest => skip("there is no kubectl on PATH, and no Go to build one")?,
            Self::Oldest => skip("there is no Go to build an old kubectl")?,
        };
        Ok(skipped.is_some())
    }

    /// Its path, for a test that asked [`Kubectl::is_here`].
    pub(super) async fn path(self) -> Result<PathBuf> {
        self.program()
            .await?
            .with_context(|| format!("there is no {self:?} kubectl, and the test has not asked first"))
    }

    /// Its path, or `None`.
    pub async fn program(self) -> Result<Option<PathBuf>> {
        let tools = apiserver::tools().await?;
        Ok(match (self, tools) {
            (Self::Newest, Some(tools)) => Some(tools.join("kubectl")),
            (Self::Newest, None) => find_program("kubectl"),
            (Self::Oldest, tools) => tools.map(|tools| tools.join("kubectl-old")),
        })
    }
}
