//! Chromium on the laptop, which does what it is told by browser.mjs.

use portero_lab::{Lab, Program};
use serde_json::{json, Value};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Cockpit is.
const ADDRESS: &str = "http://192.0.2.10:9090";

/// What could be seen when the last step failed.
const FAILED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cockpit-failed.png");

/// The browser, which ends with the value.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it.
    pub fn start(project: &Path) -> Self {
        let script = project.join("tests/lab/tests/cockpit/browser.mjs");
        let mut child = Command::new("ip")
            .args(["netns", "exec", "laptop", "node"])
            .args([&script, project])
            .arg(ADDRESS)
            .env("HOME", "/root")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node");
        let orders = child.stdin.take().expect("its stdin");
        let answers = BufReader::new(child.stdout.take().expect("its stdout"));
        Self {
            child,
            orders,
            answers,
        }
    }

    /// Has it do something; gives its answer or why it failed.
    pub fn attempt(&mut self, step: &Value) -> Result<Value, String> {
        writeln!(self.orders, "{step}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        match &answer["ok"] {
            Value::Bool(true) => Ok(answer["value"].clone()),
            _ => Err(answer["value"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// What was asked for; if it fails, a picture stays of what could be seen.
    fn must(&mut self, step: &Value) -> Value {
        self.attempt(step).unwrap_or_else(|error| {
            let _ = self.attempt(&json!({ "do": "shoot", "path": FAILED }));
            panic!("{step}: {error} (see {FAILED})")
        })
    }

    /// Opens a page of Cockpit's, as soon as Cockpit answers.
    pub fn open(&mut self, path: &str) {
        let step = json!({ "do": "open", "path": path });
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = self.attempt(&step) {
            assert!(Instant::now() < end, "Cockpit does not answer: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Clicks a button of portero's page.
    pub fn click(&mut self, name: &str) {
        self.must(&json!({ "do": "click", "role": "button", "name": name }));
    }

    /// Opens a tab of portero's page.
    pub fn tab(&mut self, name: &str) {
        self.must(&json!({ "do": "click", "role": "tab", "name": name }));
    }

    /// Does something with what has a role and a name on portero's page.
    pub fn act(&mut self, verb: &str, role: &str, name: &str) {
        self.must(&json!({ "do": verb, "role": role, "name": name }));
    }

    /// Writes into a field of portero's page.
    pub fn fill(&mut self, name: &str, text: &str) {
        self.must(&json!({ "do": "fill", "role": "textbox", "name": name, "text": text }));
    }

    /// Chooses from a list of portero's page.
    pub fn choose(&mut self, name: &str, text: &str) {
        self.must(&json!({ "do": "choose", "role": "combobox", "name": name, "text": text }));
    }

    /// Sets a checkbox of portero's page, or clears it if it is set.
    pub fn toggle(&mut self, name: &str) {
        self.act("click", "checkbox", name);
    }

    /// Does something in Cockpit's window with what a selector finds.
    pub fn in_shell(&mut self, verb: &str, css: &str, text: &str) {
        self.must(&json!({ "do": verb, "where": "shell", "css": css, "text": text }));
    }

    /// Waits until a text can be seen on portero's page.
    pub fn sees(&mut self, text: &str) {
        self.must(&json!({ "do": "see", "text": text }));
    }

    /// Waits until this alone stands somewhere on portero's page.
    pub fn shows(&mut self, text: &str) {
        self.await_css(&format!("text='{text}'"));
    }

    /// Waits until nothing fits a selector on portero's page.
    pub fn misses(&mut self, css: &str) {
        self.must(&json!({ "do": "gone", "css": css }));
    }

    /// Waits until something fits a selector on portero's page.
    pub fn await_css(&mut self, css: &str) {
        self.must(&json!({ "do": "await", "css": css }));
    }

    /// How much fits a selector on portero's page.
    pub fn count(&mut self, css: &str) -> u64 {
        let count = self.must(&json!({ "do": "count", "css": css }));
        count.as_u64().unwrap_or_default()
    }

    /// Chooses a language, as Cockpit's menu does.
    pub fn language(&mut self, name: &str) {
        self.must(&json!({ "do": "language", "text": name }));
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        self.must(&json!({ "do": "press", "key": key }));
    }

    /// Types a text.
    pub fn types(&mut self, text: &str) {
        self.must(&json!({ "do": "type", "text": text }));
    }

    /// A text of portero's page.
    pub fn text(&mut self, css: &str) -> String {
        let text = self.must(&json!({ "do": "text", "css": css }));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What has the keyboard on portero's page.
    pub fn focused(&mut self) -> String {
        let focused = self.must(&json!({ "do": "focused" }));
        focused.as_str().unwrap_or_default().to_owned()
    }

    /// What else the page is asked.
    pub fn asks(&mut self, verb: &str) -> Value {
        self.must(&json!({ "do": verb }))
    }

    /// Makes the window of a size.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.must(&json!({ "do": "size", "width": width, "height": height }));
    }

    /// Chooses light or dark, as Cockpit's menu does.
    pub fn colors(&mut self, style: &str) {
        self.must(&json!({ "do": "colors", "text": style }));
    }

    /// Takes a picture of the window.
    pub fn shoot(&mut self, path: &str) {
        self.must(&json!({ "do": "shoot", "path": path }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the administrator's session has in its environment, as systemd makes it.
const ENVIRONMENT: &str =
    "XDG_RUNTIME_DIR=/run/user/1000\nDBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus\n";

/// Cockpit's web server and an administrator who can log in, with the buses that a session needs: what `apt install cockpit` and
/// systemd make.
pub fn serve_cockpit(lab: &Lab, password: &str) -> Vec<Program> {
    let useradd = ["-m", "-u", "1000", "-s", "/bin/bash", "-G", "sudo", "admin"];
    lab.must("useradd", &useradd);
    let change = format!("echo admin:{password} | chpasswd");
    lab.must("sh", &["-c", &change]);
    fs::write("/etc/environment", ENVIRONMENT).expect("/etc/environment");
    let runtime = ["-d", "-m", "0700", "-o", "admin", "/run/user/1000"];
    lab.must("install", &runtime);
    let session = [
        "-u",
        "admin",
        "--",
        "dbus-daemon",
        "--session",
        "--nofork",
        "--nopidfile",
        "--address=unix:path=/run/user/1000/bus",
    ];
    let mut programs = vec![lab.system_bus(), lab.start("runuser", &session)];
    // There systemd starts a session's program for each connection to a socket.
    if Path::new("/usr/lib/systemd/system/cockpit-session.socket").exists() {
        fs::create_dir_all("/run/cockpit").expect("/run/cockpit");
        let listen = ["--listen=/run/cockpit/session", "--accept", "--inetd"];
        let listen = [&listen[..], &["/usr/lib/cockpit/cockpit-session"]].concat();
        programs.push(lab.start("systemd-socket-activate", &listen));
    }
    let serve = ["--no-tls", "--port=9090"];
    programs.push(lab.start("/usr/lib/cockpit/cockpit-ws", &serve));
    programs
}
