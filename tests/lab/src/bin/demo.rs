//! `make demo`: a guest's web server reached from outside, step by step, in a private lab.

use portero_lab::{enter, DomainXml, From, Lab, NetworkXml, Options, Proto, HOST_V4};

/// What stands in the guest's metadata.
const FORWARD: &str =
    "<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>";

fn main() {
    enter();
    let agent = std::env::current_exe()
        .expect("the path of this program")
        .with_file_name("portero-lab-agent");
    println!("A private libvirtd starts, with portero installed as its hooks. Nothing of this");
    println!("machine is touched: everything happens in namespaces that end with the demo.\n");
    let lab = Lab::boot(&Options::from_environment(agent));
    show(&lab, "virsh", &["version", "--daemon"]);
    say("A NAT network as libvirt makes it, with a DHCP reservation for the guest:");
    lab.define_network(&NetworkXml {
        name: "demo",
        mode: "nat",
        number: 50,
        reservations: &[("52:54:00:00:50:10", 10)],
        portero: "",
    });
    show(&lab, "virsh", &["net-start", "demo"]);
    say("A guest. Its metadata says that the host's port 8080 leads to its port 80:");
    println!("  {FORWARD}\n");
    lab.define(&DomainXml {
        name: "web",
        nics: &[("demo", "52:54:00:00:50:10")],
        v6: None,
        portero: FORWARD,
    });
    say("Before it starts, nobody answers on the host's port:");
    curl(&lab, Expect::Nothing);
    show(&lab, "virsh", &["start", "web"]);
    say("The hook has done its work while virsh waited:");
    show(&lab, "portero", &["status"]);
    say("The guest boots (it is emulated, so this takes some seconds) ...");
    lab.answers(From::Outside, Proto::Tcp, HOST_V4, 8080, "web tcp 80");
    say("... and a machine outside asks the host for the guest's page:");
    curl(&lab, Expect::Page);
    say("Who is where, what leads there, and who may reach whom:");
    show(&lab, "portero", &["map"]);
    say("And why the port is reached, hop by hop:");
    let forward = format!("{HOST_V4}:8080");
    show(&lab, "portero", &["explain", &forward]);
    say("When the guest ends, so does its forward:");
    show(&lab, "virsh", &["destroy", "web"]);
    show(&lab, "portero", &["status"]);
    curl(&lab, Expect::Nothing);
    show(&lab, "virsh", &["net-destroy", "demo"]);
    println!("Everything is gone again. Do the same on a host of yours: see README.md.");
}

#[derive(PartialEq, Eq)]
enum Expect {
    Page,
    Nothing,
}

fn say(text: &str) {
    println!("{text}\n");
}

/// Shows a command of the host's administrator and what it says; it has to succeed.
fn show(lab: &Lab, program: &str, arguments: &[&str]) {
    println!("host# {program} {}", arguments.join(" "));
    println!("{}", indented(&lab.must(program, arguments)));
}

fn curl(lab: &Lab, expect: Expect) {
    let url = format!("http://{HOST_V4}:8080/");
    println!("outside$ curl {url}");
    let ran = lab.outside("curl", &["-sS", "--max-time", "3", &url]);
    println!("{}", indented(&format!("{}{}", ran.stdout, ran.stderr)));
    assert_eq!(ran.ok, expect == Expect::Page, "curl of {url}");
}

fn indented(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("  {line}\n")).collect()
}
