//! Runs a credential plugin (`exec` in a kubeconfig's user).
//!
//! The protocol is the API group `client.authentication.k8s.io`: the plugin gets an `ExecCredential` in the variable
//! `KUBERNETES_EXEC_INFO` and prints one with its status. No message contains the plugin's arguments, its environment or
//! what it prints on stdout: all of them may be secret.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use shakedown_schemas::Explained;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// The timeout of a plugin that cannot ask the user.
const SILENT_LIMIT: Duration = Duration::from_secs(15);

/// The timeout of a plugin that may wait for the user, for example for a login in the browser.
const INTERACTIVE_LIMIT: Duration = Duration::from_secs(300);

/// The longest output that is read, in bytes. The rest is discarded.
const LONGEST: usize = 1 << 20;

/// How much of the plugin's stderr an error quotes, in characters from the end.
const QUOTED: usize = 500;

/// What a plugin hands out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credential {
    pub(super) token: Option<String>,
    /// In PEM.
    pub(super) client_certificate_data: Option<String>,
    /// In PEM.
    pub(super) client_key_data: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
    status: Option<Credential>,
}

/// Runs the plugin and waits for its answer. The plugin may ask the user if its mode allows it and stdin is a terminal.
///
/// # Errors
/// A sentence with the plugin's name, its status and its own words on stderr.
pub(super) async fn run(exec: &ExecConfig) -> Result<Credential, Explained> {
    let terminal = std::io::stdin().is_terminal();
    let interactive = match exec.interactive_mode {
        Some(ExecInteractiveMode::Never) => false,
        Some(ExecInteractiveMode::Always) if !terminal => {
            return Err(format!("{} asks the user, but stdin is not a terminal", name(exec)?).into());
        }
        _ => terminal,
    };
    let limit = if interactive { INTERACTIVE_LIMIT } else { SILENT_LIMIT };
    run_for(exec, interactive, limit).await
}

async fn run_for(exec: &ExecConfig, interactive: bool, limit: Duration) -> Result<Credential, Explained> {
    let name = name(exec)?;
    let mut child = start(exec, interactive).map_err(|error| not_started(exec, name, &error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(limit, async {
        tokio::join!(collect(stdout, false), collect(stderr, interactive), child.wait())
    })
    .await;
    let Ok((stdout, stderr, status)) = ended else {
        end(&mut child, interactive);
        return Err(format!("{name} did not answer within {} s and was ended", limit.as_secs()).into());
    };
    let status = status.map_err(|error| format!("{name} could not be waited for: {error}"))?;
    if !status.success() {
        return Err(format!("{name} failed ({status}){}", words(&stderr)).into());
    }
    let version = version(exec);
    let answer: Answer = serde_json::from_slice(&stdout)
        .map_err(|_| format!("{name} did not print an ExecCredential in JSON{}", words(&stderr)))?;
    if answer.kind.as_deref() != Some("ExecCredential") || answer.api_version.as_deref() != Some(version) {
        return Err(format!("{name} did not print an ExecCredential of {version}").into());
    }
    answer.status.ok_or_else(|| format!("{name} printed an ExecCredential without a status").into())
}

fn start(exec: &ExecConfig, interactive: bool) -> std::io::Result<Child> {
    let info = json!({
        "apiVersion": version(exec),
        "kind": "ExecCredential",
        "spec": {"interactive": interactive, "cluster": exec.cluster},
    });
    let mut command = Command::new(exec.command.as_deref().unwrap_or_default());
    command
        .args(exec.args.iter().flatten())
        .envs(exec.env.iter().flatten().filter_map(|entry| Some((entry.get("name")?, entry.get("value")?))))
        .env("KUBERNETES_EXEC_INFO", without_null(info).to_string())
        .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !interactive {
        // Ends its children as well. A plugin that reads the terminal must stay in its foreground group.
        command.process_group(0);
    }
    command.spawn()
}

fn without_null(mut info: serde_json::Value) -> serde_json::Value {
    if let Some(spec) = info["spec"].as_object_mut() {
        spec.retain(|_, value| !value.is_null());
    }
    info
}

fn end(child: &mut Child, interactive: bool) {
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    if let (false, Some(group)) = (interactive, group) {
        _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    _ = child.start_kill();
}

/// Reads a stream to its end. With `shown` it is copied to the user immediately, because it may ask for a login.
async fn collect(stream: Option<impl AsyncRead + Unpin>, shown: bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        let chunk = &chunk[..length];
        if shown {
            // The lines are few and short, so blocking is cheap.
            _ = std::io::stderr().write_all(chunk);
        }
        kept.extend_from_slice(&chunk[..length.min(LONGEST.saturating_sub(kept.len()))]);
    }
    kept
}

/// The plugin's name without its folder and its arguments.
fn name(exec: &ExecConfig) -> Result<&str, String> {
    let command = exec.command.as_deref().filter(|command| !command.is_empty());
    let command = command.ok_or("the credential plugin has no command")?;
    Ok(Path::new(command).file_name().and_then(|name| name.to_str()).unwrap_or(command))
}

fn version(exec: &ExecConfig) -> &str {
    exec.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1")
}

fn not_started(exec: &ExecConfig, name: &str, error: &std::io::Error) -> Explained {
    if error.kind() != std::io::ErrorKind::NotFound {
        return format!("{name} could not be started: {error}").into();
    }
    match exec.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty()) {
        Some(hint) => Explained::new(format!("{name} is not installed"), hint),
        None => format!("{name} is not installed").into(),
    }
}

/// The end of the plugin's stderr, after a colon.
fn words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(QUOTED);
    let end: String = text.chars().skip(skipped).collect();
    if end.is_empty() { String::new() } else { format!(": {end}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "client.authentication.k8s.io/v1";

    fn shell(script: &str) -> ExecConfig {
        ExecConfig {
            api_version: Some(V1.to_owned()),
            command: Some("/bin/sh".to_owned()),
            args: Some(vec!["-c".to_owned(), script.to_owned(), "sh".to_owned(), "--secret=hunter2".to_owned()]),
            env: Some(vec![
                [("name".to_owned(), "GREETING".to_owned()), ("value".to_owned(), "hunter3".to_owned())].into(),
            ]),
            ..ExecConfig::default()
        }
    }

    async fn refusal(exec: &ExecConfig) -> String {
        let error = run_for(exec, false, Duration::from_secs(10)).await.err().expect("refused").to_string();
        assert!(!error.contains("hunter"), "a secret is in: {error}");
        error
    }

    #[tokio::test]
    async fn a_plugin_gets_its_arguments_its_environment_and_the_protocols_object() {
        let script = r#"
            case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 9;; esac
            [ "$1" = --secret=hunter2 ] || exit 8
            echo "{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"$GREETING\"}}""#;
        let credential = run_for(&shell(script), false, Duration::from_secs(10)).await.unwrap();
        assert_eq!(credential.token.as_deref(), Some("hunter3"));
    }

    #[tokio::test]
    async fn a_failing_plugin_is_quoted_without_its_arguments() {
        let error = refusal(&shell("echo 'session expired' >&2; exit 3")).await;
        assert_eq!(error, "sh failed (exit status: 3): session expired");
        let junk = refusal(&shell("echo hunter2")).await;
        assert_eq!(junk, "sh did not print an ExecCredential in JSON");
        let other = refusal(&shell(r#"echo '{"apiVersion": "v1", "kind": "Pod"}'"#)).await;
        assert!(other.contains("did not print an ExecCredential of client.authentication.k8s.io/v1"), "{other}");
    }

    #[tokio::test]
    async fn a_plugin_that_is_not_installed_shows_how_to_install_it() {
        let exec = ExecConfig {
            command: Some("no-such-plugin".to_owned()),
            install_hint: Some("apt install it".to_owned()),
            ..shell("")
        };
        assert_eq!(refusal(&exec).await, "no-such-plugin is not installed\nhelp: apt install it");
        assert!(refusal(&ExecConfig::default()).await.contains("no command"));
    }

    #[tokio::test]
    async fn a_plugin_that_hangs_ends_at_its_limit_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let exec = shell(&format!("sleep 600 & echo $! > {}; wait", file.display()));
        // Long enough for the shell to write the file, on a busy machine as well.
        let error = run_for(&exec, false, Duration::from_secs(3)).await.err().unwrap().to_string();
        assert_eq!(error, "sh did not answer within 3 s and was ended");
        let child: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let gone = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            status.is_empty() || status.contains(") Z ")
        };
        while !gone() {
            tokio::task::yield_now().await;
        }
    }
}
