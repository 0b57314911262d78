//! Rules for packets of one type, and rules that see what goes in as well as what comes out.

use reference_broker::codec::{
    ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, ReasonCode,
};
use reference_broker::core::{Input, Output};

use super::{Act, At, Boundary, Rule, inward, reads, writes};

/// Alters CONNECT.
pub fn connects(mut alter: impl FnMut(&mut Connect, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Connect(connect) = packet {
            alter(connect, at);
        }
    })
}

/// Alters PUBLISH from clients.
pub fn publishes(mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Publish(publish) = packet {
            alter(publish, at);
        }
    })
}

/// Alters DISCONNECT from clients.
pub fn leaves(mut alter: impl FnMut(&mut Disconnect, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Disconnect(disconnect) = packet {
            alter(disconnect, at);
        }
    })
}

/// Alters PUBLISH to clients.
pub fn delivers(mut alter: impl FnMut(&mut Publish, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, at| {
        if let Packet::Publish(publish) = packet {
            alter(publish, at);
        }
    })
}

/// Alters CONNACK.
pub fn accepts(mut alter: impl FnMut(&mut ConnAck, At<'_>) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, at| {
        if let Packet::ConnAck(connack) = packet {
            alter(connack, at);
        }
    })
}

/// Refuses CONNECT packets in the place of the core, with a CONNACK and a close.
pub fn refuses(
    mut why: impl FnMut(&Connect, At<'_>) -> Option<ReasonCode> + Send + 'static,
) -> Box<dyn Rule> {
    inward(move |packet, at, act| {
        let reason = match &packet {
            Packet::Connect(connect) => why(connect, at),
            _ => None,
        };
        match reason {
            Some(reason) => {
                act.send(ConnAck::new(false, reason));
                act.close();
            }
            None => act.receive(packet),
        }
    })
}

/// A rule for packets in both directions, with a memory.
struct Both<S, I, O> {
    state: S,
    inward: I,
    outward: O,
}

impl<S, I, O> Rule for Both<S, I, O>
where
    S: Send,
    I: FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send,
    O: FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send,
{
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        let Input::Received(connection, packet) = input else { return boundary.pass(input) };
        let at = At { connection, clients: boundary.clients, now: boundary.now };
        (self.inward)(&mut self.state, packet, at, &mut Act { connection, boundary });
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        let Output::Send(connection, packet) = output else { return boundary.emit(output) };
        let at = At { connection, clients: boundary.clients, now: boundary.now };
        (self.outward)(&mut self.state, packet, at, &mut Act { connection, boundary });
    }
}

/// Goes through packets in both directions in steps of its own, which share what they remember;
/// what they do not [`Act::receive`] or [`Act::send`] is lost.
pub fn both<S: Send + 'static>(
    state: S,
    inward: impl FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
    outward: impl FnMut(&mut S, Packet, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    Box::new(Both { state, inward, outward })
}

/// Goes through all that happens in steps of its own; what it does not [`Boundary::pass`] is lost.
pub fn inputs(rule: impl FnMut(Input, &mut Boundary<'_>) + Send + 'static) -> Box<dyn Rule> {
    struct Inputs<F>(F);
    impl<F: FnMut(Input, &mut Boundary<'_>) + Send> Rule for Inputs<F> {
        fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
            (self.0)(input, boundary);
        }
    }
    Box::new(Inputs(rule))
}

/// Goes through all that is to be done in steps of its own; what it does not [`Boundary::emit`] is
/// lost.
pub fn outputs(rule: impl FnMut(Output, &mut Boundary<'_>) + Send + 'static) -> Box<dyn Rule> {
    struct Outputs<F>(F);
    impl<F: FnMut(Output, &mut Boundary<'_>) + Send> Rule for Outputs<F> {
        fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
            (self.0)(output, boundary);
        }
    }
    Box::new(Outputs(rule))
}

/// Alters or drops properties one by one.
pub fn each_property(properties: &mut Properties, alter: impl FnMut(Property) -> Option<Property>) {
    *properties = properties.iter().cloned().filter_map(alter).collect();
}
