//! The kinds of events, each with what was before it, what mends it, and what undoes it.

use crate::act::{self, Act};
use crate::rules::Rules;
use crate::world::{difference, Tables, World};
use portero_lab::Ran;

/// A kind of event, from a state to another.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    before: Vec<Act>,
    firewall: Firewall,
    /// The event itself.
    pub act: Act,
    mends: Vec<Act>,
    undo: Vec<Act>,
}

/// What has happened to the firewall before the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Firewall {
    Whole,
    /// Somebody threw portero's rules away.
    Flushed,
}

impl Kind {
    /// All kinds that have an effect.
    pub fn all() -> Vec<Self> {
        use act::{changed_fence, daemon, fence, network_port, qemu, unplugged};
        let port = || network_port(1, "port-created");
        let (prepare, start) = (|| qemu(1, "prepare"), || qemu(1, "start"));
        let (started, release) = (|| qemu(1, "started"), || qemu(1, "release"));
        let guest = || vec![port(), prepare(), start(), started()];
        let gone = || {
            vec![
                qemu(1, "stopped"),
                network_port(1, "port-deleted"),
                release(),
            ]
        };
        let fenced = || vec![fence("start"), fence("started")];
        let unfenced = || vec![fence("stopped")];
        let kind = |name, before, act, mends, undo| Self {
            name,
            before,
            firewall: Firewall::Whole,
            act,
            mends,
            undo,
        };
        let flushed = |kind: Self| Self {
            firewall: Firewall::Flushed,
            ..kind
        };
        vec![
            kind(
                "qemu prepare",
                vec![],
                prepare(),
                vec![port(), start(), started()],
                gone(),
            ),
            kind(
                "qemu start",
                vec![port(), prepare()],
                start(),
                vec![started()],
                gone(),
            ),
            kind(
                "qemu started",
                vec![port(), prepare()],
                started(),
                vec![started()],
                gone(),
            ),
            kind(
                "qemu reconnect",
                guest(),
                qemu(1, "reconnect"),
                vec![started()],
                gone(),
            ),
            kind(
                "qemu stopped",
                guest(),
                qemu(1, "stopped"),
                vec![release()],
                gone(),
            ),
            kind(
                "qemu release",
                vec![port(), prepare(), start()],
                release(),
                vec![release()],
                gone(),
            ),
            kind(
                "network start",
                vec![],
                fence("start"),
                vec![fence("started")],
                unfenced(),
            ),
            kind(
                "network started",
                vec![fence("start")],
                fence("started"),
                vec![fence("started")],
                unfenced(),
            ),
            kind(
                "network updated",
                fenced(),
                changed_fence("updated"),
                vec![changed_fence("updated")],
                unfenced(),
            ),
            kind(
                "network port-created",
                vec![],
                fence("port-created"),
                vec![fence("started")],
                unfenced(),
            ),
            kind(
                "network port-deleted",
                fenced(),
                fence("port-deleted"),
                vec![fence("port-deleted")],
                unfenced(),
            ),
            kind(
                "network port-deleted of a running guest",
                guest(),
                network_port(1, "port-deleted"),
                vec![unplugged(1, "reconnect")],
                gone(),
            ),
            kind(
                "network stopped",
                fenced(),
                fence("stopped"),
                vec![fence("stopped")],
                unfenced(),
            ),
            flushed(kind(
                "daemon start",
                guest(),
                daemon(),
                vec![Act::Sync],
                gone(),
            )),
            flushed(kind(
                "portero sync",
                fenced(),
                Act::Sync,
                vec![Act::Sync],
                unfenced(),
            )),
        ]
    }

    /// Expects what a fault may leave: nothing on stdout; one line and the rules of before where the
    /// event is refused; else the rules of before or after. What somebody else has thrown away does not
    /// come back by going back.
    pub fn expects(&self, rules: &Rules, now: &Tables, ran: &Ran, what: &str) {
        let what = format!("{what}: {ran:?}");
        assert_eq!(ran.stdout, "", "{what}");
        match (self.firewall, ran.ok) {
            (Firewall::Flushed, _) => rules.are_made_or_not(now, &what),
            (Firewall::Whole, true) => rules.are_whole(now, &what),
            (Firewall::Whole, false) => assert_eq!(now, &rules.old, "{what}"),
        }
        if !ran.ok {
            assert!(self.act.may_fail(), "{what}");
            let lines = ran.stderr.lines().count();
            assert!(lines == 1 || matches!(self.act, Act::Sync), "{what}");
        }
    }

    /// Expects that what comes next makes all well, and that it can be undone.
    pub fn is_mended(&self, world: &World, rules: &Rules, what: &str) {
        self.mend();
        let now = world.tables();
        let differs = difference(&now, &rules.mended);
        assert!(
            differs.is_empty(),
            "{what}, then what mends it\n{differs:#?}"
        );
        world.lab.is_in_order();
        self.undo();
    }

    /// Lets everything happen that comes before the event.
    pub fn prepare(&self, world: &World) {
        for act in &self.before {
            assert!(act.run(), "{act:?} before {}", self.name);
        }
        if self.firewall == Firewall::Flushed {
            world.flush();
        }
    }

    /// The event, as it is without a fault.
    pub fn rules(&self, world: &World) -> Rules {
        self.prepare(world);
        let old = world.tables();
        assert!(self.act.run(), "{}", self.name);
        let new = world.tables();
        self.mend();
        let mended = world.tables();
        self.undo();
        Rules { old, new, mended }
    }

    /// Lets the events come that mend it.
    fn mend(&self) {
        for act in &self.mends {
            assert!(act.run(), "{act:?} after {}", self.name);
        }
    }

    /// Takes away what was there for the event.
    pub fn undo(&self) {
        let forget = act::forget_network();
        for act in self.undo.iter().chain([&forget]) {
            assert!(act.run(), "{act:?} to undo {}", self.name);
        }
    }
}
