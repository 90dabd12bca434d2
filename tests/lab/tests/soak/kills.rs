//! Hooks are killed at any moment, and ends that no hook was told of.

use crate::act::{perform, Act, Harm};
use crate::world::World;
use portero_lab::Event;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long portero keeps an object that may still be starting.
const LONGEST_START: Duration = Duration::from_secs(300);

impl World {
    fn harm(&mut self) -> Harm {
        let random = |rng: &mut fastrand::Rng, limit| Duration::from_micros(rng.u64(..limit));
        match self.rng.u8(..3) {
            0 => Harm::AtCall(self.rng.u32(1..60)),
            1 => Harm::After(random(&mut self.rng, 60_000)),
            _ => Harm::Program(random(&mut self.rng, 10_000)),
        }
    }

    /// A hook is killed at any moment; the next event mends what it left.
    pub fn kill(&mut self, guest: usize) -> &'static str {
        let harm = self.harm();
        if self.rng.u8(..5) == 0 {
            let at = self.rng.usize(..2);
            self.toggle_network(Some((at, harm)));
        } else if self.rng.u8(..6) == 0 {
            let done = perform(&[Act::Hook(Event::daemon_start())], Some((0, harm)));
            self.counts.hooks.add(&done);
        } else if self.rng.u8(..6) == 0 {
            self.plug(guest, Some(harm));
        } else {
            let at = self.rng.usize(..4);
            self.toggle(guest, Some((at, harm)));
        }
        match (self.rng.u8(..4), self.running(guest)) {
            (0, _) => self.sync(),
            (1, Some(guest)) => {
                let guest = &self.guests[guest];
                let event = guest.event(&self.networks[guest.network], "started");
                self.does(&[Act::Hook(event)]);
                "a kill, mended by a guest's event"
            }
            _ => self.start_daemon(),
        }
    }

    /// A guest ends without a hook that is not killed: portero sees that it is gone.
    pub fn forget(&mut self, guest: usize) -> &'static str {
        let Some(guest) = self.running(guest) else {
            return "nothing";
        };
        let kept = self.guests[guest].kept();
        let acts = self.stopping(guest);
        for act in acts.iter().filter(|act| !matches!(act, Act::Hook(_))) {
            self.does(std::slice::from_ref(act));
        }
        self.minutes_later(kept);
        // What is told all the same is no news.
        let hooks = acts.into_iter().filter(|act| matches!(act, Act::Hook(_)));
        let hooks: Vec<Act> = hooks.collect();
        self.does(&hooks);
        "an end that no hook was told of"
    }

    /// Lets portero see that an object has been gone for so long that it cannot be starting.
    pub fn minutes_later(&mut self, kept: String) {
        if let Ok(file) = File::options().append(true).open(&kept) {
            let then = SystemTime::now() - LONGEST_START - Duration::from_secs(1);
            file.set_modified(then).expect("a time");
        }
        self.sync();
        assert!(!Path::new(&kept).exists(), "{kept}");
    }
}
