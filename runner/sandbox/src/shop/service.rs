//! An HTTP service that calls others before it answers.

use std::io;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ServiceConfig;
use super::calls::{Failure, Outlets};
use crate::log::Log;
use crate::net::Net;
use crate::web::{self, Body};

/// The paths that it answers without its calls.
pub(crate) const CHECKS: &[&str] = &["/health", "/ready"];

/// Runs a service until `stop` is cancelled.
///
/// # Errors
/// If a setting is not valid, or its port cannot be listened on.
pub(crate) async fn service(net: Net, config: ServiceConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    config.check()?;
    let listener = net.listen(config.port).await?;
    log.info(format_args!("the service is up on port {}", config.port));
    let max = config.max_connections;
    let service = Arc::new(Service { outlets: Outlets::new(net.clone(), log), net, config });
    let serve = web::serve(listener, max, move |request| {
        let service = Arc::clone(&service);
        async move { service.answer(request.uri().path()).await }
    });
    tokio::select! {
        () = serve => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}

struct Service {
    net: Net,
    config: ServiceConfig,
    outlets: Outlets,
}

impl Service {
    async fn answer(&self, path: &str) -> Response<Body> {
        let mut answer = match path {
            "/health" => web::json(StatusCode::OK, &json!({"status": "ok"})),
            "/ready" => match self.outlets.reach(&self.config.calls).await {
                Ok(()) => web::json(StatusCode::OK, &json!({"status": "ready"})),
                Err(failure) => refuse(StatusCode::SERVICE_UNAVAILABLE, &failure),
            },
            _ => {
                sleep(self.config.work.get().mul_f64(self.net.busy())).await;
                match self.outlets.call(&self.config.calls).await {
                    Ok(said) => web::json(StatusCode::OK, &json!({"status": "ok", "calls": said})),
                    Err(failure) if failure.is_timeout => refuse(StatusCode::GATEWAY_TIMEOUT, &failure),
                    Err(failure) => refuse(StatusCode::SERVICE_UNAVAILABLE, &failure),
                }
            }
        };
        // By the pod's own clock. Without this header, the server writes that of the machine.
        if let Some(date) = web::date(self.net.now()) {
            answer.headers_mut().insert(http::header::DATE, date);
        }
        answer
    }
}

fn refuse(status: StatusCode, failure: &Failure) -> Response<Body> {
    web::json(status, &json!({"error": failure.message, "dependency": failure.server}))
}
