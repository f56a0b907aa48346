//! Reads kubeconfig files by kubectl's rules.
//!
//! The rules are those of client-go's `clientcmd`: entries of `KUBECONFIG` that are empty or do not exist are skipped, the
//! first file that sets a value wins, base64 data may contain line breaks, and `tokenFile` takes precedence over `token`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use secrecy::{ExposeSecret, SecretString};
use shakedown_schemas::{Explained, FileError, read_file};

use crate::error::{ClusterError, chain};
use crate::options::ConnectOptions;

/// A context with its cluster and its user.
pub(super) struct Selection {
    /// The context's name.
    pub(super) context: String,
    /// The context's namespace.
    pub(super) namespace: Option<String>,
    pub(super) cluster: Cluster,
    /// Empty if the context names no user.
    pub(super) user: AuthInfo,
}

/// The merged kubeconfig; none where no file exists, as in a pod.
///
/// # Errors
/// [`ClusterError::Kubeconfig`] when a file cannot be read or parsed, or `--kubeconfig` names no file.
pub(crate) fn read(options: &ConnectOptions) -> Result<Option<Kubeconfig>, ClusterError> {
    if let Some(text) = &options.kubeconfig_text {
        return Kubeconfig::from_yaml(text)
            .map(without_empty)
            .map(Some)
            .map_err(|error| ClusterError::Kubeconfig(words(error).into()));
    }
    if let Some(path) = &options.kubeconfig {
        return match file(path)? {
            Some(kubeconfig) => Ok(Some(kubeconfig)),
            None => Err(ClusterError::Kubeconfig(format!("there is no file {}", path.display()).into())),
        };
    }
    let mut merged: Option<Kubeconfig> = None;
    for path in default_paths(std::env::var_os("KUBECONFIG"), std::env::home_dir()) {
        let Some(next) = file(&path)? else { continue };
        merged = Some(match merged {
            None => next,
            Some(first) => first.merge(next).map_err(|error| ClusterError::Kubeconfig(chain(&error).into()))?,
        });
    }
    Ok(merged)
}

/// The files that kubectl reads without `--kubeconfig`.
fn default_paths(variable: Option<OsString>, home: Option<PathBuf>) -> Vec<PathBuf> {
    match variable.filter(|it| !it.is_empty()) {
        Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => home.map(|home| home.join(".kube").join("config")).into_iter().collect(),
    }
}

/// A file's kubeconfig; none where the file does not exist.
fn file(path: &Path) -> Result<Option<Kubeconfig>, ClusterError> {
    regular(path).map_err(|error| ClusterError::Kubeconfig(error.into()))?;
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => Ok(Some(without_empty(kubeconfig))),
        Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClusterError::Kubeconfig(format!("{}: {}", path.display(), words(error)).into())),
    }
}

/// The maximum size of a kubeconfig and of each file that it names, in bytes.
const LARGEST: u64 = 16 << 20;

/// Refuses an endless file and a pipe: files are read several times, and a pipe can be read only once. The empty device means
/// no kubeconfig. The reader reports a file that cannot be read.
///
/// # Errors
/// With a sentence about the file.
pub(super) fn regular(path: &Path) -> Result<(), String> {
    match read_file(path, LARGEST) {
        Err(error @ (FileError::Special(_) | FileError::TooLarge(_))) if path != Path::new("/dev/null") => {
            Err(format!("`{}` {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// An error in words. A parser's error is shown without the surrounding lines, which may contain a token.
fn words(error: KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("line {}, column {}: it is not a kubeconfig", at.line(), at.column()),
            None => "it is not a kubeconfig".to_owned(),
        },
        other => chain(&other),
    }
}

/// Converts empty values to none. kubectl treats both alike.
fn without_empty(mut kubeconfig: Kubeconfig) -> Kubeconfig {
    let clear = |text: &mut Option<String>| _ = text.take_if(|text| text.is_empty());
    let clear_secret = |secret: &mut Option<SecretString>| _ = secret.take_if(|it| it.expose_secret().is_empty());
    clear(&mut kubeconfig.current_context);
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|it| it.cluster.as_mut()) {
        clear(&mut cluster.certificate_authority);
        clear(&mut cluster.certificate_authority_data);
    }
    for user in kubeconfig.auth_infos.iter_mut().filter_map(|it| it.auth_info.as_mut()) {
        for text in [
            &mut user.username,
            &mut user.token_file,
            &mut user.client_certificate,
            &mut user.client_certificate_data,
            &mut user.client_key,
        ] {
            clear(text);
        }
        [&mut user.password, &mut user.token, &mut user.client_key_data].into_iter().for_each(clear_secret);
    }
    kubeconfig
}

/// The chosen context, else the current one. None where the kubeconfig has no current context and none is asked for.
///
/// # Errors
/// [`ClusterError::Kubeconfig`] when the context or its cluster does not exist. The message lists the contexts.
pub(super) fn select(kubeconfig: Kubeconfig, wanted: Option<&str>) -> Result<Option<Selection>, ClusterError> {
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let Some(name) = wanted.or(current).map(str::to_owned) else {
        if kubeconfig.contexts.is_empty() {
            return Ok(None);
        }
        return Err(ClusterError::Kubeconfig(Explained::new(
            "no current context is set",
            format!("give --context; {}", contexts(&kubeconfig)),
        )));
    };
    let Some(context) = kubeconfig.contexts.iter().find(|it| it.name == name).and_then(|it| it.context.clone()) else {
        return Err(ClusterError::Kubeconfig(Explained::new(
            format!("there is no context `{name}`"),
            contexts(&kubeconfig),
        )));
    };
    let cluster = kubeconfig.clusters.into_iter().find(|it| it.name == context.cluster).and_then(|it| it.cluster);
    let Some(mut cluster) = cluster else {
        return Err(ClusterError::Kubeconfig(
            format!("context `{name}` names the cluster `{}`, which does not exist", context.cluster).into(),
        ));
    };
    // client-go accepts a context without a user, and a user that does not exist.
    let mut user = kubeconfig
        .auth_infos
        .into_iter()
        .find(|it| Some(&it.name) == context.user.as_ref())
        .and_then(|it| it.auth_info)
        .unwrap_or_default();
    unfold(&mut cluster.certificate_authority_data);
    unfold(&mut user.client_certificate_data);
    user.client_key_data = user.client_key_data.map(|data| {
        let mut data = Some(data.expose_secret().to_owned());
        unfold(&mut data);
        data.unwrap_or_default().into()
    });
    let namespace = context.namespace.filter(|it| !it.is_empty());
    Ok(Some(Selection { context: name, namespace, cluster, user }))
}

/// The sentence that lists the contexts.
fn contexts(kubeconfig: &Kubeconfig) -> String {
    if kubeconfig.contexts.is_empty() {
        return "the kubeconfig has no contexts".to_owned();
    }
    let names: Vec<String> = kubeconfig.contexts.iter().map(|it| format!("`{}`", it.name)).collect();
    format!("the contexts are {}", names.join(", "))
}

/// Removes line breaks from base64, as Go's decoder does. Other white space stays an error, as in kubectl.
fn unfold(data: &mut Option<String>) {
    if let Some(data) = data {
        data.retain(|c| c != '\n' && c != '\r');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: c, cluster: {server: 'https://c'}}]
contexts:
- {name: a, context: {cluster: c, user: u, namespace: shop}}
- {name: b, context: {cluster: gone}}
";

    fn select_from(text: &str, context: Option<&str>) -> Result<Option<Selection>, ClusterError> {
        select(Kubeconfig::from_yaml(text).unwrap(), context)
    }

    fn refusal(text: &str, context: Option<&str>) -> String {
        select_from(text, context).err().expect("refused").to_string()
    }

    #[test]
    fn missing_and_empty_entries_are_skipped_and_the_first_value_wins() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        std::fs::write(&first, "current-context: a\n").unwrap();
        std::fs::write(&second, TWO.replace("current-context: a", "current-context: b")).unwrap();
        let gone = folder.path().join("gone");
        let list = std::env::join_paths([gone.as_path(), Path::new(""), &first, &second]).unwrap();
        let paths = default_paths(Some(list), None);
        assert_eq!(paths, [gone, first.clone(), second.clone()]);
        let files: Vec<_> = paths.iter().filter_map(|path| file(path).unwrap()).collect();
        let merged = files.into_iter().reduce(|first, next| first.merge(next).unwrap()).unwrap();
        assert_eq!(select(merged, None).unwrap().unwrap().context, "a");
    }

    #[test]
    fn without_the_variable_the_file_of_the_home_folder_is_read() {
        let home = Some(PathBuf::from("/home/me"));
        let expected = [PathBuf::from("/home/me/.kube/config")];
        assert_eq!(default_paths(None, home.clone()), expected);
        assert_eq!(default_paths(Some(OsString::new()), home), expected, "an empty variable is as none");
        assert!(default_paths(None, None).is_empty());
    }

    #[test]
    fn a_file_that_is_asked_for_must_exist_and_be_a_kubeconfig() {
        let options = |path: &Path| ConnectOptions { kubeconfig: Some(path.to_owned()), ..ConnectOptions::default() };
        let error = read(&options(Path::new("/nowhere/config"))).unwrap_err().to_string();
        assert!(error.contains("there is no file /nowhere/config"), "{error}");
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), "clusters: 7").unwrap();
        let error = read(&options(broken.path())).unwrap_err().to_string();
        assert!(error.contains(&broken.path().display().to_string()), "{error}");
    }

    /// A kubeconfig and every file that it names. Opening one of these pipes would block for ever.
    #[tokio::test]
    async fn a_named_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let pipe = pipe.display();
        let config = |cluster: &str, user: &str| {
            format!(
                "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: \
                 {{server: 'https://127.0.0.1:1'{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
            )
        };
        let text = |text: String| ConnectOptions { kubeconfig_text: Some(text), ..ConnectOptions::default() };
        for options in [
            ConnectOptions { kubeconfig: Some(PathBuf::from(pipe.to_string())), ..ConnectOptions::default() },
            text(config(&format!(", certificate-authority: '{pipe}'"), "")),
            text(config("", &format!("tokenFile: '{pipe}'"))),
            text(config("", &format!("client-certificate: '{pipe}'"))),
            text(config("", &format!("client-key: '{pipe}'"))),
        ] {
            let error = crate::config::configuration(&options).await.err().map(|it| it.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("`{pipe}` is a named pipe")), "{options:?}: {error}");
            crate::secrets(&options);
        }
    }

    #[test]
    fn a_context_that_does_not_exist_lists_those_that_do() {
        let error = refusal(TWO, Some("prod"));
        assert!(error.contains("there is no context `prod`") && error.contains("`a`, `b`"), "{error}");
        assert!(refusal(TWO, Some("b")).contains("the cluster `gone`"));
        let none = TWO.replace("current-context: a", "current-context: ''");
        assert!(refusal(&none, None).contains("no current context is set"));
        assert!(select_from("apiVersion: v1", None).unwrap().is_none());
        assert_eq!(select_from(TWO, None).unwrap().unwrap().namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn an_error_in_a_file_shows_no_line_of_it() {
        let text = "users:\n- name: u\n  user:\n    token: opaque-hunter2\n   client-key: x\nclusters: 7\n";
        let options = ConnectOptions { kubeconfig_text: Some(text.to_owned()), ..ConnectOptions::default() };
        let error = read(&options).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("line "), "{error}");
    }

    #[test]
    fn empty_values_are_none_as_in_files_that_kubectl_writes() {
        let fragment = "current-context: ''\nusers: [{name: u, user: {token: '', username: '', password: ''}}]\n";
        let first = without_empty(Kubeconfig::from_yaml(fragment).unwrap());
        let user = first.auth_infos[0].auth_info.as_ref().unwrap();
        assert!(user.token.is_none() && user.username.is_none() && user.password.is_none());
        let merged = first.merge(Kubeconfig::from_yaml(TWO).unwrap()).unwrap();
        assert_eq!(select(merged, None).unwrap().unwrap().context, "a");
    }

    #[test]
    fn base64_may_have_line_breaks() {
        let mut data = Some("aGVs\r\nbG8=\n".to_owned());
        unfold(&mut data);
        assert_eq!(data.as_deref(), Some("aGVsbG8="));
        let mut folded = Some("aGVs bG8=".to_owned());
        unfold(&mut folded);
        assert_eq!(folded.as_deref(), Some("aGVs bG8="), "kubectl refuses a blank as well");
    }
}
