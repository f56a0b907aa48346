//! Lists, page by page. A large cluster has tens of thousands of objects of several kilobytes: only the fields that are
//! needed are decoded, and no more than one page of the server's text is held at a time.

use kube::api::{DynamicObject, ListParams};
use kube::core::request::Error as RequestError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::objects::to_value;
use super::{Cluster, ClusterError, Kind};

/// The number of objects per page.
const PAGE: u32 = 500;

/// Which objects of a kind are listed, and how much of each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed<'a> {
    /// Those of this namespace; of all namespaces when empty.
    pub namespace: &'a str,
    /// Those that this label selector matches.
    pub labels: Option<&'a str>,
    /// Those that this field selector matches.
    pub fields: Option<&'a str>,
    /// Only their metadata is sent.
    pub only_metadata: bool,
}

impl<'a> Listed<'a> {
    /// All objects of a namespace; of all namespaces when empty.
    pub fn of(namespace: &'a str) -> Self {
        Self { namespace, ..Self::default() }
    }

    fn parameters(&self, limit: Option<u32>) -> ListParams {
        ListParams {
            label_selector: self.labels.map(str::to_owned),
            field_selector: self.fields.map(str::to_owned),
            limit,
            ..ListParams::default()
        }
    }
}

/// A part of a list. Of its objects, only what `T` names is decoded.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    /// Null when a list of metadata is empty (seen on Kubernetes 1.34).
    #[serde(default = "Option::default")]
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    /// The continue token of the next page. None or empty after the last one.
    #[serde(rename = "continue")]
    go_on: Option<String>,
    /// The version of the whole list.
    #[serde(rename = "resourceVersion")]
    version: Option<String>,
}

impl Cluster {
    /// Lists the objects of a kind; all namespaces when `namespace` is empty.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn list(&self, kind: Kind, namespace: &str, labels: Option<&str>) -> Result<Vec<Value>, ClusterError> {
        let listed = Listed { labels, ..Listed::of(namespace) };
        self.fetch_all(kind, listed, |all: &mut Vec<Value>, object: DynamicObject| all.push(to_value(&object))).await
    }

    /// Lists the objects of a kind and collects the needed fields.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) async fn fetch_all<T: DeserializeOwned, C: Default>(
        &self,
        kind: Kind,
        listed: Listed<'_>,
        keep: impl Fn(&mut C, T),
    ) -> Result<C, ClusterError> {
        self.fetch_all_at(kind, listed, keep).await.map(|(found, _)| found)
    }

    /// The same, with the version of the list.
    pub(super) async fn fetch_all_at<T: DeserializeOwned, C: Default>(
        &self,
        kind: Kind,
        listed: Listed<'_>,
        keep: impl Fn(&mut C, T),
    ) -> Result<(C, Option<String>), ClusterError> {
        let path = self.api(kind, listed.namespace).resource_url().to_owned();
        let place = match listed.namespace {
            "" => "all namespaces".to_owned(),
            namespace => format!("namespace {namespace}"),
        };
        let action = format!("list {} in {place}", kind.plural());
        let mut parameters = listed.parameters(Some(PAGE));
        let mut restarts = 0;
        let mut found = C::default();
        loop {
            let page = match self.repeated(&action, || self.page::<T>(&path, &parameters, listed.only_metadata)).await {
                Ok(page) => page,
                // The list has expired: everything is listed again, the second time in one page, which cannot expire.
                Err(ClusterError::Expired(_)) if parameters.limit.is_some() => {
                    restarts += 1;
                    found = C::default();
                    parameters = listed.parameters((restarts == 1).then_some(PAGE));
                    continue;
                }
                Err(error) => return Err(error),
            };
            page.items.into_iter().flatten().for_each(|item| keep(&mut found, item));
            match page.metadata.go_on.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok((found, page.metadata.version)),
            }
        }
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &ListParams,
        only_metadata: bool,
    ) -> Result<Page<T>, kube::Error> {
        let request = kube::core::Request::new(path);
        let request = if only_metadata { request.list_metadata(parameters) } else { request.list(parameters) };
        let mut request = request.map_err(|error: RequestError| kube::Error::BuildRequest(error))?;
        request.extensions_mut().insert("list");
        self.client.request(request).await
    }
}
