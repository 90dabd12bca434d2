//! Where everything stands: NICs at the left, what guests are on at the right, and between them the
//! host as a bar that joins those it routes.

use super::card::{card, HEADER};
use super::matrix::matrix;
use crate::map::sources::SegmentKind;
use crate::map::value::{Map, MapNic, Segment};
use crate::svg::{Anchor, Area, Drawing, Face, Style, MARGIN};
use crate::text::{pluralize, shown};

/// Width of a NIC's box.
const NIC_WIDTH: i32 = 204;
/// Where the bar is that stands for the host.
const TRUNK: i32 = 254;
/// Half its width.
const TRUNK_HALF: i32 = 4;
/// Where cards begin.
const CARD: i32 = 288;
/// Width of a card.
const CARD_WIDTH: i32 = 928;
/// Space between cards, and between NICs.
const SPACE: i32 = 14;
/// Where a card is joined to NICs of its own, below its top.
const PLUG: i32 = 16;
/// Where it is joined to the host.
const SOCKET: i32 = HEADER - 12;

/// Lays the map out.
pub(super) fn lay_out(map: &Map) -> Drawing {
    let mut drawing = Drawing {
        width: CARD + CARD_WIDTH + MARGIN,
        title: title(map),
        description: description(map),
        ..Drawing::default()
    };
    let mut y = heading(&mut drawing, map);
    let (elsewhere, segments): (Vec<&Segment>, Vec<&Segment>) = map
        .segments
        .iter()
        .partition(|one| one.kind == SegmentKind::Elsewhere);
    let (behind, mut outer): (Vec<&Segment>, Vec<&Segment>) = segments
        .into_iter()
        .partition(|one| one.kind.is_behind_host());
    // The bar begins at the first one where the host has an address.
    outer.sort_by_key(|segment| {
        let mut nics = map.nics_in(segment);
        !segment.addresses.is_empty() || nics.any(|nic| !nic.addresses.is_empty())
    });
    // Where on the bar something is joined to it.
    let mut joints: Vec<i32> = Vec::new();
    if !outer.is_empty() {
        y = section(&mut drawing, y, outer_heading(&outer));
        for segment in outer {
            y = outer_segment(&mut drawing, y, segment, map, &mut joints);
        }
    }
    let own = |nic: &&MapNic| !map.segments.iter().any(|one| one.nics.contains(&nic.name));
    let own: Vec<&MapNic> = map.nics.iter().filter(own).collect();
    if !behind.is_empty() || !own.is_empty() {
        let words = format!("Networks behind the host, which {}", map.routing());
        y = section(&mut drawing, y, &words);
        y = behind_host(&mut drawing, y, &own, &behind, &mut joints);
    }
    for segment in elsewhere {
        y = section(&mut drawing, y, "On none of these");
        y += card(&mut drawing, Area::new(CARD, y, CARD_WIDTH, 0), segment) + SPACE;
    }
    if map.segments.is_empty() {
        let area = Area::new(CARD, y, CARD_WIDTH, 20);
        let words = "No network is active, and there is no bridge.";
        drawing.text(area, Style::new(Face::Label, "muted"), words);
        y += 20 + SPACE;
    }
    y = matrix(&mut drawing, y, map);
    trunk(&mut drawing, &joints);
    drawing.height = y + MARGIN - SPACE;
    let sheet = Area::new(0, 0, drawing.width, drawing.height);
    let above = std::mem::take(&mut drawing.shapes);
    drawing.rounded(sheet, 0, "sheet");
    drawing.shapes.extend(above);
    drawing
}

fn title(map: &Map) -> String {
    format!("Virtual networks of {}", shown(&map.host))
}

/// What a reader who does not see the picture is told.
fn description(map: &Map) -> String {
    let mut sentences = vec![summary(map)];
    for segment in &map.segments {
        let mut words = vec![segment.kind.name().to_owned()];
        words.extend(segment.addresses.iter().cloned());
        words.push(pluralize(segment.guests.len(), "guest"));
        words.push(pluralize(segment.forward_count(), "forward"));
        sentences.push(format!("{}: {}", segment.name, words.join(", ")));
        sentences.extend(segment.problems.iter().cloned());
    }
    shown(&(sentences.join(". ") + "."))
}

fn summary(map: &Map) -> String {
    let behind = map.segments.iter();
    let behind = behind.filter(|segment| segment.kind.is_behind_host());
    [
        pluralize(behind.count(), "network") + " behind the host",
        pluralize(map.guest_count(), "guest"),
        pluralize(map.forward_count(), "forward"),
    ]
    .join(", ")
}

fn outer_heading(segments: &[&Segment]) -> &'static str {
    if segments.iter().any(|one| one.kind == SegmentKind::Direct) {
        "Bridges of the host, and NICs that guests use directly"
    } else {
        "Bridges of the host"
    }
}

fn heading(drawing: &mut Drawing, map: &Map) -> i32 {
    let width = drawing.width - 2 * MARGIN;
    let area = Area::new(MARGIN, MARGIN - 4, width, 24);
    drawing.text(area, Style::new(Face::Title, "strong"), &map.host);
    let area = Area::new(MARGIN, MARGIN + 20, width, 18);
    drawing.text(area, Style::new(Face::Label, "muted"), &summary(map));
    MARGIN + 20 + 18 + SPACE
}

/// A heading above cards.
fn section(drawing: &mut Drawing, y: i32, words: &str) -> i32 {
    let area = Area::new(CARD, y, CARD_WIDTH, 20);
    drawing.text(area, Style::new(Face::Heading, "muted"), words);
    y + 20 + 8
}

fn outer_segment(
    drawing: &mut Drawing,
    y: i32,
    segment: &Segment,
    map: &Map,
    joints: &mut Vec<i32>,
) -> i32 {
    let card_height = card(drawing, Area::new(CARD, y, CARD_WIDTH, 0), segment);
    let mut nic_y = y;
    for (index, nic) in map.nics_in(segment).enumerate() {
        let height = nic_box(drawing, nic_y, nic);
        let (start, end) = (MARGIN + NIC_WIDTH, y + PLUG);
        let from = (start, nic_y + PLUG);
        if index == 0 {
            let is_passing = nic.addresses.is_empty() && !joints.is_empty();
            if is_passing {
                let (left, right) = (TRUNK - 2 * TRUNK_HALF, TRUNK + 2 * TRUNK_HALF);
                drawing.line(&[(left, end), (right, end)], "gap");
            }
            drawing.line(&[from, (CARD, end)], "wire");
        } else {
            // It joins the first one on the way.
            drawing.line(&[from, (start + 10, from.1), (start + 10, end)], "wire");
        }
        if !nic.addresses.is_empty() {
            drawing.line(&[from, (TRUNK, from.1)], "wire");
            joints.push(from.1);
        }
        nic_y += height + SPACE;
    }
    if !segment.addresses.is_empty() {
        drawing.line(&[(TRUNK, y + SOCKET), (CARD, y + SOCKET)], "wire");
        joints.push(y + SOCKET);
    }
    (y + card_height + SPACE).max(nic_y)
}

fn behind_host(
    drawing: &mut Drawing,
    y: i32,
    nics: &[&MapNic],
    segments: &[&Segment],
    joints: &mut Vec<i32>,
) -> i32 {
    let mut nic_y = y;
    for nic in nics {
        let height = nic_box(drawing, nic_y, nic);
        let plug = nic_y + PLUG;
        drawing.line(&[(MARGIN + NIC_WIDTH, plug), (TRUNK, plug)], "wire");
        joints.push(plug);
        nic_y += height + SPACE;
    }
    let mut card_y = y;
    for segment in segments {
        let height = card(drawing, Area::new(CARD, card_y, CARD_WIDTH, 0), segment);
        let socket = card_y + HEADER / 2;
        let class = match segment.kind {
            SegmentKind::Isolated => "end",
            _ => "wire",
        };
        drawing.line(&[(TRUNK, socket), (CARD, socket)], class);
        joints.push(socket);
        card_y += height + SPACE;
    }
    nic_y.max(card_y)
}

fn trunk(drawing: &mut Drawing, joints: &[i32]) {
    let (Some(top), Some(bottom)) = (joints.iter().min(), joints.iter().max()) else {
        return;
    };
    let (x, y, width) = (TRUNK - TRUNK_HALF, top - TRUNK_HALF, 2 * TRUNK_HALF);
    let area = Area::new(x, y, width, bottom - top + width);
    drawing.rounded(area, TRUNK_HALF, "trunk");
    // Below what crosses it.
    drawing.shapes.rotate_right(1);
    let below = Area::new(TRUNK - 24, area.bottom() + 2, 48, 16);
    let style = Style::new(Face::Label, "muted").anchored(Anchor::Middle);
    drawing.text(below, style, "host");
}

/// How many addresses of a NIC are drawn.
const NIC_ADDRESSES: usize = 4;

fn nic_box(drawing: &mut Drawing, y: i32, nic: &MapNic) -> i32 {
    let mut lines: Vec<String> = Vec::new();
    if !nic.lower.is_empty() {
        lines.push(format!("of {}", nic.lower.join(", ")));
    }
    lines.extend(nic.addresses.iter().take(NIC_ADDRESSES).cloned());
    if nic.addresses.len() > NIC_ADDRESSES {
        lines.push(format!("and {} more", nic.addresses.len() - NIC_ADDRESSES));
    }
    let count = i32::try_from(lines.len()).unwrap_or(0);
    let height = 32 + 16 * count + if count > 0 { 6 } else { 0 };
    let state = if nic.is_up { "up" } else { "down" };
    let all = [
        &[nic.name.clone(), format!("{}, {state}", nic.kind)],
        nic.lower.as_slice(),
        nic.addresses.as_slice(),
    ];
    drawing.group(&all.concat().join("; "), |drawing| {
        drawing.rounded(Area::new(MARGIN, y, NIC_WIDTH, height), 6, "nic");
        let radius = if nic.is_up { 5 } else { 4 };
        drawing.disc(MARGIN + 14, y + 16, radius, state);
        let area = Area::new(MARGIN + 26, y + 6, 108, 20);
        // The longest name of an interface has 15 characters.
        let face = match nic.name.len() {
            0..=13 => Face::Name,
            _ => Face::Small,
        };
        drawing.text(area, Style::new(face, "strong"), &nic.name);
        let area = Area::new(MARGIN + 138, y + 6, NIC_WIDTH - 148, 20);
        let style = Style::new(Face::Small, "muted").anchored(Anchor::End);
        drawing.text(area, style, nic.kind);
        for (line, text) in (0..).zip(&lines) {
            let area = Area::new(MARGIN + 12, y + 32 + 16 * line, NIC_WIDTH - 24, 16);
            drawing.text(area, Style::new(Face::Small, "muted"), text);
        }
    });
    height
}
