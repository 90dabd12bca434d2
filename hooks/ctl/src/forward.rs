//! `portero forward`: adds, removes and lists forwards of a domain by way of libvirt.

mod args;
mod change;
mod document;
mod error;
mod guest;
mod host;
mod list;
mod reserve;
mod set;
mod spec;

use crate::exit::DONE;
use crate::terminal::warning;
pub(crate) use args::ForwardArgs;
use args::{AddArgs, AffectedState, ForwardCommand, ListArgs, RemoveArgs, WhichForward};
use change::{claims, commit, warn_of_others, ExpectedClaims, MetadataChange};
pub(crate) use error::Error;
use guest::LibvirtGuest;
use host::{Host, HostPlace};
use portero_engine::{ApplyError, Record};
use portero_libvirt::{Domain, MacAddress};
use portero_model::Claim;
use portero_port_forward::Forward;
use portero_system::clean_environment;
pub(crate) use set::{set, SetOptions, Wanted};
pub(crate) use spec::Spec;

/// Does what a command says; gives what to print and the exit status. Whoever says to which libvirt
/// to connect later says it better.
pub(crate) fn run(connect: Option<&str>, args: &ForwardArgs) -> Result<(String, u8), Error> {
    let host = Host::connect(args.connect.as_deref().or(connect))?;
    // Only libvirt's own ways to connect need it.
    clean_environment();
    let text = match &args.command {
        ForwardCommand::Add(args) => add(&host, args)?,
        ForwardCommand::Remove(args) => remove(&host, args)?,
        ForwardCommand::List(args) => list(&host, args)?,
    };
    Ok((text, DONE))
}

fn list(host: &Host, args: &ListArgs) -> Result<String, Error> {
    let guest = LibvirtGuest::find(host, &args.domain)?;
    let target = args.target(guest.activity);
    let forwards = MetadataChange::read(&guest, target)?.forwards(&guest)?;
    Ok(if args.json {
        list::json(&forwards)
    } else {
        list::table(&forwards)
    })
}

fn add(host: &Host, args: &AddArgs) -> Result<String, Error> {
    let guest = changeable(host, &args.forward.domain)?;
    let specs: Vec<Spec> = args.forward.specs().map(|spec| spec.written()).collect();
    let (mut changes, mut added) = (Vec::new(), Vec::new());
    for target in args.affected.targets(guest.activity) {
        let mut change = MetadataChange::read(&guest, target)?;
        let interface = args.forward.interface_in(&change.domain)?;
        let mut is_changed = false;
        for spec in &specs {
            let is_there = |forward: &Forward| args.forward.equals(spec, forward, interface);
            if change.forwards(&guest)?.iter().any(is_there) {
                continue;
            }
            change.document.add(&args.forward, spec, interface);
            is_changed = true;
            // It stands behind all others.
            let forwards = change.forwards(&guest)?.into_iter();
            let forward = forwards.rev().find(|forward| !forward.is_whole_address);
            if added.iter().all(|(known, _)| known != spec) {
                added.extend(forward.map(|forward| (*spec, forward)));
            }
        }
        changes.extend(is_changed.then_some(change));
    }
    let is_known = |spec: &&Spec| added.iter().all(|(new, _)| new != *spec);
    let mut text = String::new();
    for spec in specs.iter().filter(is_known) {
        text += &format!("{guest} forwards {spec} already\n");
    }
    let (Some(change), Some((_, forward))) = (changes.first(), added.first()) else {
        return Ok(text);
    };
    let checked = changes.iter().map(|change| change.check(host, &guest));
    let checked: Vec<Option<ApplyError>> = checked.collect::<Result<_, Error>>()?;
    warn_of_conflicts(&guest, checked.into_iter().flatten());
    let reservation = reserve::decide(host, &guest, &change.domain, forward, args.reserve)?;
    let claims_of = |forward: &Forward| claims(host, std::slice::from_ref(forward));
    let gained = added.iter().map(|(_, forward)| claims_of(forward));
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
    for ((spec, _), claims) in added.iter().zip(&gained) {
        now += &match destination(record.as_ref(), claims) {
            Ok(addresses) => format!("{guest} forwards {spec} to {addresses}\n"),
            Err(reason) => format!("{guest} does not forward {spec} yet: {reason}\n"),
        };
        at_start += &format!("{guest} forwards {spec} from its next start on\n");
    }
    Ok(text + &outcome(host, &guest, &changes, &now, &at_start))
}

fn remove(host: &Host, args: &RemoveArgs) -> Result<String, Error> {
    let guest = changeable(host, &args.forward.domain)?;
    let (mut changes, mut expected) = (Vec::new(), ExpectedClaims::default());
    let targets = args.affected.targets(guest.activity);
    let mut missing: Vec<Spec> = args.forward.specs().collect();
    for target in &targets {
        let mut change = MetadataChange::read(&guest, *target)?;
        let mut lost = Vec::new();
        for spec in args.forward.specs() {
            if let Some(forward) = cut(&guest, &mut change, &args.forward, &spec)? {
                missing.retain(|one| *one != spec);
                let ports = spec.host;
                let claims = claims(host, std::slice::from_ref(&forward))?.into_iter();
                lost.extend(claims.map(|claim| Claim { ports, ..claim }));
            }
        }
        if !lost.is_empty() {
            expected.lost = lost;
            changes.push(change);
        }
    }
    if let Some(spec) = missing.first() {
        let place = match targets.as_slice() {
            [target] => when(*target),
            _ => "now or from its next start on",
        };
        return Err(Error::NotThere {
            domain: guest.name.escape_debug().to_string(),
            spec: *spec,
            place,
        });
    }
    commit(host, &guest, &changes, None, &expected)?;
    let (mut now, mut at_start) = (String::new(), String::new());
    for spec in args.forward.specs() {
        now += &format!("{guest} no longer forwards {spec}\n");
        at_start += &format!("{guest} forwards {spec} from its next start on no more\n");
    }
    Ok(outcome(host, &guest, &changes, &now, &at_start))
}

/// Takes ports out of the one forward that has them, and gives that as it was; nothing where there is none.
fn cut(
    guest: &LibvirtGuest,
    change: &mut MetadataChange,
    which: &WhichForward,
    spec: &Spec,
) -> Result<Option<Forward>, Error> {
    let forwards = change.forwards(guest)?;
    let interfaces = which.interfaces(&change.domain);
    let found = forwards.iter().enumerate();
    let mut found = found.filter(|(_, forward)| which.holds(spec, forward, interfaces.as_deref()));
    let Some((number, forward)) = found.next() else {
        return Ok(None);
    };
    let count = 1 + found.count();
    if count > 1 {
        return Err(Error::Several {
            domain: guest.name.escape_debug().to_string(),
            spec: *spec,
            count,
        });
    }
    let mut mappings = forward.mappings.iter();
    if mappings.any(|mapping| !mapping.host.without(spec.host).is_empty()) {
        change.document.cut(number, spec.host);
    } else {
        change.document.remove(number);
    }
    Ok(Some(forward.clone()))
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
            && interfaces
                .is_none_or(|macs| forward.interface.is_some_and(|mac| macs.contains(&mac)))
            && forward.mappings.iter().any(|held| {
                let offset = host.start().checked_sub(held.host.start());
                let first = offset.and_then(|offset| held.guest.start().checked_add(offset));
                host.end() <= held.host.end()
                    && first.is_some_and(|first| guest.is_none_or(|guest| first == guest.start()))
            })
    }

    /// Whether a forward is exactly the one that would be added.
    fn equals(&self, spec: &Spec, forward: &Forward, interface: Option<MacAddress>) -> bool {
        self.holds(spec, forward, None)
            && forward.mappings == [spec.mapping()]
            && self.written_sources() == (forward.source, forward.sources.as_slice())
            && (self.guest, self.masquerade, interface)
                == (forward.guest, forward.masquerade, forward.interface)
            && self.dev == forward.dev
    }
}
