//! Pulls, from a registry that asks for a password.

use anyhow::{Context as _, Result, ensure};
use longshore_agent::runtime::{PullProgress, PullProgressSender, RegistryAuth, RuntimeErrorKind};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::lab::{Case, SOON};

async fn refusal(
    case: &Case<'_>,
    reference: &str,
    auth: Option<&RegistryAuth>,
) -> Result<longshore_agent::runtime::RuntimeError> {
    let pulled = case
        .runtime()
        .pull(reference, auth, PullProgressSender::default())
        .await;
    pulled.err().with_context(|| format!("{reference} was pulled"))
}

pub(super) async fn each_refusal_of_a_pull_has_its_kind(case: Case<'_>) -> Result<()> {
    let Some(pulls) = case.lab.pulls() else {
        return Ok(());
    };
    let auth = Some(&pulls.auth);
    let error = refusal(&case, &pulls.no_such_tag, auth).await?;
    ensure!(error.kind == RuntimeErrorKind::ImageTagNotFound, "{error:?}");
    let error = refusal(&case, &pulls.no_such_repository, auth).await?;
    // A registry answers "manifest unknown" for both (docker-registry 2.8): then the engine cannot tell.
    let kinds = [
        RuntimeErrorKind::ImageNotFound,
        RuntimeErrorKind::ImageTagNotFound,
    ];
    ensure!(kinds.contains(&error.kind), "{error:?}");
    ensure!(
        case.lab.is_real() || error.kind == RuntimeErrorKind::ImageNotFound,
        "{error:?}"
    );
    let error = refusal(&case, &pulls.unreachable, None).await?;
    ensure!(error.kind == RuntimeErrorKind::RegistryUnavailable, "{error:?}");
    let wrong = RegistryAuth {
        password: "s3cret-but-wrong".to_owned(),
        ..pulls.auth.clone()
    };
    for auth in [None, Some(&wrong)] {
        let error = refusal(&case, &pulls.good, auth).await?;
        ensure!(
            error.kind == RuntimeErrorKind::RegistryAuthenticationFailed,
            "{error:?}"
        );
        ensure!(!error.message.contains("s3cret"), "{error:?}");
    }
    Ok(())
}

pub(super) async fn a_pull_shows_its_progress_and_brings_the_image(case: Case<'_>) -> Result<()> {
    let Some(pulls) = case.lab.pulls() else {
        return Ok(());
    };
    let runtime = case.runtime();
    ensure!(runtime.image(&pulls.good).await?.is_none());
    let (sender, receiver) = tokio::sync::watch::channel(PullProgress::default());
    let pulled = runtime.pull(&pulls.good, Some(&pulls.auth), sender).await?;
    let PullProgress {
        done_bytes,
        total_bytes,
    } = receiver.borrow().clone();
    ensure!(
        done_bytes == total_bytes && done_bytes > 0,
        "{done_bytes} of {total_bytes}"
    );
    ensure!(runtime.image(&pulls.good).await? == Some(pulled.clone()));
    let again = runtime
        .pull(&pulls.good, Some(&pulls.auth), PullProgressSender::default())
        .await?;
    ensure!(again == pulled);
    runtime.remove_image(&pulls.good).await?;
    ensure!(runtime.image(&pulls.good).await?.is_none());
    Ok(())
}

pub(super) async fn a_dropped_pull_is_given_up_by_the_engine(case: Case<'_>) -> Result<()> {
    if !case.lab.is_real() {
        return Ok(());
    }
    // A registry that accepts and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let reference = format!("{}/silent:1", listener.local_addr()?);
    let pull = case
        .runtime()
        .pull(&reference, None, PullProgressSender::default());
    let mut pull = Box::pin(pull);
    let (mut connection, _) = tokio::select! {
        ended = &mut pull => anyhow::bail!("ended before it was dropped: {ended:?}"),
        accepted = listener.accept() => accepted?,
    };
    drop(pull);
    let mut request = Vec::new();
    let closed = tokio::time::timeout(SOON, connection.read_to_end(&mut request)).await;
    closed
        .context("the engine goes on with a pull nobody waits for")?
        .ok();
    Ok(())
}
