//! The credentials of a kubeconfig's user, resolved once: files are read and plugins are run here, not by kube. The
//! transport resolves them again when the server refuses them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::AuthInfo;
use shakedown_schemas::Explained;

use super::kubeconfig::regular;
use super::plugin;
use crate::error::ClusterError;

/// Replaces `tokenFile` and `exec` by the token or the certificate that they yield.
///
/// # Errors
/// [`ClusterError::Credentials`] when a file cannot be read, a plugin fails, or the user needs an auth provider that kubectl
/// has removed.
pub(super) async fn resolve(mut user: AuthInfo) -> Result<AuthInfo, ClusterError> {
    if let Some(provider) = user.auth_provider.as_ref().filter(|provider| provider.name != "oidc") {
        return Err(ClusterError::Credentials(Explained::new(
            format!("the kubeconfig names the auth provider `{}`", provider.name),
            "kubectl has removed it; use the provider's credential plugin",
        )));
    }
    for path in [&user.client_certificate, &user.client_key].into_iter().flatten() {
        regular(path.as_ref()).map_err(|problem| ClusterError::Credentials(problem.into()))?;
    }
    // A token file takes precedence over a token: tools write both and rotate the file.
    if let Some(path) = user.token_file.take() {
        let read = regular(path.as_ref()).and_then(|()| {
            std::fs::read_to_string(&path).map_err(|error| format!("the token file {path} cannot be read: {error}"))
        });
        let token = read.and_then(|text| match text.trim() {
            "" => Err(format!("the token file {path} is empty")),
            token => Ok(token.to_owned()),
        });
        user.token = match (token, user.token) {
            (Ok(token), _) => Some(token.into()),
            (Err(_), Some(token)) => Some(token),
            (Err(problem), None) => return Err(ClusterError::Credentials(problem.into())),
        };
    }
    // As in client-go, a token takes precedence over a plugin.
    if let (Some(exec), None) = (user.exec.take(), &user.token) {
        let credential = plugin::run(&exec).await.map_err(|error| ClusterError::Credentials(plugin_error(error)))?;
        user.token = credential.token.filter(|token| !token.is_empty()).map(Into::into);
        if let (Some(certificate), Some(key)) = (credential.client_certificate_data, credential.client_key_data) {
            user.client_certificate_data = Some(STANDARD.encode(certificate));
            user.client_key_data = Some(STANDARD.encode(key).into());
        }
    }
    Ok(user)
}

fn plugin_error(Explained { message, help }: Explained) -> Explained {
    let help = help.unwrap_or_else(|| {
        "`kubectl get --raw /version` runs the same plugin; log in again if it fails as well".to_owned()
    });
    Explained::new(format!("the credential plugin {message}"), help)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn token(user: &AuthInfo) -> Option<&str> {
        user.token.as_ref().map(ExposeSecret::expose_secret)
    }

    #[tokio::test]
    async fn a_token_file_goes_before_a_token_and_may_end_with_a_line_feed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "right\n").unwrap();
        let path = file.path().display().to_string();
        let user = AuthInfo { token: Some("wrong".to_owned().into()), token_file: Some(path), ..AuthInfo::default() };
        assert_eq!(token(&resolve(user).await.unwrap()), Some("right"));
        let user = AuthInfo { token_file: Some("/nowhere/token".to_owned()), ..AuthInfo::default() };
        let error = resolve(user).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/token cannot be read"), "{error}");
    }

    #[tokio::test]
    async fn a_plugins_certificate_becomes_the_users() {
        let printed = r#"{"apiVersion": "v", "kind": "ExecCredential",
            "status": {"clientCertificateData": "cert", "clientKeyData": "key"}}"#;
        let exec = kube::config::ExecConfig {
            api_version: Some("v".to_owned()),
            command: Some("/bin/echo".to_owned()),
            args: Some(vec![printed.to_owned()]),
            ..Default::default()
        };
        let user = resolve(AuthInfo { exec: Some(exec), ..AuthInfo::default() }).await.unwrap();
        assert_eq!(user.client_certificate_data, Some(STANDARD.encode("cert")));
        assert_eq!(user.client_key_data.as_ref().map(ExposeSecret::expose_secret), Some(&*STANDARD.encode("key")));
        assert!(user.exec.is_none() && token(&user).is_none());
    }
}
