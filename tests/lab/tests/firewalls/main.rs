//! The rules of policies in the real firewalls of a network namespace: the kernel takes them, and
//! what its programs print of them is what portero expects to see, so that a comparison finds
//! nothing to mend.

mod elements;
mod natively;
mod walk;

use natively::is_as_by_nft;
use nix::mount::{mount, MsFlags};
use portero_fake::{example_policies, sample_networks, Policies};
use portero_firewall::nftables::{self, PolicyTable};
use portero_firewall::{iptables, Script, Tool};
use portero_lab::{enter, run_scenarios, take_root, Options, Scenario};
use portero_model::{Family, Ruleset};
use portero_system::{Deadline, Linux, System};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    // What needs files of the project is read while they are there for sure.
    let mut examples = example_policies();
    take_root(&Options::from_environment(agent));
    run_scenarios(&mut examples, SCENARIOS, |_| {})
}

type Examples = Vec<(PathBuf, Policies)>;

const SCENARIOS: &[Scenario<Examples>] = &[
    Scenario {
        name: "nft --check refuses what is no rule (control)",
        run: nft_refuses,
    },
    Scenario {
        name: "nftables takes every policy, shows it as it was written, and lets it go",
        run: nftables_holds,
    },
    Scenario {
        name: "nftables shows random policies as they were written",
        run: nftables_holds_random_ones,
    },
    Scenario {
        name: "nftables has all of a rule's set of thousands, and what touches as one",
        run: natively::large_sets,
    },
    Scenario {
        name: "a network of a map goes without nft, and leaves those that it touches as they are",
        run: natively::intervals_come_and_go,
    },
    Scenario {
        name: "elements come and go without nft, and the kernel tells of tables what nft lists",
        run: elements::come_and_go,
    },
    Scenario {
        name: "a reading that has begun counts only while nobody changes anything",
        run: elements::begun_readings,
    },
    Scenario {
        name:
            "what is said of a packet is what the kernel does, with 200 random rulesets of others",
        run: walk::agrees,
    },
    Scenario {
        name: "iptables-restore --test refuses what is no rule (control)",
        run: iptables_refuses,
    },
    Scenario {
        name: "iptables takes every policy, shows it as it was written, and lets it go",
        run: iptables_holds,
    },
    Scenario {
        name: "iptables shows random policies as they were written",
        run: iptables_holds_random_ones,
    },
    Scenario {
        name: "so does its legacy variant",
        run: legacy_holds,
    },
];

/// How many random choices of networks are tried.
const RANDOM: usize = 60;

/// What libvirt makes of the chains that portero jumps to.
const LIBVIRT_CHAINS: &str = "*filter\n:LIBVIRT_FWI - [0:0]\n:LIBVIRT_FWO - [0:0]\nCOMMIT\n";

/// The same of nftables.
const LIBVIRT_TABLES: &str = "\
    table ip libvirt_network { chain guest_input { }; chain guest_output { }; \
    chain forward { type filter hook forward priority 0; jump guest_input; jump guest_output; }; }\n\
    table ip6 libvirt_network { chain guest_input { }; chain guest_output { }; \
    chain forward { type filter hook forward priority 0; jump guest_input; jump guest_output; }; }\n";

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn commit(script: &Script) {
    if let Err(error) = Linux::default().commit(script, deadline()) {
        panic!("{error}\n{}", script.text());
    }
}

/// Gives a program a text to read, and says whether it likes it.
fn likes(program: &str, arguments: &[&str], text: &str) -> Result<(), String> {
    let file = Path::new("/run/portero-rules");
    std::fs::write(file, text).expect("a file");
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn nft_likes(text: &str) -> Result<(), String> {
    likes("nft", &["--check", "--file"], text)
}

fn restore_likes(script: &Script) -> Result<(), String> {
    let program = script.tool.program();
    likes(program, &["--test", "--noflush"], &script.text())
}

/// An example's rulesets, the network that is in all examples first.
fn sorted(policies: &Policies) -> Vec<Ruleset> {
    let mut rulesets = policies.rulesets();
    rulesets.sort_by_key(|ruleset| ruleset.owner.uuid);
    rulesets
}

fn nft_refuses(_: &mut Examples) {
    nft_likes("flush ruleset\n").expect("nft works");
    nft_likes(LIBVIRT_TABLES).expect("libvirt's tables");
    let wrong = "table inet x { chain y { ip saddr 10.0.0.0/33 drop; }; }\n";
    nft_likes(wrong).expect_err("no such network");
    let jump = "table inet x { chain y { jump z; }; }\n";
    nft_likes(jump).expect_err("no such chain");
}

fn iptables_refuses(_: &mut Examples) {
    for family in Family::ALL {
        let tool = Tool::Restore(family);
        let with =
            |rule: &str| Script::of_text(tool, format!("*filter\n:X - [0:0]\n{rule}COMMIT\n"));
        restore_likes(&with("-A X -j DROP\n")).expect("iptables works");
        restore_likes(&with("-A X -p tcp --dport 70000 -j DROP\n")).expect_err("no such port");
    }
}

fn make_libvirt_tables() {
    commit(&Script::of_text(Tool::Nft, LIBVIRT_TABLES.to_owned()));
}

fn make_libvirt_chains(family: Family) {
    commit(&Script::of_text(
        Tool::Restore(family),
        LIBVIRT_CHAINS.to_owned(),
    ));
}

fn nftables_holds(examples: &mut Examples) {
    make_libvirt_tables();
    let observed = elements::told;
    let empty = observed();
    let change = |old: &Ruleset, new: &Ruleset, libvirt: &[Family], table| {
        let script = nftables::change_owner(old, new, libvirt, table);
        commit(&script.expect("a script"));
    };
    let mut before: Option<Ruleset> = None;
    let (all, mut without_nft) = (examples.len(), 0);
    for (folder, policies) in examples {
        let place = folder.display().to_string();
        let rulesets = sorted(policies);
        let one = &rulesets[0];
        let none = Ruleset::empty(one.owner.clone());
        // The first policy brings the table.
        change(&none, one, &[], PolicyTable::Missing);
        let rest = nftables::reconcile(&observed(), std::slice::from_ref(one)).expect("libvirt's");
        assert!(!rest.text().contains("inet "), "{place}:\n{}", rest.text());
        commit(&nftables::reconcile(&observed(), &[]).expect("a script"));
        assert_eq!(observed(), empty, "{place}");
        // All at once, into nothing and into a table that is broken.
        let script = nftables::reconcile(&empty, &rulesets).expect("a script");
        nft_likes(&script.text()).unwrap_or_else(|error| panic!("{place}: {error}"));
        without_nft += usize::from(is_as_by_nft(&script, &place));
        nft_is_right(&observed(), &rulesets, &place);
        commit(&Script::of_text(
            Tool::Nft,
            "flush chain inet portero_policy forward\n".to_owned(),
        ));
        commit(&nftables::reconcile(&observed(), &rulesets).expect("a script"));
        nft_is_right(&observed(), &rulesets, &place);
        // One goes, comes, and takes the place of another.
        let there = PolicyTable::Standing;
        change(one, &none, &Family::ALL, there);
        assert!(!observed().holds(one), "{place}");
        change(&none, one, &Family::ALL, there);
        nft_is_right(&observed(), &rulesets, &place);
        if let Some(before) = &before {
            change(one, before, &Family::ALL, there);
            assert!(
                observed().holds(before) && !observed().holds(one),
                "{place}"
            );
            change(before, one, &Family::ALL, there);
            nft_is_right(&observed(), &rulesets, &place);
        }
        before = Some(one.clone());
        commit(&nftables::reconcile(&observed(), &[]).expect("a script"));
        assert_eq!(observed(), empty, "{place}");
    }
    assert_eq!(without_nft, all, "nft has to read some policy");
}

fn nftables_holds_random_ones(_: &mut Examples) {
    make_libvirt_tables();
    let observed = elements::told;
    let mut without_nft = 0;
    for all in sample_networks(RANDOM) {
        let rulesets = all.with_policy();
        let nothing = nftables::Observed::without_rules(&Family::ALL);
        if let Some(script) = nftables::reconcile(&nothing, &rulesets) {
            let place = format!("{:#?}", all.xml);
            without_nft += usize::from(is_as_by_nft(&script, &place));
        }
        if let Some(script) = nftables::reconcile(&observed(), &rulesets) {
            commit(&script);
        }
        nft_is_right(&observed(), &rulesets, &format!("{:#?}", all.xml));
    }
    assert_eq!(without_nft, RANDOM, "nft has to read some policy");
}

fn nft_is_right(observed: &nftables::Observed, rulesets: &[Ruleset], place: &str) {
    if let Some(script) = nftables::reconcile(observed, rulesets) {
        panic!("{place}: not as it was written:\n{}", script.text());
    }
    elements::counts(rulesets);
    for ruleset in rulesets {
        assert!(
            observed.holds(ruleset),
            "{place}: {} is not whole",
            ruleset.owner
        );
    }
}

fn iptables_holds(examples: &mut Examples) {
    for family in Family::ALL {
        make_libvirt_chains(family);
        let tool = Tool::Restore(family);
        let observed = || {
            Linux::default()
                .observe_iptables(family, deadline())
                .expect("tables")
        };
        let empty = observed();
        let change = |old: &Ruleset, new: &Ruleset, others: &[Ruleset]| {
            let scripts = iptables::change_owner(old, new, others.iter().cloned(), &Family::ALL);
            let of_family = scripts.iter().filter(|script| script.tool == tool);
            of_family.for_each(commit);
        };
        let mut before: Option<Ruleset> = None;
        for (folder, policies) in examples.iter() {
            let place = folder.display().to_string();
            let rulesets = sorted(policies);
            let (one, others) = rulesets.split_first().expect("a policy");
            let none = Ruleset::empty(one.owner.clone());
            // The first policy brings the base chains, the last takes them.
            change(&none, one, &[]);
            iptables_is_right(family, &observed(), std::slice::from_ref(one), &place);
            change(one, &none, &[]);
            assert_eq!(observed(), empty, "{place}");
            // All at once.
            let script = iptables::reconcile(family, &empty, &rulesets).expect("a script");
            restore_likes(&script).unwrap_or_else(|error| panic!("{place}: {error}"));
            commit(&script);
            iptables_is_right(family, &observed(), &rulesets, &place);
            // One goes, comes, and takes the place of another.
            change(one, &none, others);
            assert!(!observed().holds(family, one), "{place}");
            change(&none, one, others);
            iptables_is_right(family, &observed(), &rulesets, &place);
            if let Some(before) = &before {
                change(one, before, others);
                assert!(observed().holds(family, before), "{place}");
                change(before, one, others);
                iptables_is_right(family, &observed(), &rulesets, &place);
            }
            before = Some(one.clone());
            commit(&iptables::reconcile(family, &observed(), &[]).expect("a script"));
            assert_eq!(observed(), empty, "{place}");
        }
    }
}

fn iptables_holds_random_ones(_: &mut Examples) {
    Family::ALL.into_iter().for_each(make_libvirt_chains);
    for all in sample_networks(RANDOM) {
        let rulesets = all.with_policy();
        for family in Family::ALL {
            let observed = || {
                Linux::default()
                    .observe_iptables(family, deadline())
                    .expect("tables")
            };
            if let Some(script) = iptables::reconcile(family, &observed(), &rulesets) {
                commit(&script);
            }
            iptables_is_right(family, &observed(), &rulesets, &format!("{:#?}", all.xml));
        }
    }
}

/// Puts the legacy variant where the usual one is, and does the same with it.
fn legacy_holds(examples: &mut Examples) {
    let (from, to) = (
        "/usr/sbin/xtables-legacy-multi",
        "/usr/sbin/xtables-nft-multi",
    );
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount");
    let version = Command::new("iptables").arg("--version").output();
    let version = version.expect("iptables").stdout;
    assert!(String::from_utf8_lossy(&version).contains("legacy"));
    iptables_refuses(examples);
    iptables_holds(examples);
    iptables_holds_random_ones(examples);
}

fn iptables_is_right(
    family: Family,
    observed: &iptables::Observed,
    rulesets: &[Ruleset],
    place: &str,
) {
    if let Some(script) = iptables::reconcile(family, observed, rulesets) {
        let chains = &observed.table(iptables::Table::Filter).chains;
        panic!(
            "{place}: not as it was written:\n{}\n{chains:#?}",
            script.text()
        );
    }
    for ruleset in rulesets {
        assert!(
            observed.holds(family, ruleset),
            "{place}: {} is not whole",
            ruleset.owner
        );
    }
}
