//! Chromium on the laptop, which does what it is told by browser.mjs.

use portero_lab::Lab;
use serde_json::{json, Value};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Where Cockpit is.
const ADDRESS: &str = "http://192.0.2.10:9090";

/// The browser, which ends with the value.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it.
    pub fn start(project: &str) -> Self {
        let script = format!("{project}/tests/lab/tests/cockpit/browser.mjs");
        let mut child = Command::new("ip")
            .args(["netns", "exec", "laptop", "node", &script, project, ADDRESS])
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

    fn must(&mut self, step: &Value) -> Value {
        let answer = self.attempt(step);
        answer.unwrap_or_else(|error| panic!("{step}: {error}"))
    }

    /// Opens a page of Cockpit's.
    pub fn open(&mut self, path: &str) {
        self.must(&json!({ "do": "open", "path": path }));
    }

    /// Clicks a button of portero's page.
    pub fn click(&mut self, name: &str) {
        self.must(&json!({ "do": "click", "role": "button", "name": name }));
    }

    /// Opens a tab of portero's page.
    pub fn tab(&mut self, name: &str) {
        self.must(&json!({ "do": "click", "role": "link", "name": name }));
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

    /// Sets a checkbox of portero's page.
    pub fn check(&mut self, name: &str, on: bool) {
        self.must(&json!({ "do": "check", "role": "checkbox", "name": name, "on": on }));
    }

    /// Does something in Cockpit's window with what a selector finds.
    pub fn in_shell(&mut self, verb: &str, css: &str, text: &str) {
        self.must(&json!({ "do": verb, "where": "shell", "css": css, "text": text }));
    }

    /// Waits until a text can be seen on portero's page.
    pub fn sees(&mut self, text: &str) {
        self.must(&json!({ "do": "see", "text": text }));
    }

    /// Waits until nothing fits a selector on portero's page.
    pub fn misses(&mut self, css: &str) {
        self.must(&json!({ "do": "gone", "css": css }));
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

/// Cockpit's web server and an administrator who can log in: what `apt install cockpit` and systemd make.
pub fn serve_cockpit(lab: &Lab) -> Vec<portero_lab::Program> {
    lab.must("useradd", &["-m", "-s", "/bin/bash", "-G", "sudo", "admin"]);
    lab.must("sh", &["-c", "echo admin:foobar | chpasswd"]);
    let mut programs = Vec::new();
    // Since Cockpit 330 systemd starts a session for each connection to a socket.
    if std::path::Path::new("/usr/lib/systemd/system/cockpit-session.socket").exists() {
        std::fs::create_dir_all("/run/cockpit").expect("/run/cockpit");
        let listen = ["--listen=/run/cockpit/session", "--accept", "--inetd"];
        let listen = [&listen[..], &["/usr/lib/cockpit/cockpit-session"]].concat();
        programs.push(lab.start("systemd-socket-activate", &listen));
    }
    programs.push(lab.start("/usr/lib/cockpit/cockpit-ws", &["--no-tls", "--port=9090"]));
    programs
}
