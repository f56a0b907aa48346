//! `--notify`: a summary of the run as JSON, for the webhook of a chat or a bot.

use serde_json::{Value, json};
use shakedown_reports::{sentences, tamed};
use shakedown_schemas::RunResult;
use shakedown_schemas::result::Verdict;
use shakedown_schemas::words;

/// POSTs the summary.
///
/// # Errors
/// A warning for the user.
pub async fn notify(url: &str, result: &RunResult) -> Result<(), String> {
    super::post(url, &[], &summary(result))
        .await
        .map_err(|error| format!("could not notify {}: {error}; the verdict is not affected", super::place(url)))
}

/// The summary. Chats show `text`. The other fields are for programs.
fn summary(result: &RunResult) -> Value {
    let result = &tamed(result);
    let scenarios = result.scenarios.iter().map(|it| {
        let broken = sentences::expectations(it).into_iter().filter(|it| it.verdict != Verdict::Pass);
        json!({
            "name": it.name,
            "file": it.file,
            "verdict": it.outcome(),
            "reason": sentences::reason(it),
            "expectations": it.expectations.len(),
            "not_passed": broken
                .map(|it| json!({"phase": it.phase, "title": it.title, "verdict": it.verdict, "observed": it.observed_text, "limit": it.limit_text, "reason": it.reason}))
                .collect::<Vec<_>>(),
            "leftovers": it.leftovers.iter().map(|it| json!({"what": it.what, "command": it.command})).collect::<Vec<_>>(),
        })
    });
    let lines = result.scenarios.iter().map(|it| format!("{}: {}", it.name, sentences::reason(it)));
    let text: Vec<String> =
        std::iter::once(format!("shakedown {}", words::verdict(result.verdict))).chain(lines).collect();
    json!({
        "format_version": result.format_version,
        "text": text.join("\n"),
        "run": result.run.id,
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "started_at": result.run.started_at.to_string(),
        "duration_s": result.run.duration_s,
        "git_sha": result.run.git_sha,
        "ci_job_url": result.run.ci_job_url,
        "scenarios": scenarios.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::received;
    use shakedown_fakes::HttpServer;
    use shakedown_reports::sample;

    #[tokio::test]
    async fn a_receiver_gets_the_summary() {
        crate::export::testing_tls();
        let server = HttpServer::start(|_| 204.into());
        notify(&format!("{}/hook?key=abc", server.url()), &sample::failing()).await.unwrap();
        let got = received(&server);
        let (path, body) = &got[0];
        assert_eq!(path, "/hook?key=abc");
        assert_eq!((&body["verdict"], &body["exit_code"]), (&json!("fail"), &json!(1)));
        assert_eq!(body["scenarios"][0]["not_passed"].as_array().unwrap().len(), 2);
        assert!(body["text"].as_str().unwrap().contains("p95 rose to 3.8 times"));
    }

    #[test]
    fn hostile_text_is_truncated_and_stays_text() {
        let text = summary(&sample::hostile()).to_string();
        assert!(text.len() < 100_000, "{} bytes", text.len());
        assert!(!text.contains("\\u001b") && !text.contains("\\u0000") && !text.contains('\u{202e}'), "{text}");
    }

    #[tokio::test]
    async fn a_refusing_or_unavailable_receiver_is_a_warning_without_its_key() {
        crate::export::testing_tls();
        let server = HttpServer::start(|_| 500.into());
        let url = server.url();
        let error = notify(&format!("{url}/hook?key=abc"), &sample::passing()).await.unwrap_err();
        assert!(error.contains("500") && !error.contains("abc"), "{error}");
        drop(server);
        let error = notify(&format!("{url}/hook?key=abc"), &sample::passing()).await.unwrap_err();
        assert!(error.contains("127.0.0.1") && !error.contains("abc"), "{error}");
        assert!(notify("no url", &sample::passing()).await.is_err());
    }
}
