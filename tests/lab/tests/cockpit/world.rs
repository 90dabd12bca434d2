//! The host that the documentation is about, with Cockpit, and a browser on the laptop.

use crate::browser::{serve_cockpit, Browser};
use crate::host;
use portero_lab::{find_package, From, Lab, Program, Proto};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The guest's address.
const WEB: &str = "192.168.122.10";
/// The host's address on the LAN.
const HOST: &str = "192.0.2.10";

/// Who logs in.
const PASSWORD: &str = "foobar";
/// Where Cockpit asks for the password again: in Debian 13's and in Debian 12's.
const PASSWORD_FIELD: &str =
    "#switch-to-admin-access-password, .pf-v5-c-modal-box input[type=password], .pf-c-modal-box input[type=password]";

/// The lab with all that.
pub struct World {
    host: host::World,
    /// The browser.
    pub browser: Browser,
    is_logged_in: bool,
    _cockpit: Vec<Program>,
}

impl World {
    /// Installs both packages on a host that has Cockpit, and starts everything.
    pub fn new(mut lab: Lab) -> Self {
        let folder = std::env::var("PORTERO_PACKAGES");
        let folder = folder.expect("PORTERO_PACKAGES, from the Makefile");
        for name in ["portero", "cockpit-portero"] {
            let package = find_package(name, Path::new(&folder));
            lab.must("dpkg", &["-i", &package.to_string_lossy()]);
        }
        // Where systemd runs, the package does that.
        lab.restart_libvirtd();
        let host = host::World::new(lab);
        let cockpit = serve_cockpit(&host.lab, PASSWORD);
        let browser = Browser::start(&project());
        Self {
            host,
            browser,
            is_logged_in: false,
            _cockpit: cockpit,
        }
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.host.lab
    }

    /// The host as it was first, and portero's page as an administrator sees it.
    pub fn begin(&mut self) {
        self.host.reset();
        self.lab().wait_guest(WEB);
        if !self.is_logged_in {
            self.log_in();
        }
        self.browser.resize(1280, 900);
        self.browser.colors("light");
        self.browser.open("/portero");
        self.browser.sees("No ports are forwarded.");
        self.browser.asks("complaints");
    }

    /// Logs in as somebody who has logged in never before, and opens portero's page.
    pub fn log_in(&mut self) {
        let browser = &mut self.browser;
        browser.asks("forget");
        browser.open("/portero");
        browser.in_shell("fill", "#login-user-input", "admin");
        browser.in_shell("fill", "#login-password-input", PASSWORD);
        browser.in_shell("click", "#login-button", "");
        browser.sees("portero needs administrative access");
        browser.in_shell("click", "#super-user-indicator button", "");
        browser.in_shell("fill", PASSWORD_FIELD, PASSWORD);
        browser.press("Enter");
        browser.sees("No ports are forwarded.");
        self.is_logged_in = true;
    }

    /// The laptop is served at a port of the host.
    pub fn serves(&self, port: u16, answer: &str) {
        self.serves_from("laptop", port, answer);
    }

    /// A machine is.
    pub fn serves_from(&self, machine: &str, port: u16, answer: &str) {
        let from = From::Namespace(machine);
        self.lab().answers(from, Proto::Tcp, HOST, port, answer);
    }

    /// The laptop is not.
    pub fn refuses(&self, port: u16) {
        let from = From::Namespace("laptop");
        self.lab().refuses(from, Proto::Tcp, HOST, port);
    }

    /// Adds a forward without the page.
    pub fn add(&self, words: &[&str]) {
        self.lab()
            .must("portero", &[&["forward", "add"], words].concat());
    }

    /// What helps to understand a failure; what a scenario has left broken is repaired.
    pub fn explain(&self) {
        self.host.explain();
        let lab = self.lab();
        let _ = lab.run("ip", &["link", "set", "virbr0", "up"]);
        let _ = lab.run("sysctl", &["-qw", "net.ipv4.ip_forward=1"]);
    }
}

/// Longest time until the page shows what has changed on the host.
pub const SHOWN: Duration = Duration::from_secs(10);

/// The project's folder.
pub fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().expect("the project's folder")
}
