//! One network or bridge with its guests and the ports that lead to them.

use crate::map::sources::SegmentKind;
use crate::map::value::{PlacedGuest, Segment};
use crate::status::{ForwardState, Row};
use crate::svg::{Anchor, Area, Drawing, Face, Style};
use crate::text::pluralize;

/// Height of what stands above guests.
pub(super) const HEADER: i32 = 48;
/// Free space at the sides.
const PADDING: i32 = 16;
/// Height of a forward, or of a guest without.
const ROW: i32 = 24;
/// Space between rows.
const SPACE: i32 = 5;
/// How many guests without forwards stand beside each other.
const COLUMNS: i32 = 3;
/// How many forwards of a guest are drawn.
const FORWARDS: usize = 10;

/// The least room that is worth to write into, in pixels.
const LEAST: i32 = 40;

/// Where the columns of forwards begin, from the card's left, and how wide they are.
const HOST: (i32, i32) = (PADDING, 384);
const ARROW: (i32, i32) = (404, 84);
const GUEST: (i32, i32) = (488, 424);
const NAME: (i32, i32) = (498, 160);
const TARGET: (i32, i32) = (664, 240);

/// Draws a segment at the top of an area; gives how high it is.
pub(super) fn card(drawing: &mut Drawing, area: Area, segment: &Segment) -> i32 {
    let (others, forwarded): (Vec<&PlacedGuest>, Vec<&PlacedGuest>) = segment
        .guests
        .iter()
        .partition(|guest| guest.forwards.is_empty());
    let mut inner = Drawing::default();
    let mut y = area.y + HEADER;
    for problem in &segment.problems {
        let strip = Area::new(area.x + PADDING, y, area.width - 2 * PADDING, ROW);
        inner.rounded(strip, 4, "problem");
        let text = Area::new(strip.x + 8, y, strip.width - 16, ROW);
        inner.text(text, Style::new(Face::Small, "wait"), problem);
        y += ROW + SPACE;
    }
    for guest in forwarded {
        y = forwards(&mut inner, area.x, y, Some(guest), &guest.forwards);
    }
    if !segment.forwards.is_empty() {
        y = forwards(&mut inner, area.x, y, None, &segment.forwards);
    }
    if y > area.y + HEADER && !others.is_empty() {
        y += SPACE;
    }
    y = chips(&mut inner, area, y, &others);
    if segment.guests.is_empty() && segment.forwards.is_empty() && segment.problems.is_empty() {
        // The header says so.
        y = area.y + HEADER;
    } else {
        y += PADDING - SPACE;
    }
    let outline = Area::new(area.x, area.y, area.width, y - area.y);
    drawing.group(&name(segment), |drawing| {
        drawing.rounded(outline, 8, "card");
        header(drawing, outline, segment);
        drawing.shapes.append(&mut inner.shapes);
    });
    outline.height
}

fn name(segment: &Segment) -> String {
    match segment.kind {
        SegmentKind::Bridge => format!("bridge {}", segment.name),
        SegmentKind::Direct => format!("{}, directly on a NIC", segment.name),
        SegmentKind::Elsewhere => "guests on no network of these".to_owned(),
        kind => format!("network {}, {}", segment.name, kind.name()),
    }
}

fn header(drawing: &mut Drawing, card: Area, segment: &Segment) {
    let class = segment.kind.name();
    drawing.rounded(Area::new(card.x, card.y + 8, 5, HEADER - 16), 2, class);
    let line = |x: i32, width: i32| Area::new(card.x + x, card.y + 10, width, HEADER - 20);
    let title = match segment.kind {
        SegmentKind::Elsewhere => "other guests",
        _ => &segment.name,
    };
    drawing.text(line(PADDING, 214), Style::new(Face::Title, "strong"), title);
    let pill = |x: i32, width: i32| Area::new(card.x + x, card.y + 15, width, HEADER - 30);
    if segment.kind != SegmentKind::Elsewhere {
        drawing.rounded(pill(238, 76), 9, class);
        let style = Style::new(Face::Small, "onmode").anchored(Anchor::Middle);
        drawing.text(pill(238, 76), style, class);
    }
    if segment.has_policy {
        drawing.rounded(pill(320, 58), 9, "policy");
        let style = Style::new(Face::Small, "strong").anchored(Anchor::Middle);
        drawing.text(pill(320, 58), style, "policy");
    }
    let joined = match segment.kind {
        SegmentKind::Bridge | SegmentKind::Direct if segment.networks.is_empty() => String::new(),
        SegmentKind::Bridge => format!("network {}", segment.networks.join(", ")),
        SegmentKind::Direct => segment.nics.join(", "),
        _ => {
            let ports = segment.bridge.iter().chain(&segment.nics);
            ports.cloned().collect::<Vec<String>>().join(", ")
        }
    };
    drawing.text(line(392, 112), Style::new(Face::Code, "muted"), &joined);
    let addresses = segment.addresses.join(", ");
    drawing.text(line(510, 220), Style::new(Face::Small, "muted"), &addresses);
    let mut counts = vec![pluralize(segment.guests.len(), "guest")];
    if segment.forward_count() > 0 {
        counts.push(pluralize(segment.forward_count(), "forward"));
    }
    if segment.other_ports > 0 {
        counts.push(pluralize(segment.other_ports, "other port"));
    }
    let style = Style::new(Face::Label, "muted").anchored(Anchor::End);
    let rest = line(736, card.width - 736 - PADDING);
    drawing.text(rest, style, &counts.join(", "));
}

/// The forwards of a guest, or those to guests that are not known.
fn forwards(
    drawing: &mut Drawing,
    x: i32,
    y: i32,
    guest: Option<&PlacedGuest>,
    rows: &[Row],
) -> i32 {
    let at = |(left, width): (i32, i32), y: i32, height: i32| Area::new(x + left, y, width, height);
    let drawn = &rows[..rows.len().min(FORWARDS)];
    let more = rows.len() - drawn.len();
    let lines = drawn.len() + usize::from(more > 0);
    let height = i32::try_from(lines).unwrap_or(0) * (ROW + SPACE) - SPACE;
    let name = guest.map_or("no known guest", |guest| guest.name.as_str());
    let told = guest.map_or_else(|| name.to_owned(), tooltip);
    drawing.group(&told, |drawing| {
        drawing.rounded(at(GUEST, y, height), 6, "guest");
        let style = match guest {
            Some(_) => Style::new(Face::Name, "strong"),
            None => Style::new(Face::Small, "muted"),
        };
        drawing.text(at(NAME, y, ROW), style, name);
        let others = guest.map_or(&[][..], |guest| &guest.also_in);
        if lines > 1 && !others.is_empty() {
            let area = at(NAME, y + ROW + SPACE, ROW);
            let words = format!("also in {}", others.join(", "));
            drawing.text(area, Style::new(Face::Small, "muted"), &words);
        }
    });
    let mut line_y = y;
    for row in drawn {
        forward(drawing, x, line_y, name, row);
        line_y += ROW + SPACE;
    }
    if more > 0 {
        let words = format!("and {more} more");
        let host = at(HOST, line_y, ROW);
        let area = Area::new(host.x + 10, host.y, host.width - 20, host.height);
        drawing.text(area, Style::new(Face::Label, "muted"), &words);
    }
    y + height + SPACE
}

fn forward(drawing: &mut Drawing, x: i32, y: i32, name: &str, row: &Row) {
    let at = |(left, width): (i32, i32)| Area::new(x + left, y, width, ROW);
    let port = row.port();
    let on = row.claim.dev.iter().map(|dev| format!("on {dev}"));
    let from = row.claim.source.iter().map(|net| format!("from {net}"));
    let conditions: Vec<String> = on.chain(from).chain(row.options()).collect();
    let conditions = conditions.join(" ");
    let host = format!("{port} {conditions}");
    let host = host.trim();
    let (state, reason) = (row.state.name(), row.state.reason().unwrap_or_default());
    let told = match row.guest() {
        Some(guest) => format!("{host} leads to {name} at {guest}: {state} {reason}"),
        None => format!("{host} is to lead to {name}: {state} {reason}"),
    };
    let (line, head, ink) = match row.state {
        ForwardState::Active => ("active", "activehead", "good"),
        ForwardState::Pending { .. } => ("pending", "pendinghead", "wait"),
        ForwardState::Claimed => ("claimed", "claimedhead", "wait"),
        ForwardState::Missing => ("missing", "missinghead", "bad"),
    };
    drawing.group(told.trim(), |drawing| {
        let pill = at(HOST);
        drawing.rounded(pill, 12, "host");
        let style = Style::new(Face::Code, "strong");
        let room = Area::new(pill.x + 10, pill.y, pill.width - 20, pill.height);
        drawing.text(room, style, &port);
        let used = (Face::Code.width(&port) + 10).min(room.width);
        let rest = Area::new(room.x + used, room.y, room.width - used, room.height);
        if rest.width > LEAST && !conditions.is_empty() {
            drawing.text(rest, Style::new(Face::Small, "muted"), &conditions);
        }
        let arrow = at(ARROW);
        let (start, tip, middle) = (arrow.x, arrow.right() - 2, arrow.middle());
        if row.state == ForwardState::Active {
            drawing.line(&[(start, middle), (tip - 8, middle)], line);
        } else {
            let label = Area::new(start + 12, arrow.y, 54, arrow.height);
            drawing.line(&[(start, middle), (label.x - 2, middle)], line);
            drawing.line(&[(label.right() + 2, middle), (tip - 8, middle)], line);
            let style = Style::new(Face::Small, ink).anchored(Anchor::Middle);
            drawing.text(label, style, state);
        }
        let head_points = [(tip, middle), (tip - 9, middle - 5), (tip - 9, middle + 5)];
        drawing.polygon(&head_points, head);
        match row.guest() {
            Some(guest) => drawing.text(at(TARGET), Style::new(Face::Code, "strong"), &guest),
            None => drawing.text(at(TARGET), Style::new(Face::Small, ink), reason),
        }
    });
}

/// Guests without forwards, in rows.
fn chips(drawing: &mut Drawing, area: Area, y: i32, guests: &[&PlacedGuest]) -> i32 {
    const GAP: i32 = 8;
    let width = (area.width - 2 * PADDING - (COLUMNS - 1) * GAP) / COLUMNS;
    let mut bottom = y;
    for (index, guest) in (0..).zip(guests) {
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        let x = area.x + PADDING + column * (width + GAP);
        let chip = Area::new(x, y + row * (ROW + SPACE), width, ROW);
        bottom = chip.bottom() + SPACE;
        drawing.group(&tooltip(guest), |drawing| {
            drawing.rounded(chip, 4, "chip");
            let name = Area::new(chip.x + 10, chip.y, 142, ROW);
            drawing.text(name, Style::new(Face::Code, "strong"), &guest.name);
            let room = chip.right() - name.right() - 16;
            let place = Area::new(name.right() + 6, chip.y, room, ROW);
            let style = Style::new(Face::Small, "muted").anchored(Anchor::End);
            drawing.text(place, style, &short_place(guest));
        });
    }
    bottom
}

/// The first address of a guest, or else its MAC address.
fn short_place(guest: &PlacedGuest) -> String {
    match guest.addresses.as_slice() {
        [] => guest.macs.first().cloned().unwrap_or_default(),
        [one] => one.clone(),
        [first, others @ ..] => format!("{first} +{}", others.len()),
    }
}

fn tooltip(guest: &PlacedGuest) -> String {
    let name = std::slice::from_ref(&guest.name);
    let words = [name, &guest.macs, &guest.addresses].concat();
    let mut words = words.join(", ");
    if !guest.also_in.is_empty() {
        words += &format!("; also in {}", guest.also_in.join(", "));
    }
    words
}
