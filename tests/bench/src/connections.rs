//! New connections through a forward, from one network namespace by way of the host to another.
//!
//! The forward that is used is the last of all, which a list of rules is slowest to find.

use crate::hooks::Hooks;
use crate::process::Process;
use crate::recorded::{Guest, BRIDGE, BRIDGE_ADDRESS, PREFIX};
use crate::table::{Limit, Row};
use crate::worker::{answer, answer_each_request, medians_of, Firewall, Role, Worker};
use crate::world;
use nix::sched::{setns, CloneFlags};
use nix::sys::socket::{setsockopt, sockopt};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Numbers of forwards that are compared.
const FEW: u32 = 10;
const MANY: u32 = 10_000;

/// On nftables, many may cost at most this many times what few do.
const LIMIT: Limit = Limit {
    ratio: Some(1.1),
    time: None,
};

/// How many connections a turn makes, one after the other.
const CONNECTIONS: u32 = 300;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Measures few and many forwards on both firewalls, in worlds that take turns.
///
/// # Errors
/// Those of the workers.
pub fn measure(programs: &Path, runs: u32) -> io::Result<Vec<Row>> {
    let firewalls = [Firewall::Nftables, Firewall::Iptables];
    let mut workers = Vec::new();
    for firewall in firewalls {
        for forwards in [FEW, MANY] {
            let worker = Worker::spawn(programs, Role::Connections { firewall, forwards })?;
            eprintln!("{forwards} forwards on {firewall} in {:.1?}", worker.took());
            workers.push(worker);
        }
    }
    let times = medians_of(runs, workers)?;
    let mut rows = Vec::new();
    for (firewall, times) in firewalls.into_iter().zip(times.chunks(2)) {
        let rate = |time: Duration| f64::from(CONNECTIONS) / time.as_secs_f64();
        let what = format!(
            "{firewall}: a new connection at {MANY} forwards ({:.0}/s) / at {FEW} ({:.0}/s)",
            rate(times[1].time),
            rate(times[0].time)
        );
        let limit = match firewall {
            Firewall::Nftables => LIMIT,
            Firewall::Iptables => Limit::default(),
        };
        let (many, few) = (times[1] / CONNECTIONS, times[0] / CONNECTIONS);
        rows.push(Row::costs(what, many, few, limit));
    }
    Ok(rows)
}

/// The worker: forwards ports to a guest that is a network namespace, and connects to it from
/// another one. A turn is the time of all its connections.
///
/// # Errors
/// Those of the hooks and of the connections.
pub fn work(hooks: &Hooks, firewall: Firewall, forwards: u32) -> io::Result<()> {
    world::set_up()?;
    if firewall == Firewall::Nftables {
        world::make_libvirt_nftables()?;
    }
    let guest = Guest::alone(forwards);
    make_neighbours(&guest)?;
    let life = hooks.life(&guest, std::slice::from_ref(&guest))?;
    let begin = Instant::now();
    life.begin()?;
    answer(begin.elapsed())?;
    let (host_port, guest_port) = guest.ports().last().ok_or_else(|| other("no ports"))?;
    serve(port(guest_port)?)?;
    let address = SocketAddr::from((HOST, port(host_port)?));
    let client = Client::new(
        move || Ok(address),
        |address, count| connect(*address, count),
    )?;
    client.ask(1)?;
    answer_each_request(|| client.ask(CONNECTIONS))
}

fn other(reason: &str) -> io::Error {
    io::Error::other(reason.to_owned())
}

fn port(number: u32) -> io::Result<u16> {
    u16::try_from(number).map_err(io::Error::other)
}

/// The client outside and the guest, with the host between them.
///
/// # Errors
/// Those of `ip`.
pub fn make_neighbours(guest: &Guest) -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let (host, outside) = (format!("{HOST}/24"), "203.0.113.2/24");
    let inside = format!("{}/{PREFIX}", guest.address());
    let steps: [&[&str]; 14] = [
        &["netns", "add", "client"],
        &["netns", "add", "guest"],
        &[
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "client",
        ],
        &[
            "link", "add", "vnet0", "type", "veth", "peer", "name", "eth0", "netns", "guest",
        ],
        &["addr", "add", &host, "dev", "eth0"],
        &["link", "set", "eth0", "up"],
        &["link", "set", "vnet0", "master", BRIDGE, "up"],
        &["-n", "client", "link", "set", "lo", "up"],
        &["-n", "client", "addr", "add", outside, "dev", "eth0"],
        &["-n", "client", "link", "set", "eth0", "up"],
        &[
            "-n",
            "client",
            "route",
            "add",
            "default",
            "via",
            "203.0.113.1",
        ],
        &["-n", "guest", "addr", "add", &inside, "dev", "eth0"],
        &["-n", "guest", "link", "set", "eth0", "up"],
        &[
            "-n",
            "guest",
            "route",
            "add",
            "default",
            "via",
            BRIDGE_ADDRESS,
        ],
    ];
    for step in steps {
        Process::new("ip", step).run()?;
    }
    Ok(())
}

/// Brings the present thread into a network namespace.
///
/// # Errors
/// The system's.
pub fn enter(name: &str) -> io::Result<()> {
    let namespace = File::open(Path::new("/run/netns").join(name))?;
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

/// Accepts connections in the guest and closes them.
fn serve(port: u16) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let listening =
            enter("guest").and_then(|()| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)));
        match listening {
            Ok(listener) => {
                let _ = sender.send(Ok(()));
                listener.incoming().for_each(drop);
            }
            Err(error) => drop(sender.send(Err(error))),
        }
    });
    receiver.recv().map_err(io::Error::other)?
}

/// A thread outside that does something so many times when it is told to, and says how long it took.
pub struct Client {
    requests: mpsc::Sender<u32>,
    answers: mpsc::Receiver<io::Result<Duration>>,
}

impl Client {
    /// Starts the thread, which first makes what it works with.
    ///
    /// # Errors
    /// When that fails.
    pub fn new<T>(
        prepare: impl FnOnce() -> io::Result<T> + Send + 'static,
        work: impl Fn(&T, u32) -> io::Result<Duration> + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, orders) = mpsc::channel();
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || match enter("client").and_then(|()| prepare()) {
            Ok(with) => {
                let _ = sender.send(Ok(Duration::ZERO));
                for count in orders {
                    let _ = sender.send(work(&with, count));
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        });
        let client = Self { requests, answers };
        client.answer()?;
        Ok(client)
    }

    /// Has it done so many times.
    ///
    /// # Errors
    /// Those of the work.
    pub fn ask(&self, count: u32) -> io::Result<Duration> {
        self.requests.send(count).map_err(io::Error::other)?;
        self.answer()
    }

    fn answer(&self) -> io::Result<Duration> {
        self.answers.recv().map_err(io::Error::other)?
    }
}

fn connect(address: SocketAddr, count: u32) -> io::Result<Duration> {
    let mut time = Duration::ZERO;
    for _ in 0..count {
        let begin = Instant::now();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        time += begin.elapsed();
        // Reset rather than closed, so that no port stays in use.
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&stream, sockopt::Linger, &linger)?;
    }
    Ok(time)
}
