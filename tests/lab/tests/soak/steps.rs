//! One step after the other, whatever chance says.

use crate::act::{perform, save, Act, Done, Harm};
use crate::world::World;
use portero_lab::Event;
use std::path::Path;
use std::process::{Command, Stdio};

impl World {
    /// Anything; gives what it was.
    pub fn step(&mut self) -> &'static str {
        self.counts.events += 1;
        let guest = self.rng.usize(..self.guests.len());
        match self.rng.u8(..100) {
            0..45 => self.toggle(guest, None),
            45..55 => self.two_at_once(guest),
            55..63 => self.change_live(guest),
            63..67 => self.plug(guest, None),
            67..71 => self.tell_again(guest),
            71..74 => self.poach(guest),
            74..77 => self.toggle_network(None),
            77..82 => self.update_network(),
            82..84 => self.start_daemon(),
            84..86 => self.sync(),
            86..95 => self.kill(guest),
            95..96 => self.forget(guest),
            _ => self.flush(),
        }
    }

    /// Does something, none of which may fail.
    pub fn does(&mut self, acts: &[Act]) {
        let done = perform(acts, None);
        assert_eq!(done.failed, None, "a hook failed: {acts:?}");
        self.counts.hooks.add(&done);
    }

    /// Compares everything and mends what differs.
    pub fn sync(&mut self) -> &'static str {
        self.lab.must("portero", &["sync"]);
        "portero sync"
    }

    /// A daemon starts.
    pub fn start_daemon(&mut self) -> &'static str {
        self.does(&[Act::Hook(Event::daemon_start())]);
        "the start of a daemon"
    }

    /// A guest that is off is started, one that runs is stopped.
    pub fn toggle(&mut self, guest: usize, harm: Option<(usize, Harm)>) -> &'static str {
        if self.guests[guest].is_running {
            let acts = self.stopping(guest);
            let done = perform(&acts, harm);
            assert!(done.failed.is_none() || harm.is_some(), "{acts:?}");
            self.counts.hooks.add(&done);
            // libvirt goes on whatever a hook says.
            if done.failed.is_some() {
                self.stop_after(guest, done.hooks as usize);
            }
            "the stop of a guest"
        } else {
            let acts = self.starting(guest);
            let done = perform(&acts, harm);
            assert!(
                done.failed.is_none() || harm.is_some(),
                "{:?}: {acts:?}",
                done.failed
            );
            self.counts.hooks.add(&done);
            if done.failed.is_some() {
                self.stop_after(guest, 0);
                return "the start of a guest that failed";
            }
            "the start of a guest"
        }
    }

    /// What a guest's start is; from now on it counts as running.
    pub fn starting(&mut self, guest: usize) -> Vec<Act> {
        let network = self.guests[guest].network;
        if !self.networks[network].is_active {
            self.start_network(network);
        }
        let process = Command::new("sleep")
            .arg("infinity")
            .stdin(Stdio::null())
            .spawn();
        let process = process.expect("a process");
        let id = process.id();
        self.processes.insert(guest, process);
        let starting = &mut self.guests[guest];
        starting.change(&mut self.rng);
        (starting.is_running, starting.is_plugged) = (true, true);
        let (guest, network) = (&self.guests[guest], &self.networks[network]);
        vec![
            Act::Hook(guest.event(network, "prepare")),
            Act::Hook(guest.port_event(network, "port-created")),
            Act::Hook(guest.event(network, "start")),
            Act::Save(guest.status(network, id)),
            Act::Hook(guest.event(network, "started")),
        ]
    }

    /// What a guest's stop is, its process being gone already; from now on it counts as off.
    pub fn stopping(&mut self, guest: usize) -> Vec<Act> {
        if let Some(mut process) = self.processes.remove(&guest) {
            let _ = process.kill();
            process.wait().expect("a process");
        }
        self.guests[guest].is_running = false;
        let (guest, network) = (
            &self.guests[guest],
            &self.networks[self.guests[guest].network],
        );
        let (status, _) = guest.status(network, 0);
        let mut acts = vec![
            Act::Hook(guest.event(network, "stopped")),
            Act::Hook(guest.port_event(network, "port-deleted")),
        ];
        if Path::new(&status).exists() {
            acts.push(Act::Forget(status));
        }
        acts.push(Act::Hook(guest.event(network, "release")));
        if !guest.is_plugged {
            acts.remove(1);
        }
        acts
    }

    /// What is left of a stop after so many of its hooks.
    fn stop_after(&mut self, guest: usize, hooks: usize) {
        let mut left = hooks;
        let mut acts = self.stopping(guest);
        acts.retain(|act| match act {
            Act::Hook(_) if left > 0 => {
                left -= 1;
                false
            }
            _ => true,
        });
        self.does(&acts);
    }

    /// Two at the same time: guests, or a guest and somebody else.
    fn two_at_once(&mut self, guest: usize) -> &'static str {
        let first = self.toggling(guest);
        let second = match self.rng.u8(..4) {
            0 => vec![Act::Hook(Event::daemon_start())],
            1 => match self.active_network() {
                Some(network) => vec![Act::Hook(self.networks[network].event("updated"))],
                None => Vec::new(),
            },
            _ => {
                let others = self.guests.len() - 1;
                let other = (guest + 1 + self.rng.usize(..others)) % self.guests.len();
                self.toggling(other)
            }
        };
        let both = std::thread::scope(|scope| {
            let both = [&first, &second].map(|acts| scope.spawn(|| perform(acts, None)));
            both.map(|thread| thread.join().expect("hooks"))
        });
        for (done, acts) in both.iter().zip([&first, &second]) {
            assert_eq!(done.failed, None, "{acts:?}");
            self.counts.hooks.add(done);
        }
        "two at once"
    }

    fn toggling(&mut self, guest: usize) -> Vec<Act> {
        match self.guests[guest].is_running {
            true => self.stopping(guest),
            false => self.starting(guest),
        }
    }

    fn active_network(&mut self) -> Option<usize> {
        let active = self.networks.iter().enumerate();
        let active = active.filter(|(_, network)| network.is_active);
        let active: Vec<usize> = active.map(|(number, _)| number).collect();
        self.rng.choice(active)
    }

    /// The next guest that runs and asks for something.
    pub fn running(&self, guest: usize) -> Option<usize> {
        let numbers = (guest..self.guests.len()).chain(0..guest);
        let mut numbers = numbers.filter(|number| self.guests[*number].has_record());
        numbers.next()
    }

    fn save_status(&self, guest: usize) {
        let process = self.processes[&guest].id();
        let guest = &self.guests[guest];
        let (path, text) = guest.status(&self.networks[guest.network], process);
        save(&path, &text);
    }

    /// A running guest's metadata changes.
    fn change_live(&mut self, guest: usize) -> &'static str {
        let Some(guest) = self.running(guest) else {
            return "nothing";
        };
        self.guests[guest].change(&mut self.rng);
        self.save_status(guest);
        let what = "a change of live metadata";
        match &self.watch {
            Some(_) => self.watch_mends(what),
            None => drop(self.sync()),
        }
        what
    }

    /// A running guest's interface is unplugged, or plugged in again.
    pub fn plug(&mut self, guest: usize, harm: Option<Harm>) -> &'static str {
        let Some(number) = self.running(guest) else {
            return "nothing";
        };
        let guest = &mut self.guests[number];
        guest.is_plugged = !guest.is_plugged;
        let operation = match guest.is_plugged {
            true => "port-created",
            false => "port-deleted",
        };
        let network = guest.network;
        if !self.networks[network].is_active {
            self.start_network(network);
        }
        let event = self.guests[number].port_event(&self.networks[network], operation);
        let done = perform(&[Act::Hook(event)], harm.map(|harm| (0, harm)));
        assert!(done.failed.is_none() || harm.is_some(), "{done:?}");
        self.counts.hooks.add(&done);
        // What is not plugged in is what libvirt refuses then; it goes on with what it unplugs.
        self.guests[number].is_plugged &= done.failed.is_none();
        self.save_status(number);
        if harm.is_some() {
            // No hook tells of it again. What was refused has changed nothing that could be waited for.
            match (&self.watch, operation) {
                (Some(_), "port-deleted") => self.watch_mends(operation),
                _ => drop(self.sync()),
            }
        }
        operation
    }

    /// What is so already is told again, and what portero has no part in.
    fn tell_again(&mut self, guest: usize) -> &'static str {
        let Some(guest) = self.running(guest) else {
            return "nothing";
        };
        let operation = ["reconnect", "started", "migrate", "restore"][self.rng.usize(..4)];
        let guest = &self.guests[guest];
        let event = guest.event(&self.networks[guest.network], operation);
        self.does(&[Act::Hook(event)]);
        operation
    }

    /// A guest that asks for another's ports is refused.
    fn poach(&mut self, guest: usize) -> &'static str {
        let off = (0..self.guests.len()).find(|number| !self.guests[*number].is_running);
        let (Some(holder), Some(off)) = (self.running(guest), off) else {
            return "nothing";
        };
        let mut thief = self.guests[off].clone();
        thief.forwards.clone_from(&self.guests[holder].forwards);
        let network = &self.networks[thief.network];
        let done = perform(&[Act::Hook(thief.event(network, "prepare"))], None);
        assert_eq!(done.failed, Some("prepare"), "{}", thief.xml(network));
        let after =
            ["stopped", "release"].map(|operation| Act::Hook(thief.event(network, operation)));
        self.does(&after);
        "a refusal"
    }

    /// The acts of a network's start; from now on it counts as active.
    fn starting_network(&mut self, network: usize) -> [Act; 3] {
        self.networks[network].is_active = true;
        let network = &self.networks[network];
        [
            Act::Hook(network.event("start")),
            Act::Save(network.status()),
            Act::Hook(network.event("started")),
        ]
    }

    fn start_network(&mut self, network: usize) {
        self.networks[network].change(&mut self.rng);
        let acts = self.starting_network(network);
        self.does(&acts);
    }

    /// A network is started, or stopped under its guests. What is killed is tried again.
    pub fn toggle_network(&mut self, harm: Option<(usize, Harm)>) -> &'static str {
        let number = self.rng.usize(..self.networks.len());
        let is_active = self.networks[number].is_active;
        let acts = if is_active {
            self.networks[number].is_active = false;
            let network = &self.networks[number];
            vec![
                Act::Forget(network.status().0),
                Act::Hook(network.event("stopped")),
            ]
        } else {
            self.networks[number].change(&mut self.rng);
            self.starting_network(number).into()
        };
        let done: Done = perform(&acts, harm.map(|(at, harm)| (at % (acts.len() - 1), harm)));
        assert!(
            done.failed.is_none() || harm.is_some(),
            "{:?}: {acts:?}",
            done.failed
        );
        self.counts.hooks.add(&done);
        match (done.failed, is_active) {
            (None, _) => {}
            // libvirt does not tell again; portero sees that it is gone.
            (Some(_), true) => self.minutes_later(self.networks[number].kept()),
            (Some(_), false) => {
                let status = self.networks[number].status().0;
                let _ = std::fs::remove_file(status);
                let stopped = self.networks[number].event("stopped");
                let again = self.starting_network(number);
                self.does(&[Act::Hook(stopped)]);
                self.does(&again);
            }
        }
        match is_active {
            true => "the stop of a network",
            false => "the start of a network",
        }
    }

    fn update_network(&mut self) -> &'static str {
        let Some(number) = self.active_network() else {
            return "nothing";
        };
        self.networks[number].change(&mut self.rng);
        let network = &self.networks[number];
        let acts = [
            Act::Save(network.status()),
            Act::Hook(network.event("updated")),
        ];
        self.does(&acts);
        "the update of a network"
    }
}
