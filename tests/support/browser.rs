//! A headless Chromium, controlled through a pair of pipes (the DevTools protocol): no port, no driver, no script in
//! the page. One browser serves many pages, each in a context of its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::Duration;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the browser may be silent while an answer is due.
const LIMIT: Duration = Duration::from_secs(90);

/// The browser; it ends with this value.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Pixels of the window.
    pub width: u32,
    /// Pixels of the window.
    pub height: u32,
    /// The user prefers dark pages.
    pub dark: bool,
    /// As on paper.
    pub print: bool,
    /// Scripts run.
    pub scripts: bool,
}

impl Look {
    /// A desktop's window.
    pub const DESKTOP: Self = Self { width: 1280, height: 900, dark: false, print: false, scripts: true };
    /// A phone held upright.
    pub const PHONE: Self = Self { width: 390, height: 844, ..Self::DESKTOP };

    /// The same for a user who prefers dark pages.
    pub const fn dark(self) -> Self {
        Self { dark: true, ..self }
    }
}

/// A page that was opened.
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
    /// What the console shows, and exceptions.
    pub console: Vec<String>,
    /// What the page asked for besides itself.
    pub requests: Vec<String>,
    loaded: bool,
}

impl Browser {
    /// Starts a browser that resolves no name, whatever a page asks for.
    pub fn start(chromium: &Path) -> Self {
        let profile = TempDir::with_prefix("shakedown-browser-").expect("a temporary folder");
        // The protocol's descriptors are 3 and 4; a shell moves our pipes there.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh"])
            .arg(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            // A group of its own: its helpers end with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|count| count > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        Self { child, input, messages, last: 0, _profile: profile }
    }

    fn send(&mut self, session: Option<&str>, method: &str, params: Value) -> u64 {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser reads");
        self.last
    }

    fn receive(&mut self) -> Value {
        self.messages.recv_timeout(LIMIT).expect("the browser answers")
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(None, method, params);
        loop {
            let message = self.receive();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// Opens a file and waits until it is there.
    pub fn open(&mut self, file: &Path, look: Look) -> Page<'_> {
        let context = self.call("Target.createBrowserContext", json!({}))["browserContextId"].clone();
        let target = self.call("Target.createTarget", json!({"url": "about:blank", "browserContextId": context}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach)["sessionId"].as_str().expect("a session").to_owned();
        let mut page = Page { browser: self, session, console: Vec::new(), requests: Vec::new(), loaded: false };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false});
        page.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if look.dark { "dark" } else { "light" };
        let media = if look.print { "print" } else { "" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        page.call("Emulation.setEmulatedMedia", json!({"media": media, "features": features}));
        page.call("Emulation.setScriptExecutionDisabled", json!({"value": !look.scripts}));
        page.loaded = false;
        let url = format!("file://{}", file.display());
        page.call("Page.navigate", json!({"url": url}));
        while !page.loaded {
            let message = page.browser.receive();
            page.note(&message);
        }
        page.requests.retain(|asked| *asked != url && !asked.starts_with("data:"));
        page
    }
}

impl Page<'_> {
    fn note(&mut self, message: &Value) {
        if message["sessionId"] != self.session.as_str() {
            return;
        }
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.loaded = true,
            "Runtime.consoleAPICalled" => self.console.push(params["args"].to_string()),
            "Runtime.exceptionThrown" => self.console.push(params["exceptionDetails"].to_string()),
            "Log.entryAdded" => self.console.push(params["entry"]["text"].to_string()),
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let session = self.session.clone();
        let id = self.browser.send(Some(&session), method, params);
        loop {
            let message = self.browser.receive();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// The value of an expression, or of the promise that it makes.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key}));
        }
    }

    /// Moves the pointer.
    pub fn point(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// The number of A4 pages that it has on paper.
    pub fn paper(&mut self) -> usize {
        let size = json!({"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": true});
        let data = self.call("Page.printToPDF", size)["data"].as_str().expect("a document").to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        // Each page is an object of this type; the tree that holds them is of the type `Pages`.
        let pages = String::from_utf8_lossy(&bytes).matches("/Type /Page\n").count();
        assert!(bytes.starts_with(b"%PDF") && pages > 0, "{} bytes", bytes.len());
        pages
    }

    /// The page as a PNG, at most this many pixels high.
    pub fn picture(&mut self, most: f64) -> Vec<u8> {
        let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let (width, height) = (size["width"].as_f64().expect("a size"), size["height"].as_f64().expect("a size"));
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height.min(most), "scale": 1});
        let params = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let data = self.call("Page.captureScreenshot", params)["data"].as_str().expect("a picture").to_owned();
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        _ = self.child.wait();
    }
}
