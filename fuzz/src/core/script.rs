//! What the clients do, as an input chooses it.

use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{
    Connect, Disconnect, Packet, Property, PropertyId, PublishAck, QoS, ReasonCode, Side, Text,
};
use reference_broker::core::{ConnectionId, Moment, Redirection};

use super::acts::{Acts, choices};
use super::choice::config;
use super::client::{Identity, Step, Verdict};
use super::world::World;
use super::{LONGEST, act};
use crate::choices::Choices;
use crate::packet::packet;

/// No input is played for longer.
const MOST_ACTS: usize = 400;
/// No more connections are open at once.
const MOST_WIRES: usize = 8;
/// No client is sent more than this at once.
const MOST_ANSWERS: usize = 100_000;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
pub(super) const SECONDS: [u32; 9] = [3_600, 0, 1, 2, 4, 10, 60, 86_400, u32::MAX];

/// A world, and the acts that move it.
#[derive(Debug)]
pub(super) struct Script<'a> {
    acts: Acts<'a>,
    pub(super) world: World,
    /// The connection that the last act was about.
    current: ConnectionId,
    /// With what each client last connected, and who it was, to do it again.
    last: BTreeMap<Text, (Connect, Identity)>,
    pub(super) messages: u32,
}

impl<'a> Script<'a> {
    pub(super) fn new(input: &'a [u8]) -> Script<'a> {
        let (head, acts) = Acts::new(input);
        let world = World::new(config(&mut choices(&head, LONGEST)));
        let current = ConnectionId(0);
        Script { acts, world, current, last: BTreeMap::new(), messages: 0 }
    }

    /// Plays the input.
    pub(super) fn run(&mut self) {
        for _ in 0..MOST_ACTS {
            let Some((act, chosen)) = self.acts.next() else { return };
            self.perform(act::of(act), &mut choices(&chosen, LONGEST));
            self.acknowledge();
        }
    }

    fn perform(&mut self, act: u8, choices: &mut Choices<'_>) {
        match act {
            act::CONNECT | act::CONNECT_TO_STAY..=act::CONNECT_ANYHOW => {
                self.connect(act, choices);
            }
            act::RESUME | act::TAKE_OVER => self.resume(act == act::RESUME, choices),
            act::OPEN => {
                self.open();
            }
            act::DEADLINE => self.pass_to_deadline(choices),
            act::PASS | act::PASS_SECONDS => {
                let to = self.moment(act, choices);
                self.world.pass_time(to);
            }
            act::LEAP => self.world.now = self.world.now.max(self.moment(act::PASS, choices)),
            act::ANSWER_QUESTION => {
                let verdicts = [Verdict::Accepted, Verdict::GoesOn, Verdict::Refused];
                let verdict = choices.of(&verdicts).unwrap_or_default();
                self.world.answer_late(verdict);
            }
            act::REDIRECT => self.redirect(choices),
            _ => {
                let Some(id) = self.wire(choices) else {
                    return self.connect(act::CONNECT, &mut Choices::new(&[]));
                };
                self.current = id;
                self.perform_on(id, act, choices);
            }
        }
    }

    fn perform_on(&mut self, id: ConnectionId, act: u8, choices: &mut Choices<'_>) {
        match act {
            act::DROP => self.world.drop_wire(id),
            act::DISCONNECT => self.world.send(id, Disconnect::default()),
            act::DISCONNECT_ANYHOW => self.disconnect(id, choices),
            act::PUBLISH_0..=act::PUBLISH_ANYHOW => self.publish(id, act, choices),
            act::PUBLISH_BY_ALIAS => self.publish_by_alias(id, choices),
            act::REPEAT => self.repeat(id, choices),
            act::SUBSCRIBE..=act::SUBSCRIBE_ANYHOW => self.subscribe(id, act, choices),
            act::UNSUBSCRIBE => self.unsubscribe(id, choices),
            act::ANSWER_OTHER => {
                let steps = self.world.wires.get(&id).map_or(0, |wire| wire.client.steps.len());
                self.answer(id, choices.below(steps), ReasonCode::Success);
            }
            act::REFUSE => {
                self.answer(id, 0, ReasonCode::UnspecifiedError);
            }
            act::ANSWER_ALL => self.answer_all(id),
            act::ACKNOWLEDGE => self.set_acknowledges(id, choices),
            act::RELEASE | act::RELEASE_TWICE => {
                self.release(id, act == act::RELEASE_TWICE, choices);
            }
            act::ANSWER_WRONGLY => self.answer_wrongly(id, choices),
            act::PING => self.world.send(id, Packet::PingReq),
            act::AUTH => self.send_auth(id, choices),
            act::BYTES => {
                self.world.are_wills_unique = false;
                self.world.send_bytes(id, choices.rest());
            }
            act::ANY_PACKET => {
                self.world.are_wills_unique = false;
                self.world.send_wild(id, packet(choices, Side::Client));
            }
            act::PUBLISH_WILDLY => self.publish_wildly(id, choices),
            _ => {
                self.answer(id, 0, ReasonCode::Success);
            }
        }
    }

    /// Clients that acknowledge at once do.
    fn acknowledge(&mut self) {
        let wires = self.world.wires.iter();
        let acknowledging = wires.filter(|(_, wire)| wire.client.acknowledges);
        let ids: Vec<_> = acknowledging.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.answer_all(id));
    }

    fn set_acknowledges(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        if let Some(wire) = self.world.wires.get_mut(&id) {
            wire.client.acknowledges = !choices.flag();
        }
    }

    /// One of the open connections: the one that was last chosen, another one, or, from [`act::SLOT`] on, one by its
    /// number among all that were ever opened.
    fn wire(&self, choices: &mut Choices<'_>) -> Option<ConnectionId> {
        let wires = &self.world.wires;
        match choices.byte() {
            0 if wires.contains_key(&self.current) => Some(self.current),
            0 => wires.keys().next_back().copied(),
            slot @ act::SLOT.. => {
                let id = ConnectionId(u64::from(slot - act::SLOT) + 1);
                wires.contains_key(&id).then_some(id)
            }
            number => {
                let place = usize::from(number - 1).checked_rem(wires.len())?;
                wires.keys().nth(place).copied()
            }
        }
    }

    fn open(&mut self) -> Option<ConnectionId> {
        let id = (self.world.wires.len() < MOST_WIRES).then(|| self.world.open())?;
        self.current = id;
        Some(id)
    }

    /// The next client that has no connection, or one that the input names.
    fn name(&self, choices: &mut Choices<'_>) -> Text {
        let is_connected = |name: &str| {
            let mut wires = self.world.wires.values();
            wires.any(|wire| wire.client.id().is_some_and(|id| &*id == name))
        };
        let name = match choices.byte() % 6 {
            0 => NAMES.into_iter().find(|name| !is_connected(name)).unwrap_or(NAMES[0]),
            5 => "",
            number => NAMES[usize::from(number) - 1],
        };
        Text::from(name)
    }

    fn connect(&mut self, act: u8, choices: &mut Choices<'_>) {
        let mut connect = Connect::new(self.name(choices));
        if act != act::CONNECT {
            connect.clean_start = false;
            let seconds = choices.of(&SECONDS).unwrap_or_default();
            connect.properties.push(PropertyId::SessionExpiryInterval, seconds);
        }
        if act == act::CONNECT_WITH_WILL {
            connect.will = Some(self.will(choices));
        }
        if act == act::CONNECT_NARROW {
            let most = choices.of(&[1, 2, 3]).unwrap_or(1);
            connect.properties.push(PropertyId::ReceiveMaximum, most);
        }
        if act == act::CONNECT_ANYHOW {
            connect = self.connect_anyhow(connect.client_id, choices);
        }
        let identity = self.identity(&mut connect, choices);
        self.connect_with(connect, identity);
    }

    fn connect_with(&mut self, connect: Connect, identity: Identity) {
        let Some(id) = self.open() else { return };
        if let Some(wire) = self.world.wires.get_mut(&id) {
            wire.client.identity = identity.clone();
        }
        self.last.insert(connect.client_id.clone(), (connect.clone(), identity));
        self.world.send(id, connect);
    }

    /// Cuts a connection, or takes it over, and goes on with its session on a new one. If it is cut already, it
    /// goes on all the same.
    fn resume(&mut self, is_cut: bool, choices: &mut Choices<'_>) {
        let byte = choices.byte();
        let named = usize::from(byte).checked_sub(1);
        let name = match named.and_then(|number| NAMES.get(number % NAMES.len())) {
            Some(name) => Text::from(*name),
            None => {
                let current = self.world.wires.get(&self.current).and_then(|it| it.client.id());
                let absent = || self.last.keys().next_back().cloned();
                let Some(name) = current.or_else(absent) else { return };
                name
            }
        };
        let known = self.last.get(&name).or_else(|| self.last.get(&Text::default())).cloned();
        let Some((mut connect, identity)) = known else { return };
        let mut wires = self.world.wires.iter();
        let open = wires.find(|(_, it)| it.client.id().as_ref() == Some(&name)).map(|(id, _)| *id);
        if let (true, Some(id)) = (is_cut, open) {
            self.world.drop_wire(id);
        }
        if let Some(will) = &mut connect.will {
            will.payload = self.will_payload();
        }
        (connect.client_id, connect.clean_start) = (name, choices.one_in(8));
        self.connect_with(connect, identity);
    }

    /// Takes one of the steps that deliveries wait for; in order is the first.
    pub(super) fn answer(&mut self, id: ConnectionId, which: usize, reason: ReasonCode) -> bool {
        let wire = self.world.wires.get(&id).filter(|wire| !wire.is_amid_packet());
        let Some(step) = wire.and_then(|wire| wire.client.steps.get(which)).copied() else {
            return false;
        };
        self.world.send(
            id,
            match step {
                Step::Acknowledge(id) => Packet::PubAck(PublishAck::because(id, reason)),
                Step::Receive(id) => Packet::PubRec(PublishAck::because(id, reason)),
                Step::Complete(id) => Packet::PubComp(PublishAck::new(id)),
            },
        );
        true
    }

    /// Takes all steps, also those that come of them.
    pub(super) fn answer_all(&mut self, id: ConnectionId) {
        let mut answers = 0;
        while self.answer(id, 0, ReasonCode::Success) {
            answers += 1;
            assert!(answers < MOST_ANSWERS, "{id:?} is sent ever more");
        }
    }

    /// Goes on with a QoS 2 message of the client's own.
    fn release(&mut self, id: ConnectionId, twice: bool, choices: &mut Choices<'_>) {
        let Some(packet_id) = self.open_message(id, choices) else { return };
        for _ in 0..=usize::from(twice) {
            self.world.send(id, Packet::PubRel(PublishAck::new(packet_id)));
        }
    }

    /// The Packet Identifier of a QoS 2 message of the client's own that is not released.
    fn open_message(&self, id: ConnectionId, choices: &mut Choices<'_>) -> Option<u16> {
        let open = &self.world.wires.get(&id)?.client.open;
        let is_released = |id: &&u16| open[id].qos == QoS::ExactlyOnce;
        let ids: Vec<u16> = open.keys().filter(is_released).copied().collect();
        choices.of(&ids)
    }

    fn repeat(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let Some(packet_id) = self.open_message(id, choices) else { return };
        let wire = self.world.wires.get(&id);
        let publish = wire.and_then(|wire| wire.client.open.get(&packet_id)).cloned();
        if let Some(publish) = publish {
            self.world.send(id, publish.dup());
        }
    }

    fn answer_wrongly(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let kinds = [Packet::PubAck, Packet::PubRec, Packet::PubRel, Packet::PubComp];
        let kind = kinds[choices.below(kinds.len())];
        let packet_id = 1 + u16::from(choices.byte() % 4);
        let reasons = [
            ReasonCode::Success,
            ReasonCode::UnspecifiedError,
            ReasonCode::PacketIdentifierNotFound,
        ];
        let reason = choices.of(&reasons).unwrap_or(ReasonCode::Success);
        self.world.send(id, kind(PublishAck::because(packet_id, reason)));
    }

    fn disconnect(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let reasons =
            [ReasonCode::DisconnectWithWill, ReasonCode::Success, ReasonCode::ProtocolError];
        let reason = choices.of(&reasons).unwrap_or(ReasonCode::Success);
        let mut disconnect = Disconnect::because(reason);
        if choices.flag() {
            let value = choices.of(&SECONDS).unwrap_or_default().into();
            let property = Property { id: PropertyId::SessionExpiryInterval, value };
            disconnect.properties = [property].into_iter().collect();
        }
        self.world.send(id, disconnect);
    }

    fn redirect(&mut self, choices: &mut Choices<'_>) {
        let redirection = Redirection {
            is_permanent: choices.byte() % 4 == 2,
            reference: choices.flag().then(|| "elsewhere".into()),
        };
        let is_over = self.world.is_redirected;
        self.world.redirect((!is_over).then_some(redirection));
    }

    /// Lets time pass to where something is due, or to the millisecond before or after.
    fn pass_to_deadline(&mut self, choices: &mut Choices<'_>) {
        let Some(Moment(due)) = self.world.broker.next_deadline() else { return };
        let to = [due, due.saturating_add(1), due.saturating_sub(1)];
        let to = choices.of(&to).unwrap_or(due);
        self.world.pass_time(Moment(to));
    }

    fn moment(&self, act: u8, choices: &mut Choices<'_>) -> Moment {
        let unit = if act == act::PASS_SECONDS { 1_000 } else { 1 };
        let (count, more) = (choices.byte(), choices.two());
        let count = (u64::from(count) << 16 | u64::from(more)).max(1);
        self.world.now.after(Duration::from_millis(count.saturating_mul(unit)))
    }
}
