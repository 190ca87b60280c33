//! Our API server answers as a real kube-apiserver does: the same requests are sent to both, in the same order,
//! and their answers compared, down to messages and headers. Where they are known to differ, the row says why,
//! and a row that says so wrongly fails as well.
//!
//! No controller runs on either, so nothing but the requests changes anything.

mod answer;
mod kubectl;
mod requests;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::BodyExt;
use hyper::{Request, header};
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use longshore_standalone::apiserver::{self, ApiServer, Backing, tls};
use longshore_tests::harness::{self, Kubectl, repository};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::{CancellationToken, DropGuard};

use answer::Memory;
use requests::{Row, Verdict};

const PATIENCE: Duration = Duration::from_secs(30);

/// One of the two servers.
struct Side {
    client: Client,
    kubeconfig: PathBuf,
    home: TempDir,
    memory: Memory,
}

impl Side {
    async fn new(kubeconfig: PathBuf) -> Result<Self> {
        let read = Kubeconfig::read_from(&kubeconfig).context("reading the kubeconfig")?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        Ok(Self {
            client: Client::try_from(config)?,
            kubeconfig,
            home: tempfile::tempdir()?,
            memory: Memory::default(),
        })
    }

    /// The answer to a request, without what differs by nature.
    async fn answer(&mut self, row: &Row) -> Result<String> {
        let body = self.memory.fill(&row.body);
        let mut request = Request::builder()
            .method(row.method)
            .uri(self.memory.fill(&row.path));
        if let Some(content) = row.content {
            request = request.header(header::CONTENT_TYPE, content);
        }
        request = request.header(header::ACCEPT, row.accept);
        let request = request.body(Body::from(body.into_bytes()))?;
        let exchange = async {
            let (head, body) = self.client.send(request).await?.into_parts();
            let body = body.collect().await.context("reading the answer")?.to_bytes();
            Ok::<_, anyhow::Error>((head, String::from_utf8_lossy(&body).into_owned()))
        };
        let (head, body) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .with_context(|| format!("{}: no end of the answer", row.name))??;
        if row.code_only {
            return Ok(head.status.as_u16().to_string());
        }
        let headers = [header::CONTENT_TYPE, header::WARNING].map(|name| {
            let values = head.headers.get_all(&name).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap_or_default()).collect();
            format!("{name}: {}", values.join(" | "))
        });
        let body = self.memory.plain(&body);
        Ok(format!(
            "{}\n{}\n{body}",
            head.status.as_u16(),
            headers.join("\n")
        ))
    }

    /// What kubectl says and how it ends.
    async fn kubectl(&mut self, program: &Path, arguments: &str, input: &str) -> Result<String> {
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("starting kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl's standard input")?;
        stdin.write_all(self.memory.fill(input).as_bytes()).await.ok(); // one that reads nothing may be gone
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .with_context(|| format!("kubectl {arguments} does not end"))??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        self.memory.said.clone_from(&said);
        Ok(format!(
            "{}\n{}{}",
            output.status,
            answer::words(&said),
            answer::words(&errors)
        ))
    }
}

/// Our own API server, as `longshore up` serves it.
struct Ours {
    directory: TempDir,
    _serving: DropGuard,
}

impl Ours {
    async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let pki = tls::ensure(&directory.path().join("pki"), &[], &[], jiff::Timestamp::now())?;
        let config = apiserver::Config {
            token: Some(pki.token().clone()),
            ..apiserver::Config::new(
                longshore_crds::all(),
                Backing::File(directory.path().join("store.redb")),
            )
        };
        let server = ApiServer::open(config).await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        pki.write_kubeconfig(&directory.path().join("kubeconfig"), &url)?;
        let cancel = CancellationToken::new();
        let stopped = cancel.clone();
        tokio::spawn(async move { server.serve(listener, pki.server_config(), stopped).await });
        Ok(Self {
            directory,
            _serving: cancel.drop_guard(),
        })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }
}

/// Both servers with our kinds, and what keeps them running; `None` without a real one.
async fn both() -> Result<Option<(Side, Side, (Ours, harness::ApiServer))>> {
    let Some(real) = harness::ApiServer::start().await? else {
        return Ok(None);
    };
    let crds = repository().join("crds/yaml").display().to_string();
    real.kubectl(&["apply", "-f", &crds]).await?;
    real.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ])
    .await?;
    // Established is not yet served: discovery follows.
    let served = async || {
        real.kubectl(&["get", "workloads,devices"])
            .await
            .map_err(|error| format!("{error:#}"))
    };
    harness::process::wait_until("the kinds are served", PATIENCE, served).await?;
    let ours = Ours::start().await?;
    let sides = (
        Side::new(ours.kubeconfig()).await?,
        Side::new(real.kubeconfig()).await?,
    );
    Ok(Some((sides.0, sides.1, (ours, real))))
}

/// Judges one row; its words when it is not as the row says.
fn judge(name: &str, verdict: &Verdict, ours: &str, real: &str) -> Option<String> {
    match verdict {
        Verdict::Same if ours != real => Some(format!("{name}\n{}", answer::difference(ours, real))),
        Verdict::Words(_) if answer::without_words(ours) != answer::without_words(real) => {
            Some(format!("{name}\n{}", answer::difference(ours, real)))
        }
        Verdict::Words(why) | Verdict::Differs(why) if ours == real => Some(format!(
            "{name}\n  does not differ any more, so strike out: {why}"
        )),
        _ => None,
    }
}

fn as_the_rows_say(wrong: &[String]) -> Result<()> {
    ensure!(
        wrong.is_empty(),
        "{} rows:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_as_a_real_kube_apiserver_answers_them() -> Result<()> {
    let Some((mut ours, mut real, _running)) = both().await? else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    for row in requests::rows() {
        let (mine, theirs) = (ours.answer(&row).await?, real.answer(&row).await?);
        wrong.extend(judge(&row.name, &row.verdict, &mine, &theirs));
    }
    as_the_rows_say(&wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_says_the_same_of_both_servers() -> Result<()> {
    let Some((mut ours, mut real, _running)) = both().await? else {
        return Ok(());
    };
    let Some(program) = Kubectl::Newest.program().await? else {
        bail!("a kube-apiserver was built and no kubectl")
    };
    let mut wrong = Vec::new();
    for row in kubectl::rows() {
        let mine = ours.kubectl(&program, row.arguments, row.input).await?;
        let theirs = real.kubectl(&program, row.arguments, row.input).await?;
        wrong.extend(judge(row.arguments, &row.verdict, &mine, &theirs));
    }
    as_the_rows_say(&wrong)
}
