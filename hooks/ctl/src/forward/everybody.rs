//! `portero forward list` of everybody: what is written for domains and networks, whether they run or not, where that is, and
//! what comes of it now.

use super::error::Error;
use super::list::{rows, Row};
use crate::engine::with_engine;
use crate::json::to_json;
use crate::status::{rows as status_rows, ForwardState, Row as StatusRow};
use crate::table::{draw, Cell};
use crate::terminal::{log_sink, Colors};
use crate::text::shown;
use portero_engine::{ApplyError, Engine};
use portero_inventory::{DesiredForwards, ObjectState, Snapshot};
use portero_libvirt::{Driver, ObjectName};
use portero_model::{Claim, Origin, Owner};
use portero_port_forward::Forward;
use serde::Serialize;

/// Where a forward is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Where {
    /// In what runs alone: it ends with it.
    Live,
    /// In the configuration alone.
    Config,
    /// In both.
    Both,
}

impl Where {
    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Config => "config",
            Self::Both => "both",
        }
    }
}

/// As what they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Table,
}

/// A forward of somebody's.
#[derive(Debug, Serialize)]
struct Entry {
    /// `domain` or `network`.
    owner: &'static str,
    /// `qemu` or `lxc`, of a domain.
    driver: Option<&'static str>,
    name: String,
    uuid: String,
    #[serde(flatten)]
    row: Row,
    /// `live`, `config` or `both`.
    #[serde(rename = "in")]
    place: Where,
    /// `metadata`, or the file of /etc/portero.
    written: String,
    /// `active`, `missing`, `pending`, `claimed`, or `off` where nothing runs that has it.
    state: &'static str,
    /// Why it is not active.
    reason: Option<String>,
    /// Where it leads now.
    addresses: Vec<String>,
}

/// What is written for somebody and cannot be read.
#[derive(Debug, Serialize)]
struct Wrong {
    owner: &'static str,
    name: String,
    error: String,
}

/// Everything that is written.
#[derive(Debug, Serialize)]
struct Listing {
    forwards: Vec<Entry>,
    wrong: Vec<Wrong>,
}

/// Lists everybody's forwards.
///
/// # Errors
/// [`Error`] when the host cannot be read.
pub(super) fn list(only: Option<Where>, form: Form) -> Result<String, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRootToList);
    }
    let mut listing = with_engine(log_sink(), gather)?;
    let is_wanted = |place| only.is_none() || place == Where::Both || only == Some(place);
    listing.forwards.retain(|one| is_wanted(one.place));
    Ok(match form {
        Form::Json => to_json(&listing),
        Form::Table => text(&listing),
    })
}

/// The forwards of one domain or network that does not run, as a table; nothing where there is none of that name.
///
/// # Errors
/// [`ApplyError`] when libvirt's folders cannot be read.
pub(crate) fn of_one(
    name: &ObjectName,
    engine: &mut Engine<'_>,
) -> Result<Option<String>, ApplyError> {
    let (owners, desired) = read(engine)?;
    let own = desired.iter().filter(|one| one.owner.name == name.as_str());
    let own: Vec<&DesiredForwards> = own.collect();
    let Some(first) = own.first() else {
        return Ok(None);
    };
    let listing = Listing {
        forwards: own.iter().flat_map(|one| entries(one, &owners)).collect(),
        wrong: own.iter().flat_map(|one| wrong(one)).collect(),
    };
    Ok(Some(format!(
        "{} is off.\n\n{}",
        first.owner,
        text(&listing)
    )))
}

fn read(engine: &mut Engine<'_>) -> Result<(Vec<StatusRow>, Vec<DesiredForwards>), ApplyError> {
    let mut snapshot = Snapshot::take(engine)?;
    let owners = snapshot.owners()?;
    let desired = snapshot.desired_forwards()?;
    Ok((status_rows(&owners), desired))
}

fn gather(engine: &mut Engine<'_>) -> Result<Listing, ApplyError> {
    let (known, mut desired) = read(engine)?;
    desired.sort_by(|one, other| {
        let key = |of: &Owner| (of.kind, of.name.clone(), of.driver);
        key(&one.owner).cmp(&key(&other.owner))
    });
    Ok(Listing {
        forwards: desired
            .iter()
            .flat_map(|one| entries(one, &known))
            .collect(),
        wrong: desired.iter().flat_map(wrong).collect(),
    })
}

/// The forwards of an owner.
fn entries(desired: &DesiredForwards, known: &[StatusRow]) -> Vec<Entry> {
    let now = desired.written.as_deref().unwrap_or_default();
    let is_off = desired.state == ObjectState::Off;
    let place = |forward: &Forward| match is_off {
        true => Where::Config,
        false if desired.ends_with_it.contains(forward) => Where::Live,
        false => Where::Both,
    };
    let now = now.iter().map(|forward| (place(forward), forward));
    let later = desired.from_next_start.iter();
    let later = later.map(|forward| (Where::Config, forward));
    let all: Vec<(Where, &Forward)> = now.chain(later).collect();
    let mut entries = Vec::new();
    // What is together in one element stays together.
    for chunk in all.chunk_by(|one, other| one.0 == other.0 && one.1.origin == other.1.origin) {
        let Some((place, first)) = chunk.first() else {
            continue;
        };
        let forwards: Vec<Forward> = chunk.iter().map(|(_, one)| (*one).clone()).collect();
        let written = match &first.origin {
            Origin::Metadata(_) => "metadata".to_owned(),
            Origin::File(path) => path.clone(),
        };
        for row in rows(&forwards) {
            let outcome = match *place {
                Where::Config => Outcome::later(desired.state),
                _ => Outcome::of(&desired.owner, &row.claims, known),
            };
            entries.push(Entry {
                owner: desired.owner.kind.name(),
                driver: desired.owner.driver.map(Driver::name),
                name: desired.owner.name.clone(),
                uuid: desired.owner.uuid.to_string(),
                row,
                place: *place,
                written: written.clone(),
                state: outcome.state,
                reason: outcome.reason,
                addresses: outcome.addresses,
            });
        }
    }
    entries
}

/// What comes of a forward now.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    state: &'static str,
    reason: Option<String>,
    addresses: Vec<String>,
}

impl Outcome {
    /// Of one that nothing has that runs.
    fn later(state: ObjectState) -> Self {
        let runs = state != ObjectState::Off;
        let reason = runs.then(|| "from its next start on".to_owned());
        Self {
            state: "off",
            reason,
            ..Self::default()
        }
    }

    /// Of one that is to be there: the worst of its parts.
    fn of(owner: &Owner, claims: &[Claim], known: &[StatusRow]) -> Self {
        let own = known.iter().filter(|row| row.owner.uuid == owner.uuid);
        let own: Vec<&StatusRow> = own
            .filter(|row| claims.iter().any(|claim| is_same(claim, &row.claim)))
            .collect();
        let Some(row) = own.iter().find(|row| row.state != ForwardState::Active) else {
            let mut addresses: Vec<String> = own.iter().filter_map(|row| row.guest()).collect();
            addresses.dedup();
            return match own.is_empty() {
                true => Self {
                    state: "missing",
                    reason: Some(
                        "it was refused, or not applied yet; run 'portero sync'".to_owned(),
                    ),
                    addresses,
                },
                false => Self {
                    state: "active",
                    reason: None,
                    addresses,
                },
            };
        };
        Self {
            state: row.state.name(),
            reason: row.state.reason().map(str::to_owned),
            addresses: Vec::new(),
        }
    }
}

/// Whether two claims are of one forward: the record has one for each source and family.
fn is_same(one: &Claim, other: &Claim) -> bool {
    let key = |claim: &Claim| {
        (
            claim.protocol,
            claim.ports,
            claim.address,
            claim.is_whole_address,
        )
    };
    key(one) == key(other) && one.dev == other.dev
}

fn wrong(desired: &DesiredForwards) -> Vec<Wrong> {
    let now = desired.written.as_ref().err();
    let errors = now.into_iter().chain(&desired.wrong_from_next_start);
    let errors = errors.map(|error| Wrong {
        owner: desired.owner.kind.name(),
        name: desired.owner.name.clone(),
        error: error.to_string(),
    });
    errors.collect()
}

fn text(listing: &Listing) -> String {
    let titles = ["OWNER", "FORWARD", "LEADS TO", "IN", "WRITTEN", "STATE"];
    let rows = listing.forwards.iter().map(|one| {
        let owner = match (one.owner, one.driver) {
            ("domain", Some("qemu") | None) => shown(&one.name),
            (kind, driver) => format!("{} {}", driver.unwrap_or(kind), shown(&one.name)),
        };
        let state = match &one.reason {
            Some(reason) => format!("{}: {}", one.state, shown(reason)),
            None => one.state.to_owned(),
        };
        let addresses = Some(one.addresses.join(", ")).filter(|text| !text.is_empty());
        [
            Cell::plain(owner),
            Cell::plain(shown(&one.row.words())),
            Cell::optional(addresses),
            Cell::plain(one.place.name()),
            Cell::plain(shown(&one.written)),
            Cell::plain(state),
        ]
    });
    let rows: Vec<[Cell; 6]> = rows.collect();
    let mut text = match rows.is_empty() {
        true => "No ports are forwarded.\n".to_owned(),
        false => draw(titles, rows, Colors::None),
    };
    for one in &listing.wrong {
        text += &format!("warning: {}\n", shown(&one.error));
    }
    text
}

/// The host's ports that are written for a domain, as `remove` takes them; nothing for who may not read that.
pub(crate) fn written_ports(name: &ObjectName) -> Vec<String> {
    if !nix::unistd::geteuid().is_root() {
        return Vec::new();
    }
    let sink = portero_system::LogSink::Memory(Vec::new());
    let Ok(listing) = with_engine(sink, gather) else {
        return Vec::new();
    };
    let own = listing.forwards.iter();
    let own = own.filter(|one| one.owner == "domain" && one.name == name.as_str());
    let mut ports: Vec<String> = own
        .flat_map(|one| &one.row.claims)
        .filter(|claim| claim.address.is_none())
        .map(Claim::spec)
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::Outcome;
    use crate::status::{ForwardState, Row};
    use portero_libvirt::ObjectName;
    use portero_model::{Claim, Owner, OwnerKind, PortRange, Protocol};
    use uuid::Uuid;

    #[test]
    fn a_forward_is_as_its_worst_part_is() {
        let name: ObjectName = "web".parse().expect("a name");
        let owner = Owner::new(OwnerKind::Domain, Uuid::from_u128(1), &name);
        let port = PortRange::new(80, 80).expect("a port");
        let claim = Claim {
            protocol: Protocol::Tcp,
            family: None,
            address: None,
            dev: None,
            source: None,
            ports: port,
            is_whole_address: false,
        };
        let row = |state, guest: Option<&str>| Row {
            owner: owner.clone(),
            claim: claim.clone(),
            guest: guest.map(|guest| (guest.parse().expect("an address"), port)),
            options: Default::default(),
            state,
        };
        let of = |known: &[Row]| Outcome::of(&owner, std::slice::from_ref(&claim), known);
        let active = row(ForwardState::Active, Some("192.0.2.1"));
        let outcome = of(std::slice::from_ref(&active));
        assert_eq!(
            (outcome.state, outcome.addresses),
            ("active", vec!["192.0.2.1:80".to_owned()])
        );
        let reason = "no lease".to_owned();
        let pending = row(ForwardState::Pending { reason }, None);
        let outcome = of(&[active.clone(), pending]);
        assert_eq!(
            (outcome.state, outcome.reason.as_deref()),
            ("pending", Some("no lease"))
        );
        assert_eq!(of(&[]).state, "missing");
        // Somebody else's is another.
        let other = Owner {
            uuid: Uuid::from_u128(2),
            ..owner.clone()
        };
        assert_eq!(
            of(&[Row {
                owner: other,
                ..active
            }])
            .state,
            "missing"
        );
    }
}
