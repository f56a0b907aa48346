//! The image of this program if it runs in a pod. Witnesses and canaries use the same image.

use std::path::Path;

use serde_json::Value;

use super::{Cluster, Kind, ObjectKey};

/// Where a pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// An image of this program and its command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WitnessImage {
    /// The image's name.
    pub image: String,
    /// The command of this program in the image; empty for the image's entry point.
    pub command: Vec<String>,
    /// The image pull secrets.
    pub pull_secrets: Vec<String>,
}

impl WitnessImage {
    /// An image whose entry point is this program.
    pub fn named(image: impl Into<String>) -> Self {
        Self { image: image.into(), ..Self::default() }
    }
}

impl Cluster {
    /// The image of the pod in which this program runs, if it runs in a pod of this cluster and may read it.
    pub async fn own_image(&self) -> Option<WitnessImage> {
        if self.info.context.is_some() {
            return None;
        }
        let namespace = std::fs::read_to_string(Path::new(NAMESPACE_FILE)).ok()?;
        let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).ok()?;
        let key = ObjectKey { kind: Kind::Pod, namespace: namespace.trim().to_owned(), name, uid: None };
        image_of(&self.get(&key).await.ok().flatten()?)
    }
}

/// The image of a pod's first container. If its command names this program, it says how to start it.
fn image_of(pod: &Value) -> Option<WitnessImage> {
    let container = &pod["spec"]["containers"][0];
    let command: Vec<String> = container["command"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .take(1)
        .filter(|program| program.ends_with("shakedown"))
        .collect();
    let secrets = pod["spec"]["imagePullSecrets"].as_array().into_iter().flatten();
    Some(WitnessImage {
        image: container["image"].as_str()?.to_owned(),
        command,
        pull_secrets: secrets.filter_map(|secret| secret["name"].as_str().map(str::to_owned)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_tells_how_this_program_is_started() {
        let pod = |command: Value| {
            json!({"spec": {
                "imagePullSecrets": [{"name": "registry"}],
                "containers": [{"image": "example.org/shakedown:1", "command": command, "args": ["run", "x.yaml"]}],
            }})
        };
        let image = |command: &[&str]| WitnessImage {
            image: "example.org/shakedown:1".into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            pull_secrets: vec!["registry".into()],
        };
        assert_eq!(image_of(&pod(json!(["/opt/shakedown", "run"]))), Some(image(&["/opt/shakedown"])));
        assert_eq!(image_of(&pod(json!(["sh", "-c", "shakedown run"]))), Some(image(&[])));
        assert_eq!(image_of(&pod(Value::Null)), Some(image(&[])));
    }
}
