//! Pictures: one SVG file each, that needs no other.

mod drawing;

pub(crate) use drawing::{Anchor, Area, Drawing, Face, Style, SvgShape, MARGIN};

use crate::text::CUT;
use quick_xml::escape::escape;
use std::fmt::Write as _;

/// Colours and fonts, those of dark surroundings included.
const STYLE: &str = include_str!("style.css");

/// Writes a drawing.
pub(crate) fn to_svg(drawing: &Drawing) -> String {
    let Drawing { width, height, .. } = drawing;
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"graphics-document document\" \
         aria-labelledby=\"portero-title\" aria-describedby=\"portero-description\">\n\
         <title id=\"portero-title\">{}</title>\n<desc id=\"portero-description\">{}</desc>\n\
         <style>\n{STYLE}</style>",
        escape(&drawing.title),
        escape(&drawing.description),
    );
    for shape in &drawing.shapes {
        write(&mut svg, shape);
    }
    svg + "</svg>\n"
}

fn write(svg: &mut String, shape: &SvgShape) {
    let _ = match shape {
        SvgShape::Box {
            area,
            radius,
            class,
        } => writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{radius}\"/>",
            area.x, area.y, area.width, area.height
        ),
        SvgShape::Disc {
            x,
            y,
            radius,
            class,
        } => writeln!(svg, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>"),
        SvgShape::Path {
            element,
            points,
            class,
        } => writeln!(svg, "<{element} class=\"{class}\" points=\"{}\"/>", list(points)),
        SvgShape::Text {
            area,
            style,
            text,
            full,
        } => writeln!(svg, "{}", text_element(*area, *style, text, full.as_deref())),
        SvgShape::Group { title, shapes } => {
            let _ = writeln!(svg, "<g><title>{}</title>", escape(title));
            for shape in shapes {
                write(svg, shape);
            }
            writeln!(svg, "</g>")
        }
    };
}

fn list(points: &[(i32, i32)]) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    points.join(" ")
}

fn text_element(area: Area, style: Style, text: &str, full: Option<&str>) -> String {
    let (x, anchor) = match style.anchor {
        Anchor::Start => (area.x, ""),
        Anchor::Middle => (area.x + area.width / 2, " text-anchor=\"middle\""),
        Anchor::End => (area.right(), " text-anchor=\"end\""),
    };
    // Capitals are about seven tenths of the size high.
    let y = area.middle() + style.face.size() * 35 / 100;
    // Letters that no monospaced font has would be of another width.
    let is_common = |character: char| character.is_ascii() || character == CUT;
    let length = if text.chars().all(is_common) {
        String::new()
    } else {
        let width = style.face.width(text);
        format!(" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\"")
    };
    let title = full.map_or_else(String::new, |full| {
        format!("<title>{}</title>", escape(full))
    });
    format!(
        "<text class=\"{} {}\" x=\"{x}\" y=\"{y}\"{anchor}{length}>{title}{}</text>",
        style.face.class(),
        style.ink,
        escape(text)
    )
}
