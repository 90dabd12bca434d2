//! One connection to the system bus, and what on it tells of firewalld.

use zbus::blocking::fdo::DBusProxy;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::Type;
use zbus::names::BusName;
use zbus::{fdo, MatchRule, Message};

/// firewalld's name and interface, firewalld.dbus(5).
const FIREWALLD: &str = "org.fedoraproject.FirewallD1";

/// The bus itself: its name, its interface, and the sender of its signals.
const BUS: &str = "org.freedesktop.DBus";

/// A connection that hears firewalld.
pub(crate) struct Bus {
    messages: MessageIterator,
    filter: Filter,
}

impl Bus {
    /// Connects and asks for firewalld's signals, and for who it is after that: a change in between
    /// is heard.
    pub(crate) fn connect() -> zbus::Result<Self> {
        let connection = Connection::system()?;
        let proxy = DBusProxy::new(&connection)?;
        let messages = MessageIterator::from(&connection);
        let reloaded = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(FIREWALLD)?
            .interface(FIREWALLD)?
            .member("Reloaded")?
            .build();
        let changed = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS)?
            .interface(BUS)?
            .member("NameOwnerChanged")?
            .add_arg(FIREWALLD)?
            .build();
        proxy.add_match_rule(reloaded)?;
        proxy.add_match_rule(changed)?;
        let owner = match proxy.get_name_owner(BusName::try_from(FIREWALLD)?) {
            Ok(owner) => Some(owner.to_string()),
            Err(fdo::Error::NameHasNoOwner(_)) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            messages,
            filter: Filter { owner },
        })
    }

    /// Calls `tell` for each message that is news, until the bus is gone.
    pub(crate) fn listen(mut self, tell: impl Fn()) {
        // An error ends it as well: there is no bus to be heard any more.
        for message in self.messages.map_while(Result::ok) {
            if self.filter.is_news(&message) {
                tell();
            }
        }
    }
}

/// Tells firewalld's signals from those that other users send in its name: anybody can send us a
/// signal, whatever was asked for, but only the bus writes who sent it.
#[derive(Debug, Default)]
struct Filter {
    /// The unique name of firewalld while it runs.
    owner: Option<String>,
}

impl Filter {
    /// Whether firewalld has reloaded, started or ended; keeps who it is.
    fn is_news(&mut self, message: &Message) -> bool {
        let header = message.header();
        let is = |name: Option<&str>, expected: &str| name == Some(expected);
        let sender = header.sender().map(|name| name.as_str());
        let interface = header.interface().map(|name| name.as_str());
        let member = header.member().map(|name| name.as_str());
        if message.message_type() != Type::Signal {
            return false;
        }
        if is(sender, BUS) && is(interface, BUS) && is(member, "NameOwnerChanged") {
            let body = message.body();
            let Ok((FIREWALLD, _, new)) = body.deserialize::<(&str, &str, &str)>() else {
                return false;
            };
            self.owner = Some(new).filter(|new| !new.is_empty()).map(str::to_owned);
            return true;
        }
        sender.is_some()
            && sender == self.owner.as_deref()
            && is(interface, FIREWALLD)
            && is(member, "Reloaded")
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Filter, BUS, FIREWALLD};
    use zbus::Message;

    fn reloaded(sender: &str) -> Message {
        let signal = Message::signal("/org/fedoraproject/FirewallD1", FIREWALLD, "Reloaded");
        let signal = signal.and_then(|signal| signal.sender(sender));
        signal
            .and_then(|signal| signal.build(&()))
            .expect("a signal")
    }

    fn owned(sender: &str, name: &str, new: &str) -> Message {
        let signal = Message::signal("/org/freedesktop/DBus", BUS, "NameOwnerChanged");
        let signal = signal.and_then(|signal| signal.sender(sender));
        signal
            .and_then(|signal| signal.build(&(name, "", new)))
            .expect("a signal")
    }

    #[test]
    fn only_the_owner_of_the_name_is_firewalld() {
        let mut filter = Filter::default();
        assert!(!filter.is_news(&reloaded(":1.5")));
        assert!(filter.is_news(&owned(BUS, FIREWALLD, ":1.5")));
        assert!(filter.is_news(&reloaded(":1.5")));
        assert!(!filter.is_news(&reloaded(":1.6")));
        assert!(filter.is_news(&owned(BUS, FIREWALLD, "")));
        assert!(!filter.is_news(&reloaded(":1.5")));
    }

    #[test]
    fn only_the_bus_says_who_owns_the_name() {
        let mut filter = Filter::default();
        assert!(!filter.is_news(&owned(":1.6", FIREWALLD, ":1.6")));
        assert!(!filter.is_news(&owned(BUS, "org.example", ":1.6")));
        assert!(!filter.is_news(&reloaded(":1.6")));
    }
}
