//! Asks a service for an answer, from any of the lab's places.

use crate::Machine;
use std::fmt;
use std::time::{Duration, Instant};

/// Where a connection is made from.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// The machine outside.
    Outside,
    /// The host itself.
    Host,
    /// This network namespace.
    Namespace(&'a str),
    /// The guest with this address, asked by its agent's control port.
    Guest(&'a str),
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP; between guests only, the lab's own kernel has none.
    Sctp,
    /// An echo of ICMP or ICMPv6; the port says nothing.
    Icmp,
}

impl fmt::Display for Proto {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
        })
    }
}

/// How long an answer that is expected may take: guests are emulated, and boot beside other suites.
const EXPECTED: Duration = Duration::from_secs(60);

/// How long is waited for one attempt, and for an answer that must not come.
const ATTEMPT: Duration = Duration::from_millis(900);

impl Machine {
    /// One attempt: the answer, or why there is none.
    ///
    /// # Errors
    /// What the connection failed with.
    pub fn probe(
        &self,
        from: From<'_>,
        proto: Proto,
        address: &str,
        port: u16,
    ) -> Result<String, String> {
        self.probe_for(ATTEMPT, from, proto, address, port)
    }

    /// As [`Machine::probe`], with another time to wait for an answer.
    ///
    /// # Errors
    /// What the connection failed with.
    pub fn probe_for(
        &self,
        wait: Duration,
        from: From<'_>,
        proto: Proto,
        address: &str,
        port: u16,
    ) -> Result<String, String> {
        let (port, wait) = (port.to_string(), wait.as_millis().to_string());
        let proto = proto.to_string();
        let words = ["probe", &proto, address, &port, &wait];
        let ran = match from {
            From::Outside => self.outside(&self.agent(), &words),
            From::Host => self.run(&self.agent(), &words),
            From::Namespace(name) => self.inside(name, &self.agent(), &words),
            From::Guest(guest) => {
                let relay = ["ask", guest, &words.join(" ")];
                self.run(&self.agent(), &relay)
            }
        };
        if ran.ok {
            Ok(ran.stdout.trim().to_owned())
        } else {
            Err(format!("{}{}", ran.stdout, ran.stderr).trim().to_owned())
        }
    }

    /// Expects an answer that starts with `answer`; tries until it comes.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn answers(
        &self,
        from: From<'_>,
        proto: Proto,
        address: &str,
        port: u16,
        answer: &str,
    ) -> String {
        self.answers_within(EXPECTED, from, proto, address, port, answer)
    }

    /// As [`Machine::answers`], within a given time.
    ///
    /// # Panics
    /// When the answer does not come in time.
    pub fn answers_within(
        &self,
        limit: Duration,
        from: From<'_>,
        proto: Proto,
        address: &str,
        port: u16,
        answer: &str,
    ) -> String {
        let end = Instant::now() + limit;
        loop {
            let got = self.probe(from, proto, address, port);
            match got {
                Ok(line) if line.starts_with(answer) => return line,
                other if Instant::now() > end => panic!(
                    "{from:?} {proto} {address} port {port}: expected '{answer}', got {other:?}"
                ),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Expects that nobody answers: the control of a rule.
    ///
    /// # Panics
    /// When an answer comes, or when the guest that should try cannot be asked.
    pub fn refuses(&self, from: From<'_>, proto: Proto, address: &str, port: u16) {
        if let From::Guest(guest) = from {
            let asked = self.run(&self.agent(), &["ask", guest, "ping"]);
            assert!(
                asked.ok,
                "{guest} cannot be asked, so it proves nothing: {asked:?}"
            );
        }
        if let Ok(line) = self.probe(from, proto, address, port) {
            panic!("{from:?} {proto} {address} port {port}: expected no answer, got '{line}'");
        }
    }
}
