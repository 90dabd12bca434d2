//! What a local user plants where the administrator's files are, or those that are written as root.

use crate::local::{control, nobody, set_mode, start, stop};
use crate::world::{World, MALLORY, SETTINGS};
use portero_lab::Scenario;
use std::fs;
use std::os::unix::fs::symlink;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "local user: /etc/portero",
        run: configuration,
    },
    Scenario {
        name: "local user: records of bridges",
        run: bridges,
    },
];

const CONFIG: &str = "/etc/portero";

fn configuration(world: &mut World) {
    let before = world.rules();
    let file = "/etc/portero/domains/mallory.xml";
    let xml =
        "<domain xmlns='urn:portero:1'><portForward proto='tcp'><range start='8091' to='80'/>\
               </portForward></domain>";
    let mut attacks = 0;
    let mut refused = |plant: &dyn Fn(), says: &str, clear: &dyn Fn()| {
        plant();
        start(world).is_refused(says);
        assert_eq!(world.rules(), before, "{says}");
        clear();
        control(world);
        attacks += 1;
    };
    let others = "can be written by others";
    for folder in [CONFIG, "/etc/portero/domains"] {
        for mode in [0o777, 0o1777, 0o775] {
            refused(&|| set_mode(folder, mode), others, &|| {
                set_mode(folder, 0o755)
            });
        }
    }
    let lab = &world.lab;
    let own = |user: &str, path: &str| {
        lab.must("chown", &["-h", user, path]);
    };
    refused(
        &|| own("65534", "/etc/portero/domains"),
        "belongs to user 65534",
        &|| {
            own("0", "/etc/portero/domains");
        },
    );
    let settings = SETTINGS;
    for mode in [0o666, 0o664] {
        refused(&|| set_mode(settings, mode), others, &|| {
            set_mode(settings, 0o644)
        });
    }
    refused(&|| own("65534", settings), "belongs to user 65534", &|| {
        own("0", settings)
    });
    // The limits are taken away by who can write the folder.
    let aside = "/run/lab/files/portero.toml";
    let take = || {
        set_mode(CONFIG, 0o777);
        assert!(nobody(
            world,
            "mv /etc/portero/portero.toml /etc/portero/away"
        ));
    };
    let give = || {
        set_mode(CONFIG, 0o755);
        fs::write(settings, &world.settings).expect("portero.toml");
        set_mode(settings, 0o644);
        let _ = fs::rename("/etc/portero/away", aside);
    };
    refused(&take, others, &give);
    let gone = || fs::remove_file(file).expect("the file");
    let put = |mode: u32| {
        fs::write(file, xml).expect("a file");
        set_mode(file, mode);
    };
    for mode in [0o666, 0o664, 0o646] {
        refused(&|| put(mode), others, &gone);
    }
    let his = "/run/lab/files/his.xml";
    let write_his = || {
        fs::write(his, xml).expect("a file");
        own("65534", his);
    };
    let by_user = "belongs to user 65534";
    refused(
        &|| {
            put(0o644);
            own("65534", file);
        },
        by_user,
        &gone,
    );
    refused(
        &|| {
            write_his();
            symlink(his, file).expect("a link");
        },
        by_user,
        &gone,
    );
    let fifo = || {
        lab.must("mkfifo", &[file]);
    };
    refused(&fifo, "is not a regular file", &gone);
    refused(
        &|| symlink("/dev/zero", file).expect("a link"),
        "is not a regular file",
        &gone,
    );
    let empty = || fs::remove_dir(file).expect("the folder");
    refused(
        &|| fs::create_dir(file).expect("a folder"),
        "is not a regular file",
        &empty,
    );
    refused(
        &|| symlink(file, file).expect("a link"),
        "cannot read",
        &gone,
    );
    // The control of all that: as the administrator writes it.
    put(0o644);
    start(world).works();
    assert!(world.leads_to(MALLORY));
    gone();
    stop(world);
    world.refused += attacks;
    assert_eq!(world.rules(), before);
    world.served();
}

/// A record of a bridge says what is written below /etc when it is taken back, by root.
fn bridges(world: &mut World) {
    let folder = "/var/lib/portero/bridges/br9";
    fs::create_dir_all(folder).expect("a folder");
    set_mode(folder, 0o700);
    let record = format!("{folder}/record.json");
    let back = || {
        let ran = world
            .lab
            .run("portero", &["bridge", "rollback", "--bridge", "br9"]);
        assert!(!ran.ok);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        ran.stderr
    };
    fs::write(&record, "{}").expect("a record");
    set_mode(&record, 0o600);
    // The control: it is read.
    let read = back();
    assert!(read.contains("missing field"), "{read}");
    set_mode(&record, 0o666);
    assert!(back().contains("can be written by others"));
    set_mode(&record, 0o600);
    world.lab.must("chown", &["65534", &record]);
    assert!(back().contains("belongs to user 65534"));
    world.lab.must("chown", &["0", &record]);
    set_mode(folder, 0o777);
    assert!(back().contains("can be written by others"));
    fs::remove_file(&record).expect("the record");
    set_mode(folder, 0o700);
    world.lab.must("mkfifo", &[&record]);
    assert!(back().contains("is not a regular file"));
    fs::remove_dir_all(folder).expect("the folder");
    world.refused += 4;
}
