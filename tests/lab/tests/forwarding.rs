//! Port forwarding on a real libvirt with real guests.

use portero_lab::*;
use std::process::ExitCode;

fn main() -> ExitCode {
    enter();
    let start = std::time::Instant::now();
    let mut lab = Lab::boot(&Options {
        portero: Portero::Absent,
        agent: env!("CARGO_BIN_EXE_portero-lab-agent").into(),
    });
    println!("boot {:?}", start.elapsed());
    let scenarios = [Scenario {
        name: "smoke",
        run: smoke,
    }];
    run_scenarios(&mut lab, &scenarios, |lab| {
        println!(
            "{}",
            std::fs::read_to_string("/run/lab/libvirtd.log").unwrap_or_default()
        );
        println!("{}", lab.console("web"));
    })
}

fn smoke(lab: &mut Lab) {
    lab.start_network(&NetworkXml {
        name: "lan",
        mode: "nat",
        number: 50,
        reservations: &[("52:54:00:00:50:10", 10)],
        portero: "",
    });
    lab.define(&DomainXml {
        name: "web",
        nics: &[("lan", "52:54:00:00:50:10")],
        v6: Some((50, 10)),
        portero: "",
    });
    let start = std::time::Instant::now();
    lab.virsh(&["start", "web"]);
    lab.wait_guest("192.168.50.10");
    println!("guest {:?}", start.elapsed());
    lab.answers(From::Host, Proto::Tcp, "192.168.50.10", 80, "web tcp 80");
    lab.answers(From::Host, Proto::Udp, "fd00:50::10", 80, "web udp 80");
    lab.answers(
        From::Guest("192.168.50.10"),
        Proto::Udp,
        OUTSIDE_V4,
        80,
        "outside udp 80",
    );
    println!("{}", lab.console("web"));
}
