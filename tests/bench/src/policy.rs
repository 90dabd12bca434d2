//! A network with a policy: its start, against the bare commit of the very same rules, and what its
//! rules cost each packet.

use crate::connections::{enter, make_neighbours, Client};
use crate::cost::Cost;
use crate::hooks::Hooks;
use crate::median::medians;
use crate::process::{run_all, Process};
use crate::recorded::{
    other_policy_network_data, policy_network_data, Guest, NETWORK, OTHER_NETWORK,
};
use crate::table::{Limit, Row};
use crate::worker::{answer, answer_each_request, medians_of, Firewall, Role, Worker};
use crate::world::{self, libvirt_nftables, make_libvirt_nftables, FOLDER};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How many rules are compared.
const FEW: u32 = 10;
const MANY: u32 = 1_000;

/// At most this many times what the bare commit takes.
const START: Limit = Limit {
    ratio: Some(1.25),
    time: None,
};

/// The same beside another network with a policy.
const BESIDE_ANOTHER: Limit = Limit {
    ratio: Some(0.8),
    time: None,
};

/// Where the hooks keep what they know.
const RUN: &str = "/run/portero";

/// On nftables, many may cost a packet at most this many times what few do.
const PACKET: Limit = Limit {
    ratio: Some(1.15),
    time: None,
};

/// How many packets a turn sends, each after the answer to the one before.
const PACKETS: u32 = 3_000;

/// The port that the guest answers on.
const PORT: u16 = 5000;

/// Measures on both firewalls.
///
/// # Errors
/// Those of the processes and workers.
pub fn measure(hooks: &Hooks, programs: &Path, runs: u32) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        rows.push(start(hooks, firewall, runs)?);
    }
    rows.push(start_beside_another(hooks, runs)?);
    for firewall in [Firewall::Nftables, Firewall::Iptables] {
        rows.push(packets(programs, firewall, runs)?);
    }
    Ok(rows)
}

fn file(name: &str, text: &str) -> io::Result<PathBuf> {
    let file = Path::new(FOLDER).join(name);
    std::fs::write(&file, text)?;
    Ok(file)
}

/// The events of a network, by its name and data: `start` and `stopped`.
fn events(hooks: &Hooks, name: &str, data: &Path) -> [Process; 2] {
    ["start", "stopped"].map(|operation| {
        let arguments = [name, operation, "begin", "-"];
        Process::new(hooks.program("network"), arguments).reading(data)
    })
}

/// What `portero plan` wants now, as processes that commit it.
fn planned(hooks: &Hooks) -> io::Result<Vec<Process>> {
    let plan = Process::new(hooks.operator_command(), ["plan"]).output()?;
    let scripts = plan.split("# ");
    let scripts = scripts.filter_map(|script| script.split_once('\n'));
    let processes = scripts.enumerate().map(|(index, (command, text))| {
        let file = file(&format!("policy-{index}"), text)?;
        let mut words = command.split_whitespace();
        let program = words
            .next()
            .ok_or_else(|| io::Error::other("portero plan named no program"))?;
        Ok(Process::new(program, words).reading(&file))
    });
    let processes = processes.collect::<io::Result<Vec<Process>>>()?;
    if processes.is_empty() {
        return Err(io::Error::other("portero plan printed no policy"));
    }
    Ok(processes)
}

/// What a network's start takes, and the bare commit, which `undo` takes back.
fn compared(
    runs: u32,
    [begin, end]: [&Process; 2],
    bare: &[Process],
    undo: impl Fn() -> io::Result<()>,
) -> io::Result<Vec<Cost>> {
    let hook = || {
        let time = begin.run()?;
        end.run()?;
        Ok(time)
    };
    let commit = || {
        let time = run_all(bare)?;
        undo()?;
        Ok(time)
    };
    medians(runs, vec![Box::new(hook), Box::new(commit)])
}

fn start(hooks: &Hooks, firewall: Firewall, runs: u32) -> io::Result<Row> {
    match firewall {
        Firewall::Nftables => make_libvirt_nftables()?,
        // What was used last would be used again.
        Firewall::Iptables => std::fs::remove_file("/run/portero/base")?,
    }
    hooks.daemon_start().run()?;
    let data = file("policy.xml", &policy_network_data(MANY))?;
    let [begin, end] = events(hooks, NETWORK, &data);
    begin.run()?;
    end.run()?;
    begin.run()?;
    // What has been committed, in the form in which it can be committed again.
    let undo: Vec<Process> = match firewall {
        Firewall::Nftables => {
            let text = libvirt_nftables() + "delete table inet portero_policy\n";
            vec![Process::new("nft", ["-f", "-"]).reading(&file("undo-policy", &text)?)]
        }
        Firewall::Iptables => ["iptables", "ip6tables"]
            .into_iter()
            .flat_map(|program| ["-F", "-X"].map(|word| Process::new(program, [word])))
            .collect(),
    };
    run_all(&undo)?;
    let bare = planned(hooks)?;
    hooks.daemon_start().run()?;
    end.run()?;
    let times = compared(runs, [&begin, &end], &bare, || run_all(&undo).map(drop))?;
    if firewall == Firewall::Nftables {
        world::remove_libvirt_nftables()?;
        hooks.daemon_start().run()?;
    }
    let what = format!("{firewall}, {MANY} rules: network start / bare commit");
    Ok(Row::costs(what, times[0], times[1], START))
}

/// The same on nftables while another network has a policy, so that its table stands: of a thousand rules about addresses come
/// two chains, a set, and elements.
fn start_beside_another(hooks: &Hooks, runs: u32) -> io::Result<Row> {
    make_libvirt_nftables()?;
    hooks.daemon_start().run()?;
    let data = file("policy.xml", &policy_network_data(MANY))?;
    let [begin, end] = events(hooks, NETWORK, &data);
    let data = file("other-policy.xml", &other_policy_network_data(FEW))?;
    let [begin_other, end_other] = events(hooks, OTHER_NETWORK, &data);
    begin_other.run()?;
    // What the hooks know while the rules are there: with it, rules that have gone are wanted, and others are known.
    let known = format!("{FOLDER}/known");
    let copy = |from: &str, to: &str| Process::new("cp", ["-aT", from, to]).run().map(drop);
    begin.run()?;
    copy(RUN, &known)?;
    end.run()?;
    copy(&known, RUN)?;
    let bare = planned(hooks)?;
    end.run()?;
    let times = compared(runs, [&begin, &end], &bare, || {
        copy(&known, RUN)?;
        end.run().map(drop)
    })?;
    end_other.run()?;
    world::remove_libvirt_nftables()?;
    hooks.daemon_start().run()?;
    let what = format!("nftables, {MANY} rules beside another: network start / bare nft -f");
    Ok(Row::costs(what, times[0], times[1], BESIDE_ANOTHER))
}

fn packets(programs: &Path, firewall: Firewall, runs: u32) -> io::Result<Row> {
    let workers = [FEW, MANY]
        .map(|rules| Worker::spawn(programs, Role::Packets { firewall, rules }))
        .into_iter()
        .collect::<io::Result<Vec<Worker>>>()?;
    let times = medians_of(runs, workers)?;
    let limit = match firewall {
        Firewall::Nftables => PACKET,
        Firewall::Iptables => Limit::default(),
    };
    let what = format!("{firewall}: a packet and its answer at {MANY} rules / at {FEW}");
    let (many, few) = (times[1] / PACKETS, times[0] / PACKETS);
    Ok(Row::costs(what, many, few, limit))
}

/// The worker: a guest that is a network namespace, on a network whose policy lets the client in by
/// the last of its rules. A turn is the time of all packets.
///
/// # Errors
/// Those of the hooks and of the packets.
pub fn work(hooks: &Hooks, firewall: Firewall, rules: u32) -> io::Result<()> {
    world::set_up()?;
    if firewall == Firewall::Nftables {
        make_libvirt_nftables()?;
    }
    let guest = Guest::alone(1);
    make_neighbours(&guest)?;
    let data = Path::new(FOLDER).join("policy.xml");
    std::fs::write(&data, policy_network_data(rules))?;
    let begin = Instant::now();
    for operation in ["start", "started"] {
        let arguments = [NETWORK, operation, "begin", "-"];
        Process::new(hooks.program("network"), arguments)
            .reading(&data)
            .run()?;
    }
    answer(begin.elapsed())?;
    serve()?;
    let address = SocketAddr::new(guest.address().parse().map_err(io::Error::other)?, PORT);
    let client = Client::new(move || connected(address), exchange)?;
    client.ask(1)?;
    answer_each_request(|| client.ask(PACKETS))
}

/// Answers datagrams in the guest.
fn serve() -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let bound = enter("guest").and_then(|()| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)));
        match bound {
            Ok(socket) => {
                let _ = sender.send(Ok(()));
                let mut buffer = [0; 16];
                while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], peer);
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        }
    });
    receiver.recv().map_err(io::Error::other)?
}

/// A socket outside that is connected to the guest.
fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.connect(address)?;
    Ok(socket)
}

fn exchange(socket: &UdpSocket, count: u32) -> io::Result<Duration> {
    let mut buffer = [0; 16];
    let begin = Instant::now();
    for _ in 0..count {
        socket.send(b"?")?;
        socket.recv(&mut buffer)?;
    }
    Ok(begin.elapsed())
}
