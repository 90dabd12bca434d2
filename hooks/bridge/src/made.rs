//! What the record says of a bridge that is made, and of one that is confirmed.

use super::Confirmation;
use crate::record::{seconds, BridgeRecord, Phase};

impl BridgeRecord {
    /// The bridge is made: it stays, or waits for whoever confirms it.
    pub(super) fn set_made(&mut self, confirmation: Confirmation) {
        self.phase = match confirmation {
            Confirmation::Within(time) => {
                self.until = seconds() + time.as_secs();
                Phase::Applied
            }
            Confirmation::Verified => Phase::Confirmed,
        };
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use crate::host::HostNoted;
    use crate::reach::Reach;
    use crate::record::{boot, seconds, BridgeRecord, Folder, LockOf, Phase};
    use crate::{made_bridges, Bridges, ChangeError, Confirmation, Stage};
    use portero_host_bridge::Renderer;
    use portero_libvirt::InterfaceName;
    use portero_system::{Log, LogSink, Paths};
    use std::time::Duration;

    fn record() -> BridgeRecord {
        BridgeRecord {
            bridge: "br0".to_owned(),
            nics: vec!["eth0".to_owned()],
            renderer: Renderer::Ifupdown,
            network_manager: false,
            phase: Phase::Changing,
            boot: boot(),
            until: 0,
            reach: Reach::default(),
            host: HostNoted::default(),
            files: Vec::new(),
            noted: Vec::new(),
            was_tried: false,
        }
    }

    #[test]
    fn a_bridge_waits_for_its_confirmation_unless_nobody_gives_one() {
        let begin = seconds();
        let mut waiting = record();
        waiting.set_made(Confirmation::Within(Duration::from_secs(300)));
        assert_eq!(waiting.phase, Phase::Applied);
        let until = begin + 300..=seconds() + 300;
        assert!(until.contains(&waiting.until), "{}", waiting.until);
        let mut verified = record();
        verified.set_made(Confirmation::Verified);
        assert_eq!((verified.phase, verified.until), (Phase::Confirmed, 0));
    }

    #[test]
    fn what_is_neither_confirmed_nor_being_made_waits_for_somebody() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let name: InterfaceName = "br0".parse().expect("a name");
        let folder = Folder::locate(&paths, &name);
        assert_eq!(made_bridges(&paths).expect("bridges"), []);
        let open = |phase| {
            let mut record = record();
            record.set_made(Confirmation::Within(Duration::from_secs(300)));
            record.phase = phase;
            folder.write(&record).expect("a record");
            let mut made = made_bridges(&paths).expect("bridges");
            match made.pop()?.stage {
                Stage::Waiting(left) => Some(Some(left)),
                Stage::HalfDone => Some(None),
                Stage::Confirmed | Stage::Changing => None,
            }
        };
        assert_eq!(open(Phase::Confirmed), None);
        let left = open(Phase::Applied).flatten().expect("a time");
        assert!(left > Duration::from_secs(290), "{left:?}");
        assert_eq!(open(Phase::Changing), Some(None));
        let lock = folder.try_lock(LockOf::Change).expect("a lock");
        assert_eq!(open(Phase::Changing), None, "somebody is at it");
        drop(lock);
    }

    #[test]
    fn only_what_is_applied_is_confirmed() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let name: InterfaceName = "br0".parse().expect("a name");
        let folder = Folder::locate(&paths, &name);
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let mut confirm = |phase| {
            let written = folder.write(&BridgeRecord { phase, ..record() });
            written.expect("a record");
            let confirmed = Bridges::new(&paths, &mut log).confirm(&name);
            let record = folder.read().expect("a record").expect("a record");
            (confirmed, record.phase)
        };
        match confirm(Phase::Applied) {
            (Ok(()), Phase::Confirmed) => {}
            other => panic!("{other:?}"),
        }
        match confirm(Phase::Confirmed) {
            (Ok(()), Phase::Confirmed) => {}
            other => panic!("{other:?}"),
        }
        match confirm(Phase::Changing) {
            (Err(ChangeError::Present { .. }), Phase::Changing) => {}
            other => panic!("{other:?}"),
        }
    }
}
