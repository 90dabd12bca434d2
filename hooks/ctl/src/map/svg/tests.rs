//! Nothing is drawn over something else, whatever the names are.

use super::layout::lay_out;
use crate::map::fixtures::{fifty, hostile, many, small};
use crate::map::value::Map;
use crate::svg::{Anchor, Area, Drawing, SvgShape};

/// What is drawn, without groups.
fn flat(shapes: &[SvgShape]) -> Vec<&SvgShape> {
    let mut all = Vec::new();
    for shape in shapes {
        match shape {
            SvgShape::Group { shapes, .. } => all.extend(flat(shapes)),
            other => all.push(other),
        }
    }
    all
}

/// Where the letters of a text are.
fn ink(shape: &SvgShape) -> Option<(Area, Area, &str)> {
    let SvgShape::Text {
        area, style, text, ..
    } = shape
    else {
        return None;
    };
    let (width, height) = (style.face.width(text), style.face.size() * 12 / 10);
    let x = match style.anchor {
        Anchor::Start => area.x,
        Anchor::Middle => area.x + (area.width - width) / 2,
        Anchor::End => area.right() - width,
    };
    let ink = Area::new(x, area.middle() - height / 2, width, height);
    Some((ink, *area, text))
}

fn contains(outer: Area, inner: Area) -> bool {
    inner.width == 0
        || (outer.x <= inner.x
            && outer.y <= inner.y
            && inner.right() <= outer.right()
            && inner.bottom() <= outer.bottom())
}

fn overlaps(a: Area, b: Area) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

/// The strips that a line covers.
fn strips(points: &[(i32, i32)]) -> Vec<Area> {
    let strip = |pair: &[(i32, i32)]| {
        let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
        let (x, y) = (ax.min(bx), ay.min(by));
        Area::new(x - 1, y - 1, (ax - bx).abs() + 2, (ay - by).abs() + 2)
    };
    points.windows(2).map(strip).collect()
}

/// What is wrong with a drawing.
fn faults(drawing: &Drawing) -> Vec<String> {
    let shapes = flat(&drawing.shapes);
    let sheet = Area::new(0, 0, drawing.width, drawing.height);
    let texts: Vec<_> = shapes.iter().filter_map(|shape| ink(shape)).collect();
    let mut faults = Vec::new();
    for (index, (letters, area, text)) in texts.iter().enumerate() {
        if !contains(*area, *letters) || !contains(sheet, *letters) {
            faults.push(format!("'{text}' leaves its place"));
        }
        for (other, _, with) in &texts[index + 1..] {
            if overlaps(*letters, *other) {
                faults.push(format!("'{text}' and '{with}' overlap"));
            }
        }
        for shape in &shapes {
            match shape {
                SvgShape::Box { area, class, .. }
                    if overlaps(*area, *letters) && !contains(*area, *letters) =>
                {
                    faults.push(format!("'{text}' crosses the border of a {class}"));
                }
                SvgShape::Path { points, class, .. }
                    if strips(points)
                        .iter()
                        .any(|strip| overlaps(*strip, *letters)) =>
                {
                    faults.push(format!("'{text}' is crossed by a {class}"));
                }
                _ => {}
            }
        }
    }
    for (index, shape) in shapes.iter().enumerate() {
        let SvgShape::Box { area, class, .. } = shape else {
            continue;
        };
        if !contains(sheet, *area) {
            faults.push(format!("a {class} leaves the sheet"));
        }
        for other in &shapes[index + 1..] {
            let SvgShape::Box {
                area: inner,
                class: with,
                ..
            } = other
            else {
                continue;
            };
            if overlaps(*area, *inner) && !contains(*area, *inner) {
                faults.push(format!("a {with} crosses the border of a {class}"));
            }
        }
    }
    faults
}

fn is_clean(name: &str, map: &Map) {
    let faults = faults(&lay_out(map));
    assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
}

#[test]
fn nothing_overlaps() {
    is_clean("small", &small().map());
    is_clean("fifty", &fifty());
    is_clean("many", &many());
    is_clean("hostile", &hostile());
}
