//! The way of a packet to a forwarded port and back, as a picture: the client, the host with what it does in its order,
//! the guest, and the addresses before and after the host translates them.

use super::judge::{first_failing, Hop, HopState};
use super::value::Facts;
use crate::svg::{to_svg, Anchor, Area, Drawing, Face, Style, MARGIN};
use std::net::SocketAddr;

/// Height of a hop's row.
const ROW: i32 = 26;
/// Free space inside of a card.
const PADDING: i32 = 14;
/// Height of a card's title.
const TITLE: i32 = 34;
/// Where the cards stand, from the left, and how wide they are.
const CLIENT: (i32, i32) = (MARGIN, 190);
const HOST: (i32, i32) = (424, 520);
const GUEST: (i32, i32) = (1154, 420);
/// Width of a hop's name.
const NAME: i32 = 84;

/// Where each hop is looked at.
const OF_HOST: [&str; 9] = [
    "address",
    "forward",
    "hooks",
    "rule",
    "routing",
    "bridge",
    "route",
    "policy",
    "firewalls",
];
const OF_GUEST: [&str; 4] = ["tap", "guest", "service", "back"];

/// Draws it.
pub(super) fn draw(facts: &Facts, hops: &[Hop]) -> String {
    let mut drawing = Drawing {
        title: format!("{} port {}", facts.asked.protocol, facts.asked.port),
        description: match first_failing(hops) {
            Some(failing) => format!("{} fails: {}", failing.hop, failing.text),
            None => "Every hop holds that can be seen from here.".to_owned(),
        },
        width: GUEST.0 + GUEST.1 + MARGIN,
        ..Drawing::default()
    };
    let top = MARGIN + 40;
    let rows = i32::try_from(OF_HOST.len()).unwrap_or_default();
    let bottom = top + TITLE + rows * ROW + PADDING;
    drawing.height = bottom + 84;
    let sheet = Area::new(0, 0, drawing.width, drawing.height);
    drawing.rounded(sheet, 0, "sheet");
    let heading = Area::new(MARGIN, MARGIN, drawing.width - 2 * MARGIN, 24);
    let title = format!("{}: {}", drawing.title, drawing.description);
    drawing.text(heading, Style::new(Face::Title, verdict_ink(hops)), &title);

    let from = facts
        .asked
        .from
        .map_or("any machine outside".to_owned(), |from| from.to_string());
    let client = card(&mut drawing, CLIENT, (top, bottom), "client");
    let label = Area::new(
        client.x + PADDING,
        client.y + TITLE,
        client.width - 2 * PADDING,
        ROW,
    );
    drawing.text(label, Style::new(Face::Code, ""), &from);
    let host = card(&mut drawing, HOST, (top, bottom), "host");
    list(&mut drawing, host, hops, &OF_HOST);
    let guest = card(&mut drawing, GUEST, (top, bottom), "guest");
    list(&mut drawing, guest, hops, &OF_GUEST);

    let sent_to = match facts
        .asked
        .address
        .or(facts.way.as_ref().and_then(|way| way.address))
    {
        Some(address) => SocketAddr::new(address, facts.asked.port).to_string(),
        None => format!("the host:{}", facts.asked.port),
    };
    let led_to = facts
        .way
        .as_ref()
        .map(|way| SocketAddr::new(way.guest, way.port).to_string());
    let outside = facts
        .way
        .as_ref()
        .and_then(|way| way.outside.clone())
        .unwrap_or_default();
    let bridge = facts.way.as_ref().and_then(|way| way.network.as_ref());
    let bridge = bridge
        .map(|network| network.bridge.clone())
        .unwrap_or_default();
    let reaches = |names: &[&str]| {
        let mut failing = hops.iter().filter(|hop| hop.state == HopState::Fails);
        !failing.any(|hop| names.contains(&hop.hop))
    };
    let (is_in, is_out) = (true, reaches(&OF_HOST) && led_to.is_some());
    let is_back = is_out && reaches(&OF_GUEST);
    let (there, back) = (top + TITLE + ROW, bottom - PADDING - ROW);
    let between = [(client.right(), host.x), (host.right(), guest.x)];
    let led_to = led_to.unwrap_or_else(|| "nobody".to_owned());
    for (way, ends, text, dev, is_so) in [
        (Way::There, between[0], &sent_to, &outside, is_in),
        (Way::There, between[1], &led_to, &bridge, is_out),
        (Way::Back, between[1], &led_to, &bridge, is_back),
        (Way::Back, between[0], &sent_to, &outside, is_back),
    ] {
        let y = match way {
            Way::There => there,
            Way::Back => back,
        };
        arrow(&mut drawing, way, ends, y, is_so.into());
        let above = Area::new(ends.0 + 8, y - 42, ends.1 - ends.0 - 16, 16);
        let word = match way {
            Way::There => "to",
            Way::Back => "from",
        };
        let code = Style::new(Face::Code, "").anchored(Anchor::Middle);
        drawing.text(above, code, &format!("{word} {text}"));
        let below = Area::new(above.x, y - 24, above.width, 16);
        let label = Style::new(Face::Small, "muted").anchored(Anchor::Middle);
        drawing.text(below, label, dev);
    }
    if let Some(mend) = first_failing(hops).and_then(|hop| hop.mend.as_deref()) {
        let strip = Area::new(MARGIN, bottom + 24, drawing.width - 2 * MARGIN, 34);
        drawing.rounded(strip, 4, "problem");
        let text = Area::new(strip.x + 10, strip.y, strip.width - 20, strip.height);
        drawing.text(
            text,
            Style::new(Face::Code, "wait"),
            &format!("repair: {mend}"),
        );
    }
    to_svg(&drawing)
}

/// Which way an arrow points.
#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

fn verdict_ink(hops: &[Hop]) -> &'static str {
    match first_failing(hops) {
        Some(_) => "bad",
        None => "good",
    }
}

fn card(
    drawing: &mut Drawing,
    (x, width): (i32, i32),
    (top, bottom): (i32, i32),
    name: &str,
) -> Area {
    let area = Area::new(x, top, width, bottom - top);
    drawing.rounded(area, 8, "card");
    let title = Area::new(x + PADDING, top + 4, width - 2 * PADDING, TITLE - 8);
    drawing.text(title, Style::new(Face::Heading, ""), name);
    area
}

/// The hops of a card, each with what was found of it.
fn list(drawing: &mut Drawing, card: Area, hops: &[Hop], names: &[&str]) {
    let mut y = card.y + TITLE;
    for hop in hops.iter().filter(|hop| names.contains(&hop.hop)) {
        let row = Area::new(card.x + PADDING, y, card.width - 2 * PADDING, ROW);
        y += ROW;
        let (mark, middle) = (row.x + 6, row.middle());
        let ink = match hop.state {
            HopState::Ok => {
                let tick = [
                    (mark - 5, middle),
                    (mark - 1, middle + 4),
                    (mark + 6, middle - 5),
                ];
                drawing.line(&tick, "tick");
                ""
            }
            HopState::Fails => {
                let strip = Area::new(row.x - 6, row.y, row.width + 12, ROW - 2);
                drawing.rounded(strip, 4, "none");
                for (from, to) in [(-4, 4), (4, -4)] {
                    drawing.line(
                        &[(mark - 4, middle + from), (mark + 4, middle + to)],
                        "cross",
                    );
                }
                "bad"
            }
            HopState::Unknown => {
                drawing.disc(mark, middle, 5, "ring");
                "muted"
            }
        };
        let name = Area::new(row.x + 20, row.y, NAME, ROW);
        drawing.text(name, Style::new(Face::Name, ink), hop.hop);
        let text = Area::new(name.right(), row.y, row.right() - name.right(), ROW);
        drawing.text(text, Style::new(Face::Small, ink), &hop.text);
    }
}

/// Whether packets come that far.
#[derive(Clone, Copy)]
enum Passage {
    Open,
    Closed,
}

impl From<bool> for Passage {
    fn from(is_open: bool) -> Self {
        match is_open {
            true => Self::Open,
            false => Self::Closed,
        }
    }
}

/// An arrow between two cards; dashed where nothing comes that far.
fn arrow(drawing: &mut Drawing, way: Way, (left, right): (i32, i32), y: i32, passage: Passage) {
    let (line, head) = match passage {
        Passage::Open => ("active", "activehead"),
        Passage::Closed => ("missing", "missinghead"),
    };
    drawing.line(&[(left + 6, y), (right - 6, y)], line);
    let (tip, base) = match way {
        Way::There => (right - 4, right - 14),
        Way::Back => (left + 4, left + 14),
    };
    drawing.polygon(&[(tip, y), (base, y - 5), (base, y + 5)], head);
}
