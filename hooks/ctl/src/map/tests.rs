//! What comes of whole hosts, in each form; `PORTERO_CASES=accept` writes it down in tests/map.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use super::fixtures::{documented, fifty, hostile, small, HOSTILE};
use super::tree::{Charset, Terminal};
use super::value::Map;
use super::{dot, svg, tree};
use crate::snapshot::compare;
use crate::text::{measure, shown};
use portero_xml::Element;

const UNICODE: Terminal = Terminal {
    charset: Charset::Unicode,
    width: None,
};
const NARROW: Terminal = Terminal {
    charset: Charset::Ascii,
    width: Some(60),
};

/// All forms of a map, by the ends of their files' names.
fn forms(map: &Map) -> [(&'static str, String); 5] {
    [
        ("tree", tree::draw(map, UNICODE)),
        ("60.tree", tree::draw(map, NARROW)),
        ("svg", svg::draw(map)),
        ("dot", dot::draw(map)),
        ("json", crate::json::to_json(map)),
    ]
}

#[test]
fn forms_are_as_they_were() {
    let maps = [("small", small().map()), ("fifty", fifty())];
    let texts = maps
        .iter()
        .flat_map(|(name, map)| forms(map).map(|(end, text)| (format!("{name}.{end}"), text)));
    compare("map", texts);
}

#[test]
fn the_picture_of_the_documentation_is_what_is_drawn() {
    let picture = ("map.svg".to_owned(), svg::draw(&documented()));
    compare("../docs", [picture]);
}

#[test]
fn there_are_fifty_guests() {
    assert_eq!(fifty().guest_count(), 50);
}

#[test]
fn a_hostile_name_is_only_text_in_svg() {
    let svg = svg::draw(&hostile());
    let root = Element::parse(svg.as_bytes()).unwrap();
    let known = "svg title desc style g rect circle text polyline polygon";
    let known: Vec<&str> = known.split(' ').collect();
    let mut texts = Vec::new();
    let mut elements = vec![&root];
    while let Some(element) = elements.pop() {
        assert!(known.contains(&element.name()), "<{}>", element.name());
        for name in element.attribute_names() {
            let is_active = name.starts_with("on") || name.contains("href");
            assert!(!is_active, "{name} of <{}>", element.name());
        }
        texts.push(element.text());
        elements.extend(element.children());
    }
    for name in HOSTILE {
        let (name, guest) = (shown(name), format!("guest {}", shown(name)));
        assert!(texts.contains(&name.as_str()), "{name}");
        assert!(texts.iter().any(|text| text.contains(&guest)), "{guest}");
    }
    for foreign in ["http", "url(", "@import", "data:"] {
        let own = svg.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(foreign), "{foreign} is not in the file");
    }
}

/// The strings of a graph; what is between them can only be words of our own.
fn strings(dot: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut characters = dot.chars();
    while let Some(character) = characters.next() {
        if character != '"' {
            let is_own = character.is_ascii_alphanumeric() || "[]{};,=->_. \n".contains(character);
            assert!(is_own, "{character:?} outside of a string");
            continue;
        }
        let mut string = String::new();
        loop {
            match characters.next().unwrap() {
                '"' => break,
                '\\' => match characters.next().unwrap() {
                    'n' => string.push('\n'),
                    other => {
                        assert!("\"\\".contains(other), "\\{other}");
                        string.push(other);
                    }
                },
                other => string.push(other),
            }
        }
        strings.push(string.replace("&amp;", "&"));
    }
    strings
}

#[test]
fn a_hostile_name_is_only_text_in_dot() {
    let strings = strings(&dot::draw(&hostile()));
    for name in HOSTILE {
        let name = format!("{} (nat)", shown(name));
        assert!(strings.contains(&name), "{name} in {strings:?}");
    }
}

#[test]
fn a_tree_fits_its_terminal() {
    for map in [small().map(), fifty(), hostile()] {
        for width in [40, 80, 200] {
            for charset in [Charset::Unicode, Charset::Ascii] {
                let width = Some(width);
                let tree = tree::draw(&map, Terminal { charset, width });
                for line in tree.lines() {
                    assert!(Some(measure(line)) <= width, "{line}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                    assert!(charset == Charset::Unicode || line.is_ascii(), "{line}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_between_lines() {
    let words = |terminal: Terminal| {
        let tree = tree::draw(&small().map(), terminal);
        let words = tree.split(|character: char| " |`\n".contains(character));
        let words = words.filter(|word| !word.is_empty() && *word != "-");
        words.map(str::to_owned).collect::<Vec<String>>()
    };
    let wide = Terminal {
        charset: Charset::Ascii,
        width: None,
    };
    assert_eq!(words(NARROW), words(wide));
}

#[test]
fn lines_are_drawn_only_where_they_can_be() {
    let of = |variables: &[(&str, &str)]| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Charset::from_environment(&variable)
    };
    assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Charset::Unicode);
    assert_eq!(
        of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]),
        Charset::Unicode
    );
    assert_eq!(
        of(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]),
        Charset::Ascii
    );
    assert_eq!(
        of(&[("LANG", "de_DE.UTF-8"), ("TERM", "dumb")]),
        Charset::Ascii
    );
    assert_eq!(of(&[]), Charset::Ascii);
}
