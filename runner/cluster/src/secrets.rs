//! The credentials for a cluster, so that all output can be redacted.

use std::path::Path;

use kube::config::{AuthInfo, ExecConfig};
use serde_json::Value;
use shakedown_schemas::read_file;

use super::config::kubeconfig;
use super::options::ConnectOptions;

/// The service account token of a pod.
const IN_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The longest token that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The tokens, passwords and private keys of the kubeconfig that [`super::connect`] would use, of all its users.
/// Unreadable entries are skipped, because a connection cannot use them either. Tokens that a program issues during the
/// run are not known here; redaction recognizes them by their form.
pub fn secrets(options: &ConnectOptions) -> Vec<String> {
    let users = kubeconfig::read(options).ok().flatten().map(|it| it.auth_infos).unwrap_or_default();
    let mut found: Vec<String> = users.into_iter().filter_map(|user| user.auth_info).flat_map(of_user).collect();
    found.extend(token(Path::new(IN_CLUSTER)));
    found
}

/// The text of a token file. None if it is not one.
fn token(path: &Path) -> Option<String> {
    String::from_utf8(read_file(path, LONGEST).ok()?).ok()
}

fn of_user(user: AuthInfo) -> Vec<String> {
    // Serialization reveals the hidden fields of a user.
    let Ok(written) = serde_json::to_value(&user) else { return Vec::new() };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut found: Vec<String> =
        ["password", "token", "client-key-data"].iter().filter_map(|field| text(&written[*field])).collect();
    if let (Some(name), Some(password)) = (text(&written["username"]), text(&written["password"])) {
        // On the wire, both are joined in base64.
        found.push(format!("{name}:{password}"));
    }
    for field in ["id-token", "access-token", "refresh-token", "client-secret"] {
        found.extend(text(&written["auth-provider"]["config"][field]));
    }
    found.extend(user.token_file.and_then(|path| token(Path::new(&path))));
    found.extend(user.exec.iter().flat_map(of_plugin));
    found
}

/// The values of a plugin's arguments and variables whose names say that they are secret. A plugin may print them in an
/// error, so its output is redacted as well.
fn of_plugin(exec: &ExecConfig) -> Vec<String> {
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["secret", "token", "password", "passwd", "key", "credential"].iter().any(|word| name.contains(word))
    };
    let mut found = Vec::new();
    let mut args = exec.args.iter().flatten().peekable();
    while let Some(arg) = args.next() {
        match arg.split_once('=') {
            Some((name, value)) if is_secret(name) => found.push(value.to_owned()),
            None if arg.starts_with('-') && is_secret(arg) => {
                found.extend(args.next_if(|next| !next.starts_with('-')).cloned());
            }
            _ => {}
        }
    }
    for entry in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (entry.get("name"), entry.get("value"))
            && is_secret(name)
        {
            found.push(value.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_secret_is_found() {
        let text = r#"
apiVersion: v1
kind: Config
users:
- name: one
  user: {token: t0ken-one}
- name: two
  user: {username: me, password: passw0rd}
- name: three
  user: {client-key-data: c2VjcmV0LWtleQ==}
- name: four
  user:
    exec:
      command: get-it
      args: [get-token, --oidc-client-secret=s3cret-a, --password, s3cret-b, --token-cache, --region, eu]
      env: [{name: CLIENT_SECRET, value: s3cret-c}, {name: AWS_PROFILE, value: prod}]
"#;
        let options = ConnectOptions { kubeconfig_text: Some(text.to_owned()), ..ConnectOptions::default() };
        let found = secrets(&options);
        for secret in ["t0ken-one", "passw0rd", "me:passw0rd", "c2VjcmV0LWtleQ==", "s3cret-a", "s3cret-b", "s3cret-c"] {
            assert!(found.iter().any(|it| it == secret), "{secret} is not in {found:?}");
        }
        for word in ["get-token", "--region", "eu", "prod"] {
            assert!(!found.iter().any(|it| it == word), "{word} is no secret");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_holds_none() {
        let options = ConnectOptions { kubeconfig: Some("/nowhere/config".into()), ..ConnectOptions::default() };
        assert!(secrets(&options).is_empty() || std::path::Path::new(IN_CLUSTER).exists());
    }
}
