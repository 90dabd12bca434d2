//! `portero forward`: adds, removes and lists forwards of a domain by way of libvirt.

mod args;
mod change;
mod document;
mod done;
mod error;
mod everybody;
mod guest;
mod host;
mod list;
mod reserve;
mod set;
mod spec;

use crate::exit::DONE;
use crate::terminal::{note, warning};
pub(crate) use args::ForwardArgs;
use args::{
    Activity, AddArgs, AffectedState, ForwardCommand, ListArgs, RemoveArgs, Reserve, WhichForward,
};
use change::{claims, commit, warn_of_others, ExpectedClaims, MetadataChange};
use done::Done;
pub(crate) use error::Error;
pub(crate) use everybody::of_one;
use everybody::{Form, Where};
use guest::LibvirtGuest;
use host::{Host, HostPlace};
use portero_engine::{ApplyError, Record};
use portero_libvirt::{Domain, MacAddress};
use portero_model::Claim;
use portero_port_forward::Forward;
use portero_system::clean_environment;
pub(crate) use set::{set, SetOptions, Wanted};
pub(crate) use spec::Spec;
use spec::{Excluded, Target};
use std::net::Ipv4Addr;

/// Does what a command says; gives what to print and the exit status. Whoever says to which libvirt
/// to connect later says it better.
pub(crate) fn run(connect: Option<&str>, args: &ForwardArgs) -> Result<(String, u8), Error> {
    let connect = args.connect.as_deref().or(connect);
    if let ForwardCommand::List(list @ ListArgs { domain: None, .. }) = &args.command {
        clean_environment();
        return match connect {
            Some(_) => Err(Error::Option {
                option: "-c",
                with: "the name of a domain",
            }),
            None => Ok((list_everybody(list)?, DONE)),
        };
    }
    let host = Host::connect(connect)?;
    // Only libvirt's own ways to connect need it.
    clean_environment();
    let text = match &args.command {
        ForwardCommand::Add(args) if args.json => add(&host, args)?.json(),
        ForwardCommand::Add(args) => add(&host, args)?.messages(),
        ForwardCommand::Remove(args) if args.json => remove(&host, args)?.json(),
        ForwardCommand::Remove(args) => remove(&host, args)?.messages(),
        ForwardCommand::List(args) => list(&host, args)?,
    };
    Ok((text, DONE))
}

fn list_everybody(args: &ListArgs) -> Result<String, Error> {
    let only = match (args.config, args.live) {
        (true, _) => Some(Where::Config),
        (_, true) => Some(Where::Live),
        _ => None,
    };
    let form = match args.json {
        true => Form::Json,
        false => Form::Table,
    };
    everybody::list(only, form)
}

fn list(host: &Host, args: &ListArgs) -> Result<String, Error> {
    let guest = LibvirtGuest::find(host, args.domain.as_deref().unwrap_or_default())?;
    let target = args.target(guest.activity);
    let forwards = MetadataChange::read(&guest, target)?.forwards(&guest)?;
    Ok(if args.json {
        list::json(&forwards)
    } else {
        list::table(&forwards)
    })
}

fn add(host: &Host, args: &AddArgs) -> Result<Done, Error> {
    let targets: Vec<Target> = args.forward.targets().map(Target::written).collect();
    check_options(&args.forward, &args.exclude, &targets)?;
    let guest = changeable(host, &args.forward.domain)?;
    let mut done = Done::nothing(&guest.name);
    let (mut changes, mut added) = (Vec::new(), Vec::new());
    for state in args.affected.targets(guest.activity) {
        let mut change = MetadataChange::read(&guest, state)?;
        let interface = args.forward.interface_in(&change.domain)?;
        let had = change.forwards(&guest)?;
        let mut is_changed = false;
        for target in &targets {
            let before = (change.document.clone(), change.forwards(&guest)?);
            match *target {
                Target::Ports(spec) => change.document.add(&args.forward, &spec, interface),
                Target::Address(address) => {
                    change
                        .document
                        .add_address(address, &args.forward, &args.exclude, interface);
                }
            }
            let new = new_forwards(&before.1, change.forwards(&guest)?, *target);
            if new
                .iter()
                .all(|new| before.1.iter().any(|old| is_same(old, new)))
            {
                change.document = before.0;
                continue;
            }
            is_changed = true;
            if added.iter().all(|(known, _)| known != target) {
                added.push((*target, new));
            }
        }
        done.note(state, &had, &change.forwards(&guest)?);
        changes.extend(is_changed.then_some(change));
    }
    let is_known = |target: &&Target| added.iter().all(|(new, _)| new != *target);
    let mut text = String::new();
    for target in targets.iter().filter(is_known) {
        text += &format!("{guest} forwards {target} already\n");
    }
    let first = added.first().and_then(|(_, forwards)| forwards.first());
    let (Some(change), Some(forward)) = (changes.first(), first) else {
        return Ok(done.unchanged(text));
    };
    let checked = changes.iter().map(|change| change.check(host, &guest));
    let checked: Vec<Option<ApplyError>> = checked.collect::<Result<_, Error>>()?;
    warn_of_conflicts(&guest, checked.into_iter().flatten());
    let reserve = match args.dry_run {
        true => Some(Reserve::No),
        false => args.reserve,
    };
    let reservation = reserve::decide(host, &guest, &change.domain, forward, reserve)?;
    if args.dry_run {
        let added = added.iter().map(|(target, _)| *target).collect::<Vec<_>>();
        return Ok(done.changed(text + &would(&guest, &changes, "forward", &added)));
    }
    let gained = added.iter().map(|(_, forwards)| claims(host, forwards));
    let gained: Vec<Vec<Claim>> = gained.collect::<Result<_, _>>()?;
    let expected = ExpectedClaims {
        gained: gained.concat(),
        lost: Vec::new(),
    };
    let record = commit(host, &guest, &changes, reservation.as_ref(), &expected)?;
    if let Some(record) = &record {
        warn_of_others(&record.ruleset.owner);
    }
    if let Some(made) = reservation {
        text += &format!("{made}\n");
    }
    let (mut now, mut at_start) = (String::new(), String::new());
    for ((target, _), claims) in added.iter().zip(&gained) {
        now += &match destination(record.as_ref(), claims) {
            Ok(addresses) => format!("{guest} forwards {target} to {addresses}\n"),
            Err(reason) => format!("{guest} does not forward {target} yet: {reason}\n"),
        };
        at_start += &format!("{guest} forwards {target} from its next start on\n");
    }
    text += &outcome(host, &guest, &changes, &now, &at_start);
    if args.affected.is_default() {
        note_its_end(&guest, &added)?;
    }
    Ok(done.changed(text))
}

/// Says of forwards that a running domain was given, and that its configuration does not have, that they end with it.
fn note_its_end(guest: &LibvirtGuest, added: &[(Target, Vec<Forward>)]) -> Result<(), Error> {
    if guest.activity != Activity::Running || !guest.is_persistent() {
        return Ok(());
    }
    let later = MetadataChange::read(guest, AffectedState::Config)?.forwards(guest)?;
    let mut added = added.iter().flat_map(|(_, forwards)| forwards);
    if added.any(|forward| !later.iter().any(|one| is_same(one, forward))) {
        note(format_args!(
            "this ends when {guest} stops; --persistent adds it to its configuration too"
        ));
    }
    Ok(())
}

/// What a change would do.
fn would(
    guest: &LibvirtGuest,
    changes: &[MetadataChange],
    verb: &str,
    targets: &[Target],
) -> String {
    let mut text = String::new();
    for change in changes {
        for target in targets {
            let when = when(change.target);
            text += &format!("{guest} would {verb} {target}, {when}\n");
        }
    }
    text
}

/// Refuses options that what is named does not have.
fn check_options(
    forward: &WhichForward,
    excluded: &[Excluded],
    targets: &[Target],
) -> Result<(), Error> {
    let is_address = |target: &Target| matches!(target, Target::Address(_));
    let (option, with) = match forward.option_of_ports() {
        Some(option) if targets.iter().any(is_address) => (option, "ports"),
        _ if !excluded.is_empty() && !targets.iter().all(is_address) => {
            ("--exclude", "an address alone")
        }
        _ => return Ok(()),
    };
    Err(Error::Option { option, with })
}

/// The forwards of what was added last. Those of addresses stand behind all others.
fn new_forwards(before: &[Forward], after: Vec<Forward>, target: Target) -> Vec<Forward> {
    let count = after.len().saturating_sub(before.len());
    let is_whole_address = matches!(target, Target::Address(_));
    let of_its_kind = after.into_iter().rev();
    let of_its_kind = of_its_kind.filter(|one| one.is_whole_address == is_whole_address);
    of_its_kind.take(count).collect()
}

/// Whether two forwards say the same, wherever they stand.
fn is_same(one: &Forward, other: &Forward) -> bool {
    let line = one.line;
    *one == Forward {
        line,
        ..other.clone()
    }
}

fn remove(host: &Host, args: &RemoveArgs) -> Result<Done, Error> {
    let guest = changeable(host, &args.forward.domain)?;
    let (mut changes, mut expected) = (Vec::new(), ExpectedClaims::default());
    let mut done = Done::nothing(&guest.name);
    let states = args.affected.targets(guest.activity);
    let targets: Vec<Target> = match args.all {
        true => all_targets(&guest, &states)?,
        false => args.forward.targets().collect(),
    };
    if targets.is_empty() {
        for state in states {
            done.note(state, &[], &[]);
        }
        return Ok(done.unchanged(format!("{guest} forwards nothing\n")));
    }
    check_options(&args.forward, &[], &targets)?;
    if args.all {
        return remove_all(host, args, &guest, &targets);
    }
    let mut missing = targets.clone();
    for state in &states {
        let mut change = MetadataChange::read(&guest, *state)?;
        let had = change.forwards(&guest)?;
        let mut lost = Vec::new();
        for target in &targets {
            let cut = match *target {
                Target::Ports(spec) => cut(&guest, &mut change, &args.forward, &spec)?,
                Target::Address(address) => cut_address(&guest, &mut change, address)?,
            };
            if !cut.is_empty() {
                missing.retain(|one| one != target);
                lost.extend(claims(host, &cut)?);
            }
        }
        done.note(*state, &had, &change.forwards(&guest)?);
        if !lost.is_empty() {
            expected.lost = lost;
            changes.push(change);
        }
    }
    let place = match states.as_slice() {
        [state] => when(*state),
        _ => "now or from its next start on",
    };
    if let (Some(target), false) = (missing.first(), args.ignore_missing) {
        return Err(Error::NotThere {
            domain: guest.name.escape_debug().to_string(),
            target: *target,
            place,
        });
    }
    let not_there = missing.iter();
    let not_there = not_there.map(|target| format!("{guest} does not forward {target} {place}\n"));
    let text = not_there.collect();
    let targets: Vec<Target> = (targets.into_iter())
        .filter(|target| !missing.contains(target))
        .collect();
    if changes.is_empty() {
        return Ok(done.unchanged(text));
    }
    let removed = finish_removal(host, args, &guest, &changes, (&targets, &expected))?;
    Ok(done.changed(text + &removed))
}

/// Makes the changes of a removal, and says what came of them.
fn finish_removal(
    host: &Host,
    args: &RemoveArgs,
    guest: &LibvirtGuest,
    changes: &[MetadataChange],
    (targets, expected): (&[Target], &ExpectedClaims),
) -> Result<String, Error> {
    if args.dry_run {
        return Ok(would(guest, changes, "no longer forward", targets));
    }
    commit(host, guest, changes, None, expected)?;
    let (mut now, mut at_start) = (String::new(), String::new());
    for target in targets {
        now += &format!("{guest} no longer forwards {target}\n");
        at_start += &format!("{guest} forwards {target} from its next start on no more\n");
    }
    Ok(outcome(host, guest, changes, &now, &at_start))
}

/// Everything that a domain's metadata forwards in these states, each once.
fn all_targets(guest: &LibvirtGuest, states: &[AffectedState]) -> Result<Vec<Target>, Error> {
    let mut targets = Vec::new();
    for state in states {
        for forward in MetadataChange::read(guest, *state)?.forwards(guest)? {
            let of = match (forward.is_whole_address, forward.address) {
                (true, Some(std::net::IpAddr::V4(address))) => vec![Target::Address(address)],
                _ => {
                    let mappings = forward.mappings.iter();
                    let specs = mappings.map(|mapping| Spec::of(&forward, *mapping));
                    specs.map(Target::Ports).collect()
                }
            };
            for target in of {
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
    }
    Ok(targets)
}

/// Takes everything out of the metadata that it forwards.
fn remove_all(
    host: &Host,
    args: &RemoveArgs,
    guest: &LibvirtGuest,
    targets: &[Target],
) -> Result<Done, Error> {
    let (mut changes, mut expected) = (Vec::new(), ExpectedClaims::default());
    let mut done = Done::nothing(&guest.name);
    for state in args.affected.targets(guest.activity) {
        let mut change = MetadataChange::read(guest, state)?;
        let forwards = change.forwards(guest)?;
        if forwards.is_empty() {
            done.note(state, &[], &[]);
            continue;
        }
        let ports = forwards.iter().filter(|one| !one.is_whole_address).count();
        for number in (0..ports).rev() {
            change.document.remove(number);
        }
        for target in targets {
            if let Target::Address(address) = target {
                change.document.remove_address(*address);
            }
        }
        expected.lost = claims(host, &forwards)?;
        done.note(state, &forwards, &change.forwards(guest)?);
        changes.push(change);
    }
    let text = finish_removal(host, args, guest, &changes, (targets, &expected))?;
    Ok(done.changed(text))
}

/// Takes an address out, all of which leads to the guest, and gives what it came to; nothing where it does not.
fn cut_address(
    guest: &LibvirtGuest,
    change: &mut MetadataChange,
    address: Ipv4Addr,
) -> Result<Vec<Forward>, Error> {
    let mut forwards = change.forwards(guest)?;
    forwards.retain(|one| one.is_whole_address && one.address == Some(address.into()));
    change.document.remove_address(address);
    Ok(forwards)
}

/// Takes ports out of the one forward that has them, and gives it with these ports alone; nothing where there is none.
fn cut(
    guest: &LibvirtGuest,
    change: &mut MetadataChange,
    which: &WhichForward,
    spec: &Spec,
) -> Result<Vec<Forward>, Error> {
    let forwards = change.forwards(guest)?;
    let interfaces = which.interfaces(&change.domain);
    let found = forwards.iter().enumerate();
    let mut found = found.filter(|(_, forward)| which.holds(spec, forward, interfaces.as_deref()));
    let Some((number, forward)) = found.next() else {
        return Ok(Vec::new());
    };
    let count = 1 + found.count();
    if count > 1 {
        return Err(Error::Several {
            domain: guest.name.escape_debug().to_string(),
            target: Target::Ports(*spec),
            count,
        });
    }
    let mut mappings = forward.mappings.iter();
    if mappings.any(|mapping| !mapping.host.without(spec.host).is_empty()) {
        change.document.cut(number, spec.host);
    } else {
        change.document.remove(number);
    }
    Ok(vec![Forward {
        mappings: vec![spec.mapping()],
        ..forward.clone()
    }])
}

fn warn_of_conflicts(guest: &LibvirtGuest, conflicts: impl IntoIterator<Item = ApplyError>) {
    for conflict in conflicts {
        warning(format_args!(
            "{conflict}; {guest} cannot start while that is so"
        ));
    }
}

/// A state of a domain in words.
fn when(target: AffectedState) -> &'static str {
    match target {
        AffectedState::Live => "now",
        AffectedState::Config => "from its next start on",
    }
}

/// A domain that can be changed by whoever runs this.
fn changeable(host: &Host, domain: &str) -> Result<LibvirtGuest, Error> {
    if host.place == HostPlace::Here && !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    LibvirtGuest::find(host, domain)
}

/// What to say of each state that was changed: `now` of the running domain of this host.
fn outcome(
    host: &Host,
    guest: &LibvirtGuest,
    changes: &[MetadataChange],
    now: &str,
    at_start: &str,
) -> String {
    let mut text = String::new();
    for change in changes {
        match (&host.place, change.target) {
            (_, AffectedState::Config) => text += at_start,
            (HostPlace::Here, AffectedState::Live) => text += now,
            (HostPlace::Elsewhere { uri }, AffectedState::Live) => {
                warning(format_args!(
                    "nothing was checked against ports that are in use there, and this host's firewall \
                     is not concerned: at {uri} portero-watch applies it"
                ));
                text += &format!("the metadata of {guest} is written\n");
            }
        }
    }
    text
}

/// The guest's addresses that claims lead to, or why there is none yet.
fn destination(record: Option<&Record>, claims: &[Claim]) -> Result<String, String> {
    let mut addresses: Vec<String> = Vec::new();
    for dnat in record.iter().flat_map(|record| record.ruleset.dnats()) {
        let is_meant = claims.iter().any(|claim| {
            (claim.protocol, claim.ports) == (dnat.protocol, dnat.ports)
                && (claim.address, claim.source) == (dnat.address, dnat.source)
                && claim.dev == dnat.dev
        });
        let guest = dnat.guest.to_string();
        if is_meant && !addresses.contains(&guest) {
            addresses.push(guest);
        }
    }
    if !addresses.is_empty() {
        return Ok(addresses.join(" and "));
    }
    let mut pending = record.iter().flat_map(|record| &record.pending);
    let waits = pending.find(|waiting| waiting.claims.iter().any(|claim| claims.contains(claim)));
    Err(waits.map_or(String::new(), |waiting| waiting.reason.clone()))
}

impl WhichForward {
    /// The interfaces of a domain that can be meant; any when no network is named.
    fn interfaces(&self, domain: &Domain) -> Option<Vec<MacAddress>> {
        let network = self.network.as_deref()?;
        let nics = domain.nics.iter();
        let nics = nics.filter(|nic| nic.network.as_deref() == Some(network));
        Some(nics.map(|nic| nic.mac).collect())
    }

    /// The interface of a domain that is named in what is added; none when no network is named.
    fn interface_in(&self, domain: &Domain) -> Result<Option<MacAddress>, Error> {
        match (self.interfaces(domain).as_deref(), &self.network) {
            (Some([mac]), _) => Ok(Some(*mac)),
            (Some(several), Some(network)) => Err(Error::Interfaces {
                domain: domain.name.as_str().escape_debug().to_string(),
                network: network.escape_debug().to_string(),
                count: several.len(),
            }),
            _ => Ok(None),
        }
    }

    /// Whether a forward has these ports among its own and says the same of whatever is asked for.
    fn holds(&self, spec: &Spec, forward: &Forward, interfaces: Option<&[MacAddress]>) -> bool {
        let Spec {
            address,
            host,
            guest,
            protocol,
        } = *spec;
        let agrees = |wanted: bool, same: bool| !wanted || same;
        !forward.is_whole_address
            && (protocol, address) == (forward.protocol, forward.address)
            && agrees(
                !self.sources.is_empty(),
                self.written_sources() == (forward.source, forward.sources.as_slice()),
            )
            && agrees(self.dev.is_some(), self.dev == forward.dev)
            && agrees(self.guest.is_some(), self.guest == forward.guest)
            && agrees(self.masquerade, forward.masquerade)
            && agrees(self.symmetric, forward.symmetric == Some(true))
            && interfaces
                .is_none_or(|macs| forward.interface.is_some_and(|mac| macs.contains(&mac)))
            && forward.mappings.iter().any(|held| {
                let offset = host.start().checked_sub(held.host.start());
                let first = offset.and_then(|offset| held.guest.start().checked_add(offset));
                host.end() <= held.host.end()
                    && first.is_some_and(|first| guest.is_none_or(|guest| first == guest.start()))
            })
    }
}
