//! The real program, with the simulated engine: exit codes, what is printed, and what scripts lean on.
#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

fn longshore(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command.args(words);
    for variable in ["KUBECONFIG", "LONGSHORE_DIR", "LONGSHORE_LOG", "DOCKER_HOST"] {
        command.env_remove(variable);
    }
    command
}

fn run(words: &[&str]) -> (i32, String) {
    ended(&longshore(words).output().unwrap())
}

fn ended(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A site of its own, killed when the test ends.
struct Site {
    process: Child,
    dir: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Site {
    fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Self::spawn(dir.path(), more);
        let mut site = Self { process, dir };
        site.wait_until_ready();
        site
    }

    fn spawn(dir: &Path, more: &[&str]) -> Child {
        longshore(&["up", "--runtime", "sim", "--dir"])
            .arg(dir)
            .args(more)
            .stdout(fs::File::create(dir.join("out")).unwrap())
            .stderr(fs::File::create(dir.join("err")).unwrap())
            .spawn()
            .unwrap()
    }

    fn wait_until_ready(&mut self) {
        let start = Instant::now();
        while !self.dir.path().join("ready.json").exists() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < SOON,
                "{ended:?}: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, words: &[&str], expected: &str) {
        let start = Instant::now();
        loop {
            let (_, text) = self.run(words);
            if text.contains(expected) {
                return;
            }
            assert!(start.elapsed() < SOON, "{words:?}: {text}: {}", self.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("out") + &read("err")
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = longshore(words);
        command.env("KUBECONFIG", self.dir.path().join("kubeconfig"));
        command
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        ended(&self.command(words).output().unwrap())
    }

    /// Runs it, and wants this exit code and these words.
    fn says(&self, words: &[&str], code: i32, expected: &[&str]) -> String {
        let (got, text) = self.run(words);
        assert_eq!(got, code, "{words:?}: {text}");
        for expected in expected {
            assert!(text.contains(expected), "{words:?} lacks {expected:?}: {text}");
        }
        text
    }

    /// SIGTERM; the exit code, and how long it took. What says that the site is ready is away then.
    fn stop(mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        terminate(&self.process);
        let status = self.process.wait().unwrap();
        assert!(!self.dir.path().join("ready.json").exists());
        (status.code(), start.elapsed())
    }
}

fn terminate(process: &Child) {
    let pid = i32::try_from(process.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

fn workload(name: &str, image: &str) -> String {
    format!(
        "apiVersion: longshore.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  targets: [{{device: \
         dev1}}]\n  template:\n    containers:\n    - name: web\n      image: {image}\n  rollout: \
         {{progressDeadlineSeconds: 60}}\n"
    )
}

#[test]
fn version_help_and_a_wrong_command_line() {
    let (code, text) = run(&["--version"]);
    assert_eq!(code, 0);
    assert!(
        text.starts_with("longshore ") && text.contains(env!("CARGO_PKG_VERSION")),
        "{text}"
    );
    for command in ["apply", "get", "delete", "diff", "up"] {
        let (code, text) = run(&[command, "--help"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("Exit codes:"), "{command}: {text}");
    }
    let wrong: [&[&str]; 6] = [
        &["up", "--device", "Bad_Name"],
        &["up", "--bus-addr", "127.0.0.1:1"],
        &["up", "--runtime-endpoint", "ftp://x"],
        &["up", "--runtime", "none-such"],
        &["apply"],
        &["get"],
    ];
    for words in wrong {
        let (code, text) = run(words);
        assert_eq!(code, 2, "{words:?}: {text}");
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("afile");
    fs::write(&file, "").unwrap();
    let (code, text) = run(&["up", "--runtime", "sim", "--dir", &file.display().to_string()]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("--dir") && text.contains("afile"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn without_a_site_one_line_says_what_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none").display().to_string();
    let (code, text) = run(&["get", "wl", "--kubeconfig", &missing]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("longshore up") && text.matches("none").count() == 1,
        "{text}"
    );
    let site = Site::start(&[]);
    let kubeconfig = dir.path().join("kubeconfig");
    fs::copy(site.dir.path().join("kubeconfig"), &kubeconfig).unwrap();
    let ready: Value =
        serde_json::from_slice(&fs::read(site.dir.path().join("ready.json")).unwrap()).unwrap();
    let url = ready["api"].as_str().unwrap().to_owned();
    site.stop();
    let (code, text) = run(&["get", "wl", "--kubeconfig", &kubeconfig.display().to_string()]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains(&url) && text.contains("does `longshore up` run?"),
        "{text}"
    );
}

#[test]
fn one_site_on_a_directory_and_one_on_a_port_and_a_stop_in_order() {
    let site = Site::start(&["--log-format", "json"]);
    let ready = fs::read(site.dir.path().join("ready.json")).unwrap();
    let ready: Value = serde_json::from_slice(&ready).unwrap();
    let address = ready["api"]
        .as_str()
        .unwrap()
        .trim_start_matches("https://")
        .to_owned();
    // It serves once it says so.
    std::net::TcpStream::connect(&address).unwrap();
    let dir = site.dir.path().display().to_string();
    let (code, text) = run(&["up", "--runtime", "sim", "--dir", &dir]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains(&format!("pid {}", site.process.id())), "{text}");
    let other = tempfile::tempdir().unwrap();
    let other = other.path().display().to_string();
    let (code, text) = run(&["up", "--runtime", "sim", "--dir", &other, "--api-addr", &address]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("--api-addr") && text.contains("in use"), "{text}");
    let errors = site.dir.path().join("err");
    let mut log = String::new();
    let mut open = fs::File::open(errors).unwrap();
    let (code, took) = site.stop();
    open.read_to_string(&mut log).unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(2), "{took:?}: {log}");
    assert!(!log.contains("stopped before"), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
}

#[test]
fn sigterm_at_any_moment_of_the_start_is_a_stop_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for millis in [60, 120, 250, 500] {
        let mut process = Site::spawn(dir.path(), &[]);
        std::thread::sleep(Duration::from_millis(millis));
        let start = Instant::now();
        terminate(&process);
        let status = process.wait().unwrap();
        let log = fs::read_to_string(dir.path().join("err")).unwrap();
        assert_eq!(status.code(), Some(0), "after {millis} ms: {status}: {log}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "after {millis} ms: {log}"
        );
        assert!(!dir.path().join("ready.json").exists());
    }
}

#[test]
fn a_log_filter_that_is_none_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none").display().to_string();
    let mut command = longshore(&["get", "wl", "--kubeconfig", &missing]);
    let (_, text) = ended(&command.env("LONGSHORE_LOG", "a=b=c").output().unwrap());
    assert!(text.contains("LONGSHORE_LOG") && text.contains("a=b=c"), "{text}");
}

#[test]
fn manifests_come_from_standard_input_directories_and_many_documents() {
    let site = Site::start(&[]);
    let mut command = site.command(&["apply", "-f", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(workload("a", "x:1").as_bytes())
        .unwrap();
    let (code, text) = ended(&child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("workload.longshore.dev/a created"), "{text}");

    let two = format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{k: v}}\n",
        workload("b", "x:1")
    );
    let file = site.file("many/two.yaml", &two);
    site.file("many/readme.txt", "not a manifest");
    let many = site.dir.path().join("many").display().to_string();
    site.says(
        &["apply", "-f", &many],
        0,
        &["workload.longshore.dev/b created", "configmap/c created"],
    );
    site.says(
        &["apply", "-f", &file],
        0,
        &["workload.longshore.dev/b unchanged"],
    );

    // Several kinds, several names, pairs; YAML without what only the server needs.
    site.says(
        &["get", "wl,dev"],
        0,
        &["workload.longshore.dev/a", "device.longshore.dev/dev1"],
    );
    site.says(
        &["get", "wl", "a", "b", "-o", "name"],
        0,
        &["workload.longshore.dev/a\nworkload.longshore.dev/b\n"],
    );
    site.says(
        &["get", "wl/a", "cm/c", "-o", "name"],
        0,
        &["workload.longshore.dev/a\nconfigmap/c\n"],
    );
    site.says(
        &["get", "wl", "a", "zzz", "-o", "name"],
        1,
        &["workload.longshore.dev/a", "\"zzz\" not found"],
    );
    let yaml = site.says(&["get", "wl/a", "-o", "yaml"], 0, &["kind: Workload"]);
    assert!(!yaml.contains("managedFields"), "{yaml}");
    site.says(
        &["get", "wl/a", "-o", "yaml", "--show-managed-fields"],
        0,
        &["managedFields"],
    );
    let list = site.says(&["get", "cm", "-o", "yaml"], 0, &["kind: List"]);
    let list = site.file("list.yaml", &list);
    site.says(&["diff", "-f", &list], 0, &["configmap/c: unchanged"]);

    let twice = site.file(
        "twice.yaml",
        "kind: Workload\nmetadata: {name: a}\nkind: Workload\n",
    );
    site.says(
        &["apply", "-f", &twice],
        1,
        &["twice.yaml", "line 3", "\"kind\" is given twice", "---"],
    );

    // Gone is gone: another object of the name can be made at once.
    site.says(
        &["delete", "-f", &many, "--timeout", "30s"],
        0,
        &["workload.longshore.dev/b deleted", "configmap/c deleted"],
    );
    site.says(&["get", "wl/b"], 1, &["not found"]);
    site.says(&["delete", "-f", &many], 0, &["not found"]);
}

#[test]
fn a_site_whose_store_was_lost_is_the_same_site_to_its_devices() {
    let mut site = Site::start(&[]);
    let file = site.file("hello.yaml", &workload("hello", "x:1"));
    site.says(&["apply", "-f", &file], 0, &[]);
    site.wait_for(&["get", "wl"], "1/1");
    let secret = [
        "get",
        "secret",
        "longshore-site",
        "-n",
        "longshore-system",
        "-o",
        "json",
    ];
    let uid = |site: &Site| -> Value {
        let secret: Value = serde_json::from_str(&site.run(&secret).1).unwrap();
        secret["data"]["uid"].clone()
    };
    let before = uid(&site);
    terminate(&site.process);
    assert!(site.process.wait().unwrap().success());
    fs::remove_file(site.dir.path().join("store.redb")).unwrap();

    site.process = Site::spawn(site.dir.path(), &[]);
    site.wait_until_ready();
    assert!(before.is_string());
    assert_eq!(uid(&site), before);
    // Refused by the agent, whose ledger knows its site, this would never become ready.
    site.says(&["get", "wl"], 0, &["No resources found."]);
    site.says(&["apply", "-f", &file], 0, &["created"]);
    site.wait_for(&["get", "wl"], "1/1");
}

#[test]
fn diff_tells_what_would_be_stored_refused_and_assumed() {
    let site = Site::start(&[]);
    let hello = workload("hello", "x:1");
    let file = site.file("hello.yaml", &hello);
    site.says(
        &["diff", "-f", &file],
        1,
        &["would be created", "device dev1 (assumed): ", "(assumed): what"],
    );
    site.says(&["apply", "-f", &file], 0, &[]);
    site.wait_for(&["get", "wl"], "1/1");
    site.says(&["diff", "-f", &file], 0, &["Nothing would change."]);

    // Fields that mean nothing to a device count as well.
    let slower = hello.replace("progressDeadlineSeconds: 60", "progressDeadlineSeconds: 90");
    let slower = site.file("slower.yaml", &slower);
    site.says(
        &["diff", "-f", &slower],
        1,
        &["would change spec.rollout.progressDeadlineSeconds"],
    );
    let labelled = site.file(
        "labelled.yaml",
        &hello.replace("{name: hello}", "{name: hello, labels: {a: b}}"),
    );
    site.says(&["diff", "-f", &labelled], 1, &["metadata.labels"]);

    // A new namespace and what is in it; a Secret after the Workload that needs it.
    let new = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: \
               {name: c, namespace: team}\n";
    let new = site.file("new.yaml", new);
    site.says(
        &["diff", "-f", &new],
        1,
        &[
            "namespace/team: would be created",
            "configmap/c: would be created",
        ],
    );
    let needs = workload("needs", "x:1").replace(
        "image: x:1",
        "image: x:1\n      env: [{name: T, valueFrom: {secretKeyRef: {name: s, key: k}}}]",
    );
    let alone = site.file("alone.yaml", &needs);
    site.says(&["diff", "-f", &alone], 1, &["ContentMissing"]);
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n";
    let both = site.file("both.yaml", &format!("{needs}{secret}"));
    let text = site.says(&["diff", "-f", &both], 1, &["secret/s: would be created"]);
    assert!(!text.contains("ContentMissing"), "{text}");

    // The conflict that apply meets, and the way out of it.
    let other = Command::new("kubectl")
        .env("KUBECONFIG", site.dir.path().join("kubeconfig"))
        .args(["patch", "wl", "hello", "--type=merge", "-p"])
        .arg(r#"{"spec":{"rollout":{"progressDeadlineSeconds":70}}}"#)
        .output();
    let Ok(other) = other else {
        writeln!(
            std::io::stderr(),
            "SKIPPED the conflict with kubectl: no kubectl on the PATH"
        )
        .unwrap();
        return;
    };
    assert!(other.status.success(), "{}", ended(&other).1);
    site.says(
        &["diff", "-f", &file],
        2,
        &["apply would be refused", "conflict", "--force-conflicts"],
    );
    site.says(&["apply", "-f", &file], 1, &["conflict", "--force-conflicts"]);
    site.says(
        &["diff", "-f", &file, "--force-conflicts"],
        1,
        &["would change spec.rollout"],
    );
    site.says(&["apply", "-f", &file, "--force-conflicts"], 0, &["configured"]);
}
