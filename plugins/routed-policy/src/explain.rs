//! The verdict on one packet, and who gives it.

use crate::evaluate::{Decider, Party, Purpose, Question, Stage};
use crate::packet::{Packet, Protocol};
use portero_libvirt::Network;
use portero_model::{Family, Policy, Verdict};

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it arrives.
    pub verdict: Verdict,
    /// Everybody who has a say, in their order; the last has decided.
    pub deciders: Vec<Decider>,
}

/// Says what becomes of a packet, as far as libvirt and portero have a say.
pub fn explain<'a>(
    packet: &Packet,
    networks: &[Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    decide(packet, Stage::Opener, networks, policy_of)
}

/// Says what becomes of the reply to a packet that has arrived, which some judge too. Its port is
/// taken for one that nobody speaks of.
pub fn explain_reply<'a>(
    packet: &Packet,
    networks: &[Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    let reply = Packet {
        from: packet.to.clone(),
        to: packet.from.clone(),
        protocol: match packet.protocol {
            Protocol::Port(protocol, _) => Protocol::Port(protocol, UNSPOKEN_PORT),
            // Echo replies (RFC 792, RFC 4443).
            Protocol::Icmp(8, 0) => Protocol::Icmp(0, 0),
            Protocol::Icmp(128, 0) => Protocol::Icmp(129, 0),
            Protocol::Icmp(..) | Protocol::Other => Protocol::Other,
        },
        ..packet.clone()
    };
    decide(&reply, Stage::Reply, networks, policy_of)
}

/// The last of the ports that clients take (RFC 6335).
const UNSPOKEN_PORT: u16 = 65_535;

fn decide<'a>(
    packet: &Packet,
    stage: Stage,
    networks: &[Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    let question = Question {
        from: Party::One(&packet.from),
        to: Party::One(&packet.to),
        family: Family::from(packet.to.address),
        path: packet.path,
        stage,
        routing: packet.routing,
        networks,
    };
    let mut decision = Decision {
        verdict: Verdict::Accept,
        deciders: Vec::new(),
    };
    for judge in question.judges(policy_of) {
        let opinion = judge.opinion(Purpose::OfPacket(packet.protocol));
        decision.deciders.push(opinion.decider);
        decision.verdict = opinion.verdict;
        if decision.verdict != Verdict::Accept {
            break;
        }
    }
    decision
}
