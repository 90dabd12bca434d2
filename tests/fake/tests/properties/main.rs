//! Whatever happens in whatever order, the firewall ends as if the guests and networks that run now
//! were the only ones that ever ran; and when none runs, as it began.

mod kills;
mod world;

use portero_fake::Points;
use proptest::prelude::*;
use world::{Happening, World, GUESTS, KINDS, NETWORKS, POLICIES};

/// More points than two of the longest processes have.
const LONGEST: Points = 100;

fn ordinary() -> impl Strategy<Value = Happening> {
    let policy = 0..POLICIES.len();
    prop_oneof![
        4 => (0..GUESTS, 0..KINDS).prop_map(|(guest, kind)| Happening::Start { guest, kind }),
        2 => (0..GUESTS, 0..=KINDS).prop_map(|(guest, kind)| Happening::Edit { guest, kind }),
        3 => (0..GUESTS).prop_map(|guest| Happening::Stop { guest }),
        3 => (0..NETWORKS, policy.clone()).prop_map(|(network, policy)| Happening::StartNetwork { network, policy }),
        2 => (0..NETWORKS).prop_map(|network| Happening::StopNetwork { network }),
        2 => (0..NETWORKS, policy).prop_map(|(network, policy)| Happening::ChangePolicy { network, policy }),
        1 => Just(Happening::RestartNetwork),
        1 => Just(Happening::RestartDaemon),
        1 => (0..GUESTS).prop_map(|guest| Happening::Reconnect { guest }),
    ]
}

/// What has no state between the old and the new.
fn a_change() -> impl Strategy<Value = Happening> {
    ordinary().prop_filter("a network that is away", |happening| {
        !matches!(happening, Happening::RestartNetwork)
    })
}

fn fails() -> impl Strategy<Value = Happening> {
    (0..4u8, 1..4u8).prop_map(|(first, count)| Happening::FailCommits { first, count })
}

fn any() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => ordinary(),
        1 => Just(Happening::Flush),
        1 => (0..LONGEST).prop_map(|left| Happening::Kill { left }),
        1 => Just(Happening::Sync),
        1 => fails(),
        1 => Just(Happening::UseNftables),
        1 => Just(Happening::UseIptables),
    ]
}

proptest! {
    // A quarter of PROPTEST_CASES.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_leaves_exactly_the_rules_of_what_runs(
        firewall in prop::option::of(prop::bool::ANY),
        happenings in prop::collection::vec(ordinary(), 1..20),
    ) {
        let mut world = World::new();
        match firewall {
            None => {}
            Some(true) => world.machine.use_iptables(),
            Some(false) => world.machine.use_nftables(),
        }
        for happening in happenings {
            world.happens(happening);
            world.check();
        }
    }

    #[test]
    fn after_anything_a_comparison_leaves_exactly_the_rules_of_what_runs(
        happenings in prop::collection::vec(any(), 1..30),
    ) {
        let mut world = World::new();
        for happening in happenings {
            world.happens(happening);
        }
        world.wait();
        prop_assert!(world.is_synced());
        world.check();
        let planned = world.engine(|engine| engine.plan()).expect("nobody is killed");
        prop_assert!(planned.is_ok_and(|scripts| scripts.is_empty()));
        for guest in 0..GUESTS {
            world.happens(Happening::Stop { guest });
        }
        for network in 0..NETWORKS {
            world.happens(Happening::StopNetwork { network });
        }
        prop_assert_eq!(world.rules(), [""; 0]);
        prop_assert!(world.machine.neighbors.is_empty() && world.machine.proxying.is_empty());
    }
    /// iptables has a transaction for each family, nftables one for all.
    #[test]
    fn an_event_whose_commits_fail_leaves_the_old_rules_or_the_new(
        is_nftables in prop::bool::ANY,
        happenings in prop::collection::vec((a_change(), prop::option::of(fails())), 1..10),
    ) {
        let mut world = World::new();
        match is_nftables {
            true => world.machine.use_nftables(),
            false => world.machine.use_iptables(),
        }
        for (happening, fails) in happenings {
            let before = world.rules();
            let mut unharmed = world.fresh();
            unharmed.happens(happening);
            if let Some(fails) = fails {
                world.happens(fails);
            }
            world.happens(happening);
            world.machine.failing = 0..0;
            let after = world.rules();
            // What fails again and again cannot go back either: then it is so for each transaction.
            let is_once = matches!(fails, None | Some(Happening::FailCommits { count: 1, .. }));
            let (new, transactions): (_, &[&str]) = match is_once {
                true => (world.fresh().rules(), &[""]),
                false => (unharmed.rules(), &["IPv4", "IPv6"]),
            };
            for of in transactions {
                let part = |rules: &[String]| -> Vec<String> {
                    let rules = rules.iter().filter(|rule| rule.starts_with(of));
                    rules.cloned().collect()
                };
                let (before, after, new) = (part(&before), part(&after), part(&new));
                prop_assert!(
                    after == before || after == new,
                    "{happening:?} with {fails:?}: {after:#?} is neither {before:#?} nor {new:#?}"
                );
            }
            prop_assert!(world.is_synced());
            world.check();
        }
    }
}
