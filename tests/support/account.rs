//! Service accounts as clusters have them today: without secrets, with tokens in files that end and are renewed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::kubectl::Kubectl;
use super::shakedown::Shakedown;
use crate::campaign::server::Server;

/// How long an API server accepts a token after its end: clocks may differ by that.
const LEEWAY: i64 = 60;
/// The words before the Role that `plan` prints.
const HELP: &str = "help: `kubectl apply -f` this, as an administrator:\n";

/// A service account in a namespace.
pub struct Account<'a> {
    kubectl: &'a Kubectl,
    namespace: String,
    name: String,
}

impl<'a> Account<'a> {
    /// Creates an account that may do nothing.
    #[track_caller]
    pub fn new(kubectl: &'a Kubectl, namespace: &str, name: &str) -> Self {
        kubectl.run(&["-n", namespace, "create", "serviceaccount", name]);
        Self { kubectl, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The name by which the API server knows it.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// A token of an hour from the API server.
    #[track_caller]
    pub fn token(&self) -> String {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", self.namespace, self.name);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
        });
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), request.to_string()).expect("a temporary file");
        let answer = self.kubectl.run(&["create", "--raw", &path, "-f", file.path().to_str().expect("UTF-8")]);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// A token that the API server refuses after this time, at most ten seconds late. The shortest that it gives out lasts for
    /// ten minutes, so this one is signed here with the cluster's own key.
    #[track_caller]
    pub fn short_token(&self, life: Duration) -> String {
        let key = Path::new(self.kubectl.kubeconfig()).with_file_name("service-account.key");
        let account = self.kubectl.get(&["serviceaccount", &self.name, "-n", &self.namespace]);
        let end = jiff::Timestamp::now().as_second() + life.as_secs() as i64 - LEEWAY;
        let issuer = "https://kubernetes.default.svc";
        let claims = json!({
            "iss": issuer, "aud": [issuer], "sub": self.user(), "exp": end, "iat": end - 600, "nbf": end - 600,
            "kubernetes.io": {
                "namespace": self.namespace,
                "serviceaccount": {"name": self.name, "uid": account["metadata"]["uid"]},
            },
        });
        let encoded = |bytes: &[u8]| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
        };
        let signed = [json!({"alg": "RS256"}), claims].map(|part| encoded(part.to_string().as_bytes())).join(".");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), &signed).expect("a temporary file");
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-sign"]).arg(key).arg(file.path());
        let output = openssl.output().expect("openssl");
        assert!(output.status.success(), "{output:?}");
        format!("{signed}.{}", encoded(&output.stdout))
    }

    /// Writes a kubeconfig with a token in a file of its own, and returns its path. `renew` changes the token.
    #[track_caller]
    pub fn kubeconfig(&self, shakedown: &Shakedown, token: &str) -> String {
        let admin = std::fs::read_to_string(self.kubectl.kubeconfig()).expect("a kubeconfig");
        let admin: Value = serde_saphyr::from_str(&admin).expect("YAML");
        self.renew(shakedown, token);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": admin["clusters"][0]["cluster"]}],
            "users": [{"name": "it", "user": {"tokenFile": shakedown.path("token")}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": self.namespace}}],
        });
        shakedown.file("kubeconfig.json", config.to_string());
        shakedown.path("kubeconfig.json").display().to_string()
    }

    /// Replaces the token in the file, as a kubelet does.
    pub fn renew(&self, shakedown: &Shakedown, token: &str) {
        let new = shakedown.file("token.new", format!("{token}\n"));
        std::fs::rename(shakedown.path(&new), shakedown.path("token")).expect("a rename in one folder");
    }

    /// Grants it the Role that `plan` prints for this scenario.
    #[track_caller]
    pub fn grant(&self, shakedown: &Shakedown, kubeconfig: &str, args: &[&str]) {
        let refused = shakedown.run(&[&["plan", "--kubeconfig", kubeconfig], args].concat()).expect_code(3);
        let (_, role) = refused.stderr.split_once(HELP).unwrap_or_else(|| panic!("no Role is printed\n{refused}"));
        let file = shakedown.file("role.yaml", role);
        self.kubectl.run(&["-n", &self.namespace, "apply", "-f", shakedown.path(&file).to_str().expect("UTF-8")]);
    }

    /// Whether the API server accepts a token.
    pub fn is_accepted(&self, token: &str) -> bool {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), review.to_string()).expect("a temporary file");
        let answer = self.kubectl.run(&["create", "-o", "json", "-f", file.path().to_str().expect("UTF-8")]);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["status"]["authenticated"] == true
    }
}

/// Requests of one account, which the API server may refuse as too many by priority and fairness.
pub struct Fairness<'a> {
    kubectl: &'a Kubectl,
    name: String,
}

impl<'a> Fairness<'a> {
    /// A level of its own for this account, with room enough.
    #[track_caller]
    pub fn of(account: &Account<'a>) -> Self {
        let this = Self { kubectl: account.kubectl, name: format!("{}-{}", account.namespace, account.name) };
        let (api, metadata) = ("flowcontrol.apiserver.k8s.io/v1", json!({"name": this.name}));
        this.kubectl.create(&json!({
            "apiVersion": api, "kind": "PriorityLevelConfiguration", "metadata": metadata,
            "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 30, "lendablePercent": 0, "borrowingLimitPercent": 0,
                "limitResponse": {"type": "Reject"},
            }},
        }));
        this.kubectl.create(&json!({
            "apiVersion": api, "kind": "FlowSchema", "metadata": metadata,
            "spec": {
                "priorityLevelConfiguration": {"name": this.name},
                // Before the schema for all service accounts.
                "matchingPrecedence": 500,
                "rules": [{
                    "subjects": [{"kind": "ServiceAccount", "serviceAccount": {
                        "namespace": account.namespace, "name": account.name,
                    }}],
                    "resourceRules": [{
                        "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
                    }],
                    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                }],
            },
        }));
        this
    }

    #[track_caller]
    fn shares(&self, shares: u32) {
        let fields = json!({"spec": {"limited": {"nominalConcurrencyShares": shares}}}).to_string();
        self.kubectl.run(&["patch", "prioritylevelconfiguration", &self.name, "--type", "merge", "-p", &fields]);
    }

    /// Leaves no room for any request of this account, until the answer is dropped. A level without shares still carries out one
    /// request at a time, so one that never sends its body takes this place.
    pub fn starve(&self, account: &Account<'_>, namespace: &str) -> Starved<'_> {
        let server = Server::of("real cluster", self.kubectl.kubeconfig().as_ref());
        let path = format!("{}/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies", server.url);
        let body = reqwest::Body::wrap_stream(futures::stream::pending::<Result<String, std::io::Error>>());
        let request = server.client.post(path).bearer_auth(account.token()).header("content-type", "application/json");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        self.shares(0);
        runtime.spawn(async move { request.body(body).send().await });
        Starved { fairness: self, _runtime: runtime }
    }
}

/// A level without room, as long as this is kept.
pub struct Starved<'a> {
    fairness: &'a Fairness<'a>,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Starved<'_> {
    fn drop(&mut self) {
        self.fairness.shares(30);
    }
}

impl Drop for Fairness<'_> {
    fn drop(&mut self) {
        for kind in ["flowschema", "prioritylevelconfiguration"] {
            self.kubectl.try_run(&["delete", kind, &self.name]);
        }
    }
}
