//! Documents whose elements, attributes and values bytes choose: mostly such as people write, so that
//! planning is reached, and now and then any text at all.

mod words;

use arbitrary::{Result, Unstructured};
use words::{
    Attributes, ADDRESSES, ANTISPOOF, DEFAULT, DEVS, FORWARD, HOST_BRIDGE, ICMP, MACS, NAMES, NAT,
    NAT_ADDRESS, NAT_PORT, NEIGHBOR, PEERS, RANGE, RULE, SERVICE,
};

/// Longest text of the bytes' own in a value.
const TEXT_LIMIT: usize = 24;

/// Most elements next to each other.
const SIBLINGS: usize = 5;

/// What the network hook gets of a network, perhaps with a guest's port.
pub(crate) fn network(bytes: &[u8]) -> String {
    let mut writer = Writer::of(bytes);
    // What is missing when the bytes end stays out.
    let _ = writer.network();
    writer.text
}

/// What the qemu hook gets of a domain.
pub(crate) fn domain(bytes: &[u8]) -> String {
    let mut writer = Writer::of(bytes);
    let _ = writer.domain();
    writer.text
}

struct Writer<'a> {
    choices: Unstructured<'a>,
    text: String,
}

impl<'a> Writer<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self {
            choices: Unstructured::new(bytes),
            text: String::new(),
        }
    }

    fn network(&mut self) -> Result<()> {
        self.text += "<hookData><network>";
        self.identity("new", "aaaaaaaa-0000-4000-8000-0000000000")?;
        self.text += "<metadata><p:network xmlns:p='urn:portero:1'>";
        for _ in 0..self.count()? {
            match self.choices.int_in_range(0..=5)? {
                0 | 1 => self.forward()?,
                2 => self.empty("hostBridge", HOST_BRIDGE)?,
                _ => self.policy()?,
            }
        }
        self.text += "</p:network></metadata>";
        let modes = [
            "<forward mode='nat'><nat ipv6='yes'/></forward>",
            "<forward mode='nat' dev='eth0'/>",
            "<forward mode='route'/>",
            "<forward mode='open'/>",
            "<forward mode='bridge'/>",
            "",
        ];
        self.text += self.choices.choose(&modes)?;
        let bridges = [
            "<bridge name='br-new'/>",
            "<bridge name='br-new' zone='x'/>",
            "",
            "<bridge name='-j'/>",
        ];
        self.text += self.choices.choose(&bridges)?;
        let subnets = [
            "<ip address='192.168.70.1' prefix='24'><dhcp><host mac='52:54:00:00:70:10' ip='192.168.70.10'/></dhcp></ip>",
            "<ip family='ipv6' address='fd00:70::1' prefix='64'><dhcp><host id='0:3:0:1:52:54:0:0:70:10' ip='fd00:70::10'/></dhcp></ip>",
            "<ip address='192.168.71.1' netmask='255.255.255.252'/>",
            "<ip address='0.0.0.0' prefix='0'/>",
            "<ip family='ipv6' address='::' prefix='0'/>",
            "<ip address='192.168.70.77' prefix='32'/>",
        ];
        for _ in 0..self.choices.int_in_range(0..=2)? {
            self.text += self.choices.choose(&subnets)?;
        }
        self.text += "</network>";
        if self.choices.ratio(1, 4)? {
            let owner = self.choices.choose(&["10", "11", "70"])?;
            self.text += &format!(
                "<networkport><uuid>cccccccc-0000-4000-8000-000000000070</uuid><owner><name>web</name>\
                 <uuid>bbbbbbbb-0000-4000-8000-0000000000{owner}</uuid></owner>\
                 <mac address='52:54:00:00:70:{owner}'/></networkport>"
            );
        }
        self.text += "</hookData>";
        Ok(())
    }

    fn domain(&mut self) -> Result<()> {
        self.text += "<domain>";
        self.identity("app", "bbbbbbbb-0000-4000-8000-0000000000")?;
        self.text += "<metadata><p:domain xmlns:p='urn:portero:1'>";
        for _ in 0..self.count()? {
            self.forward()?;
        }
        self.text += "</p:domain></metadata><devices>";
        for _ in 0..self.choices.int_in_range(0..=3)? {
            let mac = *self.choices.choose(MACS)?;
            let network = *self.choices.choose(NAMES)?;
            self.text += &format!(
                "<interface type='network'><mac address='{mac}'/><source network='{}'/>",
                escaped(network)
            );
            if self.choices.arbitrary()? {
                let dev = *self.choices.choose(DEVS)?;
                self.text += &format!("<target dev='{}'/>", escaped(dev));
            }
            self.text += "</interface>";
        }
        self.text += "</devices></domain>";
        Ok(())
    }

    /// The name and UUID of an object, mostly of a new one.
    fn identity(&mut self, name: &str, uuid: &str) -> Result<()> {
        let name = match self.choices.int_in_range(0..=7)? {
            0 => self.value(NAMES)?,
            1 => self.any_text()?,
            _ => name.to_owned(),
        };
        let number = self.choices.choose(&["70", "71", "01", "60", "10"])?;
        self.text += &format!("<name>{}</name><uuid>{uuid}{number}</uuid>", escaped(&name));
        Ok(())
    }

    fn forward(&mut self) -> Result<()> {
        self.start("portForward", FORWARD)?;
        for _ in 0..self.count()? {
            self.empty("range", RANGE)?;
        }
        self.text += "</p:portForward>";
        Ok(())
    }

    fn policy(&mut self) -> Result<()> {
        self.start(
            "policy",
            &[("mode", &["inherit", "nat", "route", "isolated"])],
        )?;
        for _ in 0..self.count()? {
            match self.choices.int_in_range(0..=9)? {
                0 => self.empty("default", DEFAULT)?,
                1 => self.empty("antispoof", ANTISPOOF)?,
                2 => self.neighbor()?,
                3 => self.nat()?,
                _ => self.rule()?,
            }
        }
        self.text += "</p:policy>";
        Ok(())
    }

    fn rule(&mut self) -> Result<()> {
        self.start("rule", RULE)?;
        for _ in 0..self.count()? {
            match self.choices.int_in_range(0..=9)? {
                0 | 1 => self.empty("tcp", SERVICE)?,
                2 => self.empty("udp", SERVICE)?,
                3 => self.empty("icmp", ICMP)?,
                4 => self.empty("icmpv6", ICMP)?,
                kind => self.empty("peer", PEERS[kind - 5])?,
            }
        }
        self.text += "</p:rule>";
        Ok(())
    }

    fn neighbor(&mut self) -> Result<()> {
        self.start("neighbor", NEIGHBOR)?;
        for _ in 0..self.count()? {
            let address = self.value(ADDRESSES)?;
            self.text += &format!("<p:address>{}</p:address>", escaped(&address));
        }
        self.text += "</p:neighbor>";
        Ok(())
    }

    fn nat(&mut self) -> Result<()> {
        self.start("nat", NAT)?;
        for _ in 0..self.choices.int_in_range(0..=2)? {
            if self.choices.arbitrary()? {
                self.empty("address", NAT_ADDRESS)?;
            } else {
                self.empty("port", NAT_PORT)?;
            }
        }
        self.text += "</p:nat>";
        Ok(())
    }

    fn empty(&mut self, name: &str, attributes: Attributes) -> Result<()> {
        self.start(name, attributes)?;
        self.text += &format!("</p:{name}>");
        Ok(())
    }

    /// A start tag: the first attribute is mostly there, each other now and then.
    fn start(&mut self, name: &str, attributes: Attributes) -> Result<()> {
        self.text += &format!("<p:{name}");
        for (index, (attribute, values)) in attributes.iter().enumerate() {
            let often = if index < 2 { 7 } else { 2 };
            if self.choices.ratio(often, 8u8)? {
                let value = self.value(values)?;
                self.text += &format!(" {attribute}='{}'", escaped(&value));
            }
        }
        if self.choices.ratio(1, 64u8)? {
            self.text += " other='1'";
        }
        self.text += ">";
        Ok(())
    }

    fn count(&mut self) -> Result<usize> {
        self.choices.int_in_range(0..=SIBLINGS)
    }

    /// A value that people write, or once in a while any.
    fn value(&mut self, values: &[&str]) -> Result<String> {
        if self.choices.ratio(1, 24u8)? {
            return self.any_text();
        }
        Ok((*self.choices.choose(values)?).to_owned())
    }

    fn any_text(&mut self) -> Result<String> {
        let length = self.choices.int_in_range(0..=TEXT_LIMIT)?;
        let bytes = self.choices.bytes(length.min(self.choices.len()))?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// As it stands in XML, which can hold most but not all control characters, by their number.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '<' | '&' | '\'' | '>' | '"' => escaped += &format!("&#{};", u32::from(character)),
            '\0' => {}
            _ if character.is_control() => escaped += &format!("&#{};", u32::from(character)),
            _ => escaped.push(character),
        }
    }
    escaped
}
