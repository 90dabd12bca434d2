//! The host that the documentation is about, with Cockpit, and a browser on the laptop.

use crate::browser::{serve_cockpit, Browser};
use crate::host;
use portero_lab::{find_package, From, Lab, Program, Proto};
use std::path::{Path, PathBuf};

/// The guest's address.
pub const WEB: &str = "192.168.122.10";
/// The host's address on the LAN.
pub const HOST: &str = "192.0.2.10";

/// The lab with all that.
pub struct World {
    host: host::World,
    /// The browser, logged in, with portero's page.
    pub browser: Browser,
    _cockpit: Vec<Program>,
}

impl World {
    /// Installs both packages on a host that has Cockpit, starts everything, and logs in.
    pub fn new(mut lab: Lab) -> Self {
        let project = project();
        let folder =
            std::env::var("PORTERO_PACKAGES").expect("PORTERO_PACKAGES, from the Makefile");
        for name in ["portero", "cockpit-portero"] {
            let package = find_package(name, Path::new(&folder));
            lab.must("dpkg", &["-i", &package.to_string_lossy()]);
        }
        // Where systemd runs, the package does that.
        lab.restart_libvirtd();
        let host = host::World::new(lab);
        host.reset();
        host.lab.wait_guest(WEB);
        let cockpit = serve_cockpit(&host.lab);
        let browser = Browser::start(&project.to_string_lossy());
        let mut world = Self {
            host,
            browser,
            _cockpit: cockpit,
        };
        world.log_in();
        world
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.host.lab
    }

    /// Logs in as an administrator, and opens portero's page.
    fn log_in(&mut self) {
        let browser = &mut self.browser;
        let opened = (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            browser
                .attempt(&serde_json::json!({ "do": "open", "path": "/portero" }))
                .is_ok()
        });
        assert!(opened, "Cockpit does not answer");
        browser.in_shell("fill", "#login-user-input", "admin");
        browser.in_shell("fill", "#login-password-input", "foobar");
        browser.in_shell("click", "#login-button", "");
        browser.sees("portero needs administrative access");
        browser.in_shell("click", "#super-user-indicator button", "");
        browser.in_shell("fill", "#switch-to-admin-access-password, .pf-v5-c-modal-box input[type=password], .pf-c-modal-box input[type=password]", "foobar");
        browser.press("Enter");
        browser.sees("No ports are forwarded.");
    }

    /// The laptop is served at a port of the host.
    pub fn serves(&self, port: u16, answer: &str) {
        self.lab()
            .answers(From::Namespace("laptop"), Proto::Tcp, HOST, port, answer);
    }

    /// It is not.
    pub fn refuses(&self, port: u16) {
        self.lab()
            .refuses(From::Namespace("laptop"), Proto::Tcp, HOST, port);
    }

    /// What helps to understand a failure.
    pub fn explain(&self) {
        self.host.explain();
    }
}

/// The project's folder.
pub fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().expect("the project's folder")
}
