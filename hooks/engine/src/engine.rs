//! The engine and what it works on. The files beside this one say what it can do: events.rs what libvirt tells,
//! reconcile.rs the comparison of everything, the others what the operator asks for.

use crate::config::{Config, ForwardSettings};
use crate::error::ApplyError;
use crate::lost::Lost;
use crate::state::State;
use portero_model::Owner;
use portero_system::{files, Deadline, Log, Paths, RouteLookup, Severity, System, Uplink};
use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::Duration;

/// How long an event may take when portero.toml does not say or cannot be read.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// Longest time for tracked connections to be forgotten.
const FORGETTING: Duration = Duration::from_secs(10);

/// Handles events on one machine.
pub struct Engine<'a> {
    /// Its folders.
    pub paths: Paths,
    /// What is kept in /run/portero.
    pub state: State,
    /// The machine.
    pub system: &'a mut dyn System,
    pub(crate) log: &'a mut Log,
    /// Those who were found to ask for what they cannot have, and keep what they had.
    pub kept: Vec<Owner>,
    /// What was told to be wrong in portero.toml.
    told_config: Option<String>,
    /// Whether rules were changed.
    pub has_changed: bool,
    /// Whether rules were restored that somebody had taken out of the firewall.
    pub has_restored: bool,
    /// What a comparison has found to be taken out of the firewall and not told yet.
    pub(crate) lost: Option<Lost>,
    /// What portero.toml said of forwards when it was read last: an event completes those of many owners by it.
    forward_settings: OnceCell<ForwardSettings>,
    /// The host's addresses with a routing table, each with its mark, once they were read: they serve all owners of an event.
    pub(crate) uplinks: Option<Vec<(Uplink, u8)>>,
    /// Longest time for the firewall to be read by a comparison: whoever compares for nobody who waits gives up sooner than
    /// who waits for the lock.
    pub reading_limit: Duration,
    /// Who has to own the files in /etc/portero: root.
    pub trusted_user: u32,
}

/// Whether libvirt may still insert its own rules after this event, above ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LibvirtRules {
    /// They stand.
    Standing,
    /// A daemon is about to insert them.
    Coming,
}

impl<'a> Engine<'a> {
    /// An engine for the machine's own folders, or for others in a test.
    #[must_use]
    pub fn new(paths: Paths, system: &'a mut dyn System, log: &'a mut Log) -> Self {
        Self {
            state: State::new(&paths),
            paths,
            system,
            log,
            kept: Vec::new(),
            told_config: None,
            has_changed: false,
            has_restored: false,
            lost: None,
            forward_settings: OnceCell::new(),
            uplinks: None,
            reading_limit: Duration::MAX,
            trusted_user: nix::unistd::geteuid().as_raw(),
        }
    }

    /// Where an address is, seen from the host.
    ///
    /// # Errors
    /// [`ApplyError`] when the routes cannot be read.
    pub fn route_lookup(&mut self, address: IpAddr) -> Result<RouteLookup, ApplyError> {
        let (_, deadline) = self.configure_or_default();
        Ok(self.system.route_lookup(address, deadline)?)
    }

    /// Reads portero.toml and starts the clock.
    ///
    /// # Errors
    /// [`ApplyError::Config`], or when it cannot be read.
    pub fn configure(&mut self) -> Result<(Config, Deadline), ApplyError> {
        self.forward_settings = OnceCell::new();
        self.uplinks = None;
        let config = Config::load(&self.paths, self.trusted_user)?;
        self.forward_settings = OnceCell::from(config.forwards.clone());
        self.log.set_level(config.log_level);
        let deadline = Deadline::after(config.deadline());
        Ok((config, deadline))
    }

    /// What portero.toml says of forwards.
    ///
    /// # Errors
    /// As [`Self::configure`].
    pub(crate) fn forward_settings(&self) -> Result<&ForwardSettings, ApplyError> {
        if let Some(known) = self.forward_settings.get() {
            return Ok(known);
        }
        let read = Config::load(&self.paths, self.trusted_user)?.forwards;
        Ok(self.forward_settings.get_or_init(|| read))
    }

    /// As [`Self::configure`], for events that have to go on without: with the defaults.
    pub fn configure_or_default(&mut self) -> (Config, Deadline) {
        self.configure().unwrap_or_else(|error| {
            // One command reads it several times.
            let text = error.to_string();
            if self.told_config.as_ref() != Some(&text) {
                self.log_error(&error);
                self.told_config = Some(text);
            }
            (Config::default(), Deadline::after(DEFAULT_DEADLINE))
        })
    }
}

impl Engine<'_> {
    /// Forgets the connections that were noted by this process, and by those that were killed before they did. There may be
    /// hundreds of thousands, so that nobody else is to wait for it: no lock is held any more.
    fn forget_noted(&mut self) {
        for (path, process) in self.state.noted_flows() {
            if process != std::process::id() && self.system.has_process(process) {
                continue;
            }
            let flows = self.state.flows(&path);
            // The rules are right; a connection that lingers is no reason to take them back.
            if let Err(error) = self.system.forget(&flows, Deadline::after(FORGETTING)) {
                let message = format!("cannot forget tracked UDP connections: {error}");
                self.log.write(Severity::Warning, message);
            }
            if let Err(error) = files::remove(&path) {
                self.log.write(Severity::Warning, error);
            }
        }
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        // What unwinds in a test was killed.
        if !std::thread::panicking() {
            self.forget_noted();
        }
    }
}
