//! Which cluster to connect to.

use std::path::PathBuf;

/// Which cluster, by kubectl's rules.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The kubeconfig's path; else `KUBECONFIG`, else `~/.kube/config`, else the in-cluster configuration.
    pub kubeconfig: Option<PathBuf>,
    /// A kubeconfig's text, instead of any file.
    pub kubeconfig_text: Option<String>,
    /// The context; else the kubeconfig's current one.
    pub context: Option<String>,
}

impl ConnectOptions {
    /// The flags with which a command reaches the same cluster, with a space before each flag. kubectl and shakedown
    /// share them. Empty if the environment selects the cluster, because it does so for the next command as well.
    pub fn flags(&self) -> String {
        if self.kubeconfig_text.is_some() {
            return String::new();
        }
        let mut flags = String::new();
        if let Some(path) = &self.kubeconfig {
            // The user may run the command in another folder.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            flags.push_str(&format!(" --kubeconfig {}", quoted(&path.display().to_string())));
        }
        if let Some(context) = &self.context {
            flags.push_str(&format!(" --context {}", quoted(context)));
        }
        flags
    }
}

/// A word, quoted for a shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_by_hand_reaches_the_same_cluster() {
        let given = |kubeconfig: &str, context: &str| {
            let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let options = ConnectOptions {
                kubeconfig: some(kubeconfig).map(PathBuf::from),
                context: some(context),
                ..ConnectOptions::default()
            };
            options.flags()
        };
        assert_eq!(given("", ""), "");
        assert_eq!(given("/etc/kube/config", "prod"), " --kubeconfig /etc/kube/config --context prod");
        assert_eq!(given("/my files/it's", ""), r" --kubeconfig '/my files/it'\''s'");
        assert_eq!(given("", "arn:aws:eks:eu-1:1:cluster/a"), " --context arn:aws:eks:eu-1:1:cluster/a");
        assert_eq!(given("", "a;b"), " --context 'a;b'");
        let here = std::env::current_dir().unwrap().join("config").display().to_string();
        assert_eq!(given("config", ""), format!(" --kubeconfig {}", quoted(&here)), "from wherever it is typed");
    }
}
