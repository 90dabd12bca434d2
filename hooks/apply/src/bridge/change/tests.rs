//! How a bridge that is made stays.

use super::*;
use portero_host_bridge::Renderer;

fn record() -> Record {
    Record {
        bridge: "br0".to_owned(),
        nics: vec!["eth0".to_owned()],
        renderer: Renderer::Networkd,
        network_manager: false,
        phase: Phase::Changing,
        boot: boot(),
        until: 0,
        reach: Reach::default(),
        files: Vec::new(),
    }
}

#[test]
fn a_bridge_that_somebody_has_to_confirm_is_not_confirmed_yet() {
    let mut record = record();
    let before = seconds();
    Confirmation::Within(Duration::from_secs(120)).note(&mut record);
    assert_eq!(record.phase, Phase::Applied);
    let time = before + 120..=seconds() + 120;
    assert!(time.contains(&record.until), "{}", record.until);
}

#[test]
fn a_bridge_that_nobody_has_to_confirm_is_confirmed() {
    let mut record = record();
    Confirmation::Verified.note(&mut record);
    assert_eq!(record.phase, Phase::Confirmed);
}
