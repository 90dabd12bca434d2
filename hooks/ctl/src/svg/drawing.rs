//! Boxes, lines and texts with their places, before they are written as SVG.

use crate::text::{cut, measure, shown, CUT};

/// Free space around everything, in pixels.
pub(crate) const MARGIN: i32 = 24;

/// A rectangle, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

impl Area {
    pub(crate) const fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    pub(crate) fn right(self) -> i32 {
        self.x + self.width
    }

    pub(crate) fn bottom(self) -> i32 {
        self.y + self.height
    }

    pub(crate) fn middle(self) -> i32 {
        self.y + self.height / 2
    }
}

/// How letters look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// The name of the host, of a network.
    Title,
    /// The name of a guest or an interface.
    Name,
    /// Ports, addresses.
    Code,
    /// The same where there is less room.
    Small,
    /// Words of our own, never of others.
    Label,
    /// A heading of our own.
    Heading,
}

impl Face {
    /// Height of the letters with what they have above and below, in pixels.
    pub(crate) fn size(self) -> i32 {
        match self {
            Self::Title => 16,
            Self::Name | Self::Heading => 13,
            Self::Code | Self::Label => 12,
            Self::Small => 11,
        }
    }

    /// The class in style.css.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Name => "name",
            Self::Code => "code",
            Self::Small => "small",
            Self::Label => "label",
            Self::Heading => "heading",
        }
    }

    /// Width of a column in thousandths of [`Face::size`]: of monospaced fonts 550 to 605; of others
    /// what our own words take at most in those that are common.
    fn advance(self) -> i32 {
        match self {
            Self::Title | Self::Name | Self::Code | Self::Small => 610,
            Self::Label => 620,
            Self::Heading => 680,
        }
    }

    /// How wide a text is, in pixels.
    pub(crate) fn width(self, text: &str) -> i32 {
        let columns = i32::try_from(measure(text)).unwrap_or(i32::MAX / 65_536);
        (columns * self.size() * self.advance() + 999) / 1000
    }

    /// How many columns fit.
    fn fitting(self, width: i32) -> usize {
        usize::try_from(width * 1000 / (self.size() * self.advance())).unwrap_or(0)
    }
}

/// Where in its area a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// What a text looks like, and where in its area it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) face: Face,
    pub(crate) anchor: Anchor,
    /// A class of style.css that colours it.
    pub(crate) ink: &'static str,
}

impl Style {
    pub(crate) const fn new(face: Face, ink: &'static str) -> Self {
        let anchor = Anchor::Start;
        Self { face, anchor, ink }
    }

    pub(crate) const fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SvgShape {
    /// A rectangle with round corners.
    Box {
        area: Area,
        radius: i32,
        class: &'static str,
    },
    Disc {
        x: i32,
        y: i32,
        radius: i32,
        class: &'static str,
    },
    /// A text in its area; `full` is what it was before it was cut.
    Text {
        area: Area,
        style: Style,
        text: String,
        full: Option<String>,
    },
    /// A `polyline`, or a `polygon`, through these points.
    Path {
        element: &'static str,
        points: Vec<(i32, i32)>,
        class: &'static str,
    },
    /// Shapes that have a name together.
    Group {
        title: String,
        shapes: Vec<SvgShape>,
    },
}

/// A sheet with what is drawn on it.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// What it is called.
    pub(crate) title: String,
    /// The same in whole sentences.
    pub(crate) description: String,
    pub(crate) shapes: Vec<SvgShape>,
}

impl Drawing {
    pub(crate) fn rounded(&mut self, area: Area, radius: i32, class: &'static str) {
        self.shapes.push(SvgShape::Box {
            area,
            radius,
            class,
        });
    }

    pub(crate) fn disc(&mut self, x: i32, y: i32, radius: i32, class: &'static str) {
        self.shapes.push(SvgShape::Disc {
            x,
            y,
            radius,
            class,
        });
    }

    pub(crate) fn line(&mut self, points: &[(i32, i32)], class: &'static str) {
        self.path("polyline", points, class);
    }

    pub(crate) fn polygon(&mut self, points: &[(i32, i32)], class: &'static str) {
        self.path("polygon", points, class);
    }

    fn path(&mut self, element: &'static str, points: &[(i32, i32)], class: &'static str) {
        self.shapes.push(SvgShape::Path {
            element,
            points: points.to_vec(),
            class,
        });
    }

    /// Writes into an area as much as fits; the whole is told to whoever points there.
    pub(crate) fn text(&mut self, area: Area, style: Style, text: &str) {
        let all = shown(text);
        let text = cut(&all, style.face.fitting(area.width), CUT);
        let full = (text != all).then_some(all);
        self.shapes.push(SvgShape::Text {
            area,
            style,
            text,
            full,
        });
    }

    /// Gives a name to what is drawn meanwhile.
    pub(crate) fn group(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.shapes);
        draw(self);
        let shapes = std::mem::replace(&mut self.shapes, before);
        let title = shown(title);
        self.shapes.push(SvgShape::Group { title, shapes });
    }
}
