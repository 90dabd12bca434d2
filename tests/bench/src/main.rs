//! Times the hooks on recorded events, each measurement beside what it is measured against.
//!
//! Runs as root in namespaces of its own, where it has the firewall and /run for itself. Exits with
//! 0 whatever the ratios are, with 1 when a command failed.

mod changes;
mod connections;
mod cost;
mod growth;
mod hooks;
mod idle;
mod median;
mod one_by_one;
mod policy;
mod process;
mod recorded;
mod size;
mod start;
mod start_nftables;
mod syslog_receiver;
mod table;
mod worker;
mod world;

use clap::Parser;
use hooks::Hooks;
use start_nftables::Others;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Row;
use worker::{Firewall, Role};

/// Times portero's hooks on recorded events and prints one table.
#[derive(Debug, Parser)]
#[command(name = "portero-bench")]
struct Args {
    /// How often each measurement is taken; the median counts
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The folder with the release programs [default: the one that this program is in]
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// How many other guests stand beside the measured one
    #[arg(long, value_delimiter = ',', default_value = "0,10,100,1000")]
    others: Vec<u32>,
    /// Which measurements, by words of `idle`, `start`, `nftables`, `policy`, `connections`, `compared`, `changes`,
    /// `others`, `one-by-one` and `size` [default: all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Another qemu hook to compare with, instead of one iptables process per rule; its own
    /// configuration has to know the domains guest1 and guest1000
    #[arg(long, value_name = "PATH")]
    hook: Option<PathBuf>,
    /// Be a world for one of the measurements
    #[arg(long, hide = true)]
    worker: Option<Role>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    portero_lab::enter();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portero-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let programs = match &args.programs {
        Some(folder) => folder.canonicalize()?,
        None => folder_of_this_program()?,
    };
    let hooks = Hooks::in_folder(&programs)?;
    match args.worker {
        Some(Role::Others { firewall, number }) => return growth::work(&hooks, firewall, number),
        Some(Role::Command { command, guests }) => return growth::command(&hooks, command, guests),
        Some(Role::Changes { activity }) => return changes::work(&hooks, activity),
        Some(Role::Connections { firewall, forwards }) => {
            return connections::work(&hooks, firewall, forwards)
        }
        Some(Role::Packets { firewall, rules }) => return policy::work(&hooks, firewall, rules),
        None => {}
    }
    world::set_up()?;
    syslog_receiver::install()?;
    let rows = measure(args, &programs, &hooks)?;
    println!("median of {} runs, sides taking turns\n", args.runs);
    print!("{}", table::render(&rows));
    Ok(())
}

fn measure(args: &Args, programs: &Path, hooks: &Hooks) -> io::Result<Vec<Row>> {
    let (runs, other) = (args.runs, args.hook.as_deref());
    let is_wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|one| one == name);
    let mut rows = Vec::new();
    let mut add = |name: &str, measure: &dyn Fn() -> io::Result<Vec<Row>>| {
        if is_wanted(name) {
            rows.extend(measure()?);
        }
        Ok::<_, io::Error>(())
    };
    add("idle", &|| idle::measure(hooks, programs, runs))?;
    add("start", &|| {
        let forwards = [1, 1000].into_iter();
        let rows = forwards.map(|forwards| start::measure(hooks, forwards, runs));
        rows.collect()
    })?;
    for others in [Others::Nobody, Others::OneGuest] {
        add("nftables", &|| {
            let forwards = [1, 1000, 10_000].into_iter();
            let rows = forwards.map(|one| start_nftables::measure(hooks, one, others, runs));
            rows.collect()
        })?;
    }
    add("policy", &|| policy::measure(hooks, programs, runs))?;
    add("connections", &|| connections::measure(programs, runs))?;
    add("compared", &|| growth::measure_commands(programs, runs))?;
    add("changes", &|| Ok(vec![changes::measure(programs, runs)?]))?;
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        add("others", &|| {
            growth::measure(programs, firewall, &args.others, runs)
        })?;
    }
    add("one-by-one", &|| {
        let measure =
            |firewall, forwards, runs| one_by_one::measure(hooks, firewall, forwards, runs, other);
        Ok(vec![
            measure(Firewall::Iptables, 1, runs)?,
            measure(Firewall::Nftables, 1, runs)?,
            measure(Firewall::Iptables, 1000, 1)?,
        ])
    })?;
    add("size", &|| size::measure(hooks))?;
    Ok(rows)
}

fn folder_of_this_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent();
    folder
        .map(Path::to_owned)
        .ok_or_else(|| io::Error::other("this program is in no folder"))
}
