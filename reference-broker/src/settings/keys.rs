//! Every key of the configuration: what it is, and why its default is what it is. What is announced to
//! clients has the standard's name.

use super::Settings;
use super::key::{Key, keys};

pub(super) const KEYS: &[Key<Settings>] = keys![
    "listen" => listen,
        "Where to listen: mqtt://HOST:PORT, mqtts:// (TLS), ws:// (WebSocket), wss:// (both).",
        "Only this machine can reach the default.";
    "http" => http,
        "Where to tell of health, metrics and state over HTTP: HOST:PORT.",
        "Not set: nowhere, as whoever can reach it sees who is connected.";
    "names" => browsers.names,
        "Host names of the broker, besides IP addresses, localhost and the names it listens on. Requests for status, and \
         web pages, that call it by another name are refused.",
        "None: anybody can point a name of their own at this machine.";
    "origins" => browsers.origins,
        "Origins whose web pages may connect over WebSocket, besides the broker's own host, such as \
         \"https://dashboard.example\"; \"*\" for all.",
        "None: whoever opens a page has not asked it to connect here.";
    "taps" => taps,
        "Patterns of topics whose messages are printed: filters whose wildcards may have names, as \
         in \"sensors/{room}/temperature\".",
        "None: payloads are not for everybody who sees what is printed.";

    "tls.certificate" => tls_certificate,
        "The certificate for mqtts:// and wss://, with those that lead to its authority: a PEM file.",
        "Not set: only you know by which name you are called.";
    "tls.key" => tls_key,
        "Its private key: a PEM file.",
        "Not set: it belongs to the certificate.";
    "tls.client_authority" => tls_client_authority,
        "The authority of client certificates: a PEM file.",
        "Not set: none are asked for, as most clients have none.";
    "tls.client_certificate_required" => tls_client_certificate_required,
        "Whether clients without a certificate are turned away.",
        "Not: they may have passwords.";

    "access.anonymous" => anonymous,
        "Who may enter without a User Name: \"nobody\", those who come where only this machine can \
         (\"local\"), or \"everybody\". Users are written as [[user]], with name, password and scram as \
         --hash-password prints them.",
        "Local: whoever tries it needs no users, and no stranger comes in.";
    "access.allow" => core.access.default_allow,
        "Whether what no rule is about is allowed. Rules are written as [[rule]], with user (or \
         anonymous = true), action (\"publish\", \"subscribe\" or \"both\"), filter and allow; the first \
         that is about something decides.",
        "It is: where there are no rules, nobody means to forbid anything.";
    "access.disconnects_at_qos0" => core.access.disconnects_at_qos0,
        "Whether a QoS 0 message that may not be published closes the connection with 0x87, rather \
         than be dropped.",
        "Dropped: what else the client does may be allowed.";

    "announced.receive_maximum" => core.receive_maximum,
        "How many QoS 1 and 2 messages of one client may be unacknowledged at once. One more closes \
         the connection with 0x93.",
        "100: enough for any latency, and little to keep.";
    "announced.maximum_packet_size" => core.maximum_packet_size,
        "The largest packet a client may send, in bytes. A larger one closes the connection with \
         0x95 before its body is read.",
        "16 MiB: far more than messages usually have, and no more than one connection should make \
         the broker keep at once.";
    "announced.topic_alias_maximum" => core.topic_alias_maximum,
        "The highest Topic Alias a client may use; 0 for none. A higher one closes the connection \
         with 0x94.",
        "100: enough for what one client publishes again and again, and little to keep.";
    "announced.maximum_qos" => core.maximum_qos,
        "The highest QoS of messages from clients: 0, 1 or 2. One above it closes the connection \
         with 0x9B; a Will above it refuses the CONNECT.",
        "2: what other brokers are measured against has all there is.";
    "announced.retain_available" => core.features.retain,
        "Whether there are retained messages. Without them RETAIN closes the connection with 0x9A.",
        "There are, for the same reason.";
    "announced.wildcard_subscription_available" => core.features.wildcards,
        "Whether filters may have wildcards.",
        "They may, for the same reason.";
    "announced.subscription_identifier_available" => core.features.subscription_identifiers,
        "Whether there are Subscription Identifiers.",
        "There are, for the same reason.";
    "announced.shared_subscription_available" => core.features.shared_subscriptions,
        "Whether there are Shared Subscriptions.",
        "There are, for the same reason.";
    "announced.server_keep_alive" => core.server_keep_alive,
        "The Keep Alive of all clients, in seconds, in the place of what they ask for; 0 for none.",
        "Not set: a client knows best how soon its loss matters.";

    "session.expiry_at_least" => core.session_expiry.0,
        "The shortest Session Expiry Interval, in seconds. A client that asks for less is told so.",
        "0: what its client does not want back need not be kept.";
    "session.expiry_at_most" => core.session_expiry.1,
        "The longest Session Expiry Interval, in seconds; 4294967295 never ends. A client that asks \
         for more is told so.",
        "Any: how much is kept is bounded, so how long need not be.";
    "session.assigns_client_ids" => core.assigns_client_ids,
        "Whether a client without a Client Identifier is given one, rather than refused with 0x85.",
        "It is given one: whoever asks for it has no other wish.";
    "session.connect_timeout" => core.connect_timeout,
        "Seconds from the opening of a connection to its CONNECT, authentication included.",
        "30: time for a slow network, and for a few steps of authentication; whoever says nothing \
         is not to hold a place for longer.";
    "session.timer_grain" => core.timer_grain,
        "Seconds between the moments at which the broker looks for what is due. Coarser ones save \
         wakes.",
        "A millisecond: finer ones there are none.";

    "subscription.granted_qos" => core.granted_qos,
        "The highest QoS a subscription is granted: 0, 1 or 2.",
        "2: everybody gets what was asked for.";
    "subscription.refused_in_suback" => core.features.refused_in_suback,
        "Whether a subscription of a kind that is not available is refused in SUBACK, as table 3-8 \
         has it, rather than with a DISCONNECT, as sections 3.2.2.3.11 to 13 have it.",
        "DISCONNECT: those sections are about just this case, the table only lists codes.";
    "subscription.copy_for_each" => core.handling.copy_for_each_subscription,
        "Whether a client gets a copy of a message for each of its subscriptions that match, rather \
         than one for all.",
        "One: that is what most expect.";
    "subscription.sharing" => core.handling.sharing,
        "Who of a Shared Subscription gets a message: the connected ones \"in-turn\", all in turn \
         (\"in-turn-absent-too\"), or \"the-same\" one while it is connected.",
        "In turn: the work is for those who can do it, and alike for each.";
    "subscription.shares_again_at_loss" => core.handling.shares_again_at_loss,
        "Whether what a member of a Shared Subscription has not acknowledged goes to another as soon \
         as its connection is lost, rather than when its session ends.",
        "When that ends: it may come back and go on, and nothing is done twice.";
    "subscription.retained_once" => core.handling.retained_once_for_subscribe,
        "Whether a retained message comes once for all filters of one SUBSCRIBE, rather than for \
         each.",
        "For each: every filter is a subscription of its own.";
    "subscription.retained_despite_no_local" => core.handling.retained_despite_no_local,
        "Whether a client's own retained messages come to its subscriptions with No Local: section \
         3.8.3.1 can be read both ways.",
        "They do not: not to get its own messages is what the client asks for.";
    "subscription.retain_if_all" => core.handling.retain_if_all,
        "Whether one copy for several subscriptions has RETAIN only if each of them alone would, \
         rather than if any would.",
        "If any: a subscription that wants to know is told.";

    "message.send_window" => core.send_window,
        "How many QoS 1 and 2 messages are on their way to one client at once, if its Receive \
         Maximum does not say less. The rest waits in its session.",
        "256: enough to keep a client busy that is far away, and not much to repeat to one that was \
         lost.";
    "message.queue_limit" => core.queue_limit,
        "How many messages wait for one client. A message beyond is dropped for that client, and its publisher gets 0x97 \
         in PUBACK or PUBREC.",
        "10,000: enough for an absence, and an end to what is kept for one that never comes back.";
    "message.outbound_alias_maximum" => core.outbound_alias_maximum,
        "How many topics have a Topic Alias towards a client, if its own Topic Alias Maximum does \
         not say less.",
        "None: packets are then what they seem.";
    "message.tells_no_subscribers" => core.tells_no_subscribers,
        "Whether a publisher is told by 0x10 that there was no subscription for its message.",
        "It is: it costs nothing, and shows a topic that was misspelt.";
    "message.tells_full_queues" => core.handling.tells_full_queues,
        "Whether a publisher is told 0x97 when a queue has no room for its message, rather than a success.",
        "It is: nothing that was acknowledged with success is lost.";
    "message.hands_on_at_release" => core.handling.hands_on_at_release,
        "Whether a QoS 2 message is handed on at PUBREL rather than at PUBLISH.",
        "At PUBLISH: it arrives sooner, and only its Packet Identifier has to be kept.";
    "message.drops_unreleased" => core.handling.drops_unreleased,
        "Whether a QoS 2 message that waits for its PUBREL is dropped when the session ends, rather than handed \
         on then.",
        "It is handed on: PUBREC has made the broker its owner.";
    "message.queues_qos0" => core.handling.queues_qos0,
        "Whether QoS 0 messages wait for clients that are not there, or have no quota left, as \
         others do.",
        "They do not: they are for those who are there.";
    "message.retains_qos0" => core.handling.retains_qos0,
        "Whether messages at QoS 0 are retained.",
        "They are: to drop one at once is allowed, but not what RETAIN asks for.";
    "message.drops_lifetime_0" => core.handling.drops_lifetime_0,
        "Whether a message with a Message Expiry Interval of 0 is handed to nobody, rather than to \
         those who can have it at once.",
        "To those: no time has passed for them.";
    "message.repeats_publish_first" => core.handling.repeats_publish_first,
        "Whether PUBLISH packets are repeated before PUBREL packets on a new connection.",
        "PUBREL first: what has got so far is soon done with, and makes room.";
    "message.counts_wrong_acknowledgements" => core.handling.counts_wrong_acknowledgements,
        "Whether a PUBACK or PUBCOMP of the wrong kind gives back quota and is otherwise passed over, \
         rather than ending the connection.",
        "It ends it: such a client has lost count.";
    "message.lowest_packet_id_first" => core.handling.lowest_packet_id_first,
        "Whether the lowest free Packet Identifier is taken next, rather than the one that has been \
         free for the longest time.",
        "The latter: it shows mistakes sooner.";
    "message.dollar_topics" => core.handling.dollar_topics,
        "What becomes of messages from clients whose topic begins with $: \"refused\" with 0x90, \
         \"dropped\" after a good acknowledgement, or \"handed-on\" as others.",
        "Refused: such topics are for the server's own use, and a client should know.";
    "message.clean_start_deletes_will" => core.handling.clean_start_deletes_will,
        "Whether a Clean Start within the Will Delay Interval deletes the Will rather than publish \
         it because its session ends: section 3.1.3.2.2 says both.",
        "It is published: the session that it speaks of is over.";
    "message.takeover_deletes_will" => core.handling.takeover_deletes_will,
        "Whether a takeover deletes the Will of the connection that it ends, but for one without a delay \
         whose session ends.",
        "It is published, unless it is delayed and its session continues: its client did not disconnect.";

    "answer.reason_strings" => core.reason_strings,
        "Whether refusals come with a Reason String.",
        "They do: they tell a client of its own fault only.";
    "answer.response_information" => response_information,
        "What clients that ask for Response Information are given: the beginning of topics for \
         responses.",
        "Not set: nothing, as whether they may use such topics is for the rules.";
    "answer.response_information_for_each_client" => response_information_for_each_client,
        "Whether the Client Identifier follows it, so that each client has topics of its own.",
        "Not: what is given is what was set.";

    "redirection.on" => redirection_on,
        "Whether clients are sent elsewhere when they connect, with 0x9C or 0x9D.",
        "Not: they are served here.";
    "redirection.permanent" => redirection_permanent,
        "Whether they are to go there for good, 0x9D.",
        "Not: a client that goes for a time can be called back.";
    "redirection.server_reference" => redirection_server_reference,
        "Where: one or more HOST:PORT, separated by spaces.",
        "Not set: they have to know.";

    "bounds.unaccepted_connections" => core.bounds.unaccepted_connections,
        "Connections whose CONNECT is not accepted yet. One more is closed as it opens.",
        "10,000: they cost little and are soon gone, but whoever opens them needs no name.";
    "bounds.unaccepted_bytes" => core.bounds.unaccepted_bytes,
        "Bytes kept for clients that are still asked about: Wills, and packets that wait for CONNACK. \
         A CONNECT beyond gets CONNACK 0x89, a packet beyond 0x97.",
        "256 MiB: whoever sends this has yet to show who it is.";
    "bounds.connections" => core.bounds.connections,
        "Connected clients. One more gets CONNACK 0x89: there may be room soon.",
        "100,000: as many as sessions; shell.maximum_connections lets fewer in.";
    "bounds.sessions" => core.bounds.sessions,
        "Sessions, connected or waiting. At the limit a new session replaces a waiting one: the oldest of the user with \
         the most of them. If all are connected, a CONNECT that needs one more gets CONNACK 0x97.",
        "100,000: each is small if nothing waits in it.";
    "bounds.client_id_bytes" => core.bounds.client_id_bytes,
        "Bytes of a Client Identifier. A longer one gets CONNACK 0x85.",
        "65,535: all that can be written.";
    "bounds.will_bytes" => core.bounds.will_bytes,
        "Bytes of a Will. A larger one gets CONNACK 0x97.",
        "1 MiB: more than topic, payload and all single properties together can have.";
    "bounds.all_will_bytes" => core.bounds.all_will_bytes,
        "Bytes of the Wills of all sessions. A CONNECT whose Will would be beyond gets CONNACK 0x97.",
        "256 MiB: a Will of a usual size for each of as many sessions as there may be.";
    "bounds.filters" => core.bounds.filters,
        "Filters in one SUBSCRIBE or UNSUBSCRIBE. Those beyond get 0x97 in SUBACK, 0x83 in UNSUBACK.",
        "10,000: as many as subscriptions of one session; each may bring many retained messages.";
    "bounds.subscriptions_per_session" => core.bounds.subscriptions_per_session,
        "Subscriptions of one session. One more gets 0x97 in SUBACK.",
        "10,000: so many copies a message may have for one client.";
    "bounds.filter_bytes_per_session" => core.bounds.filter_bytes_per_session,
        "Bytes of all filters of one session. One beyond gets 0x97 in SUBACK.",
        "16 MiB: far more than 10,000 usual ones have.";
    "bounds.filter_bytes" => core.bounds.filter_bytes,
        "Bytes of all filters of all sessions. One beyond gets 0x97 in SUBACK.",
        "512 MiB: as many filters as there may be, of some levels each.";
    "bounds.subscriptions" => core.bounds.subscriptions,
        "Subscriptions of all sessions. One more gets 0x97 in SUBACK.",
        "1,000,000: ten for each of as many sessions as there may be.";
    "bounds.topic_levels" => core.bounds.topic_levels,
        "Levels of a topic or filter. One with more gets 0x90 or, in SUBACK, 0x8F. In memory a level \
         costs about sixty times the byte it takes on the wire.",
        "65,536: all that can be written, as section 4.7.3 knows no other limit; what levels cost is \
         counted in bytes.";
    "bounds.properties" => core.bounds.properties,
        "Properties of one message. One with more gets 0x97.",
        "10,000: in memory one costs about thirty times the five bytes it takes on the wire.";
    "bounds.retained_messages" => core.bounds.retained_messages,
        "Retained messages. One more gets 0x97 in its acknowledgement.",
        "1,000,000: as many as one SUBSCRIBE may bring.";
    "bounds.retained_bytes" => core.bounds.retained_bytes,
        "Bytes of all retained messages, with the same effect.",
        "2 GiB: two KiB for each of as many as there may be.";
    "bounds.retained_per_subscribe" => core.bounds.retained_per_subscribe,
        "Retained messages that one SUBSCRIBE brings. More are dropped.",
        "1,000,000: one filter may bring all there are, but many filters not many times as many.";
    "bounds.retained_search_per_subscribe" => core.bounds.retained_search_per_subscribe,
        "Steps in the tree of retained topics that one SUBSCRIBE may cost; what is not found by then \
         does not come.",
        "1,000,000: about a tenth of a second, for which all others wait.";
    "bounds.queued_bytes_per_session" => core.bounds.queued_bytes_per_session,
        "Bytes of the messages that wait for, or are on their way to, one client. A message beyond \
         is dropped as one beyond message.queue_limit is.",
        "128 MiB: some of the largest packets; how many may wait is message.queue_limit.";
    "bounds.queued_bytes" => core.bounds.queued_bytes,
        "The same of all clients together.",
        "256 MiB: less than what a small machine has.";
    "bounds.unreleased_per_session" => core.bounds.unreleased_per_session,
        "QoS 2 messages of one client that wait for PUBREL. One more gets PUBREC 0x97.",
        "65,535: as many as have a Packet Identifier.";
    "bounds.unreleased_bytes_per_session" => core.bounds.unreleased_bytes_per_session,
        "Bytes of those, if they are kept until then. One beyond gets PUBREC 0x97.",
        "128 MiB: as much as may wait in the other direction.";
    "bounds.alias_bytes" => core.bounds.alias_bytes,
        "Bytes of the topics that a client has Topic Aliases for. More close the connection with \
         0x97.",
        "16 MiB: more than the longest topics for the default number of aliases.";
    "bounds.all_alias_bytes" => core.bounds.all_alias_bytes,
        "The same of all connections, with the same effect.",
        "256 MiB: whoever is refused can do without an alias.";

    "shell.maximum_connections" => shell.maximum_connections,
        "Connections, including those being opened or closed. At the limit a new connection replaces another: the \
         longest silent one of the address with the most connections.",
        "10,000: what a usual limit of file descriptors lets a process have.";
    "shell.inbox_messages" => shell.inbox.items,
        "Packets that wait for the broker before readers wait for it, and so, by TCP, their clients.",
        "160,000: 16 of each of 10,000 connections, and one has no more than 16 there.";
    "shell.inbox_bytes" => shell.inbox.bytes,
        "Their bytes, with the same effect.",
        "64 MiB: four of the largest packets.";
    "shell.outbox_packets" => shell.outbox.items,
        "Packets that wait to be written to one client. Beyond it a QoS 0 message is dropped, and \
         anything else ends the connection: who does not read cannot be told anything. Retained messages at QoS 0 have \
         no such bound, but may take half of shell.outbox_total_bytes.",
        "8,192: far more than are on their way at QoS 1 and 2, so that answers and QoS 0 have room.";
    "shell.outbox_bytes" => shell.outbox.bytes,
        "Their bytes, with the same effect; the payloads of QoS 1 and 2 are counted elsewhere.",
        "16 MiB: the largest packet, or many usual ones.";
    "shell.outbox_total_bytes" => shell.outbox_total_bytes,
        "Bytes that wait to be written to all clients: of a packet all but its payload, and 256 more. \
         Beyond it, a client for whom more than 64 KiB wait is treated as if its outbox were full.",
        "256 MiB: a million small packets, where those who read have next to nothing waiting.";
    "shell.partial_bytes" => shell.partial_bytes,
        "Bytes kept of packets that are not whole yet, over all connections. One that needs more is \
         closed.",
        "256 MiB: sixteen of the largest packets at once.";
    "shell.packet_timeout" => shell.packet_timeout,
        "Seconds from the first byte of a packet to its last, or in which half as many KiB of it have \
         to come. The only bound for a client without a Keep Alive.",
        "60: longer than session.connect_timeout, so that a CONNECT that does not come is the \
         core's to end.";
    "shell.handshake_timeout" => shell.handshake_timeout,
        "Seconds that a TLS or WebSocket handshake may take.",
        "10: many times what it takes on a slow network, and no place is held for long.";
    "shell.close_timeout" => shell.close_timeout,
        "Seconds that a client has to take what was sent to it before its connection was closed, however \
         much that is. The rest is lost to it.",
        "60: what was sent is to arrive, but nobody is waited for without end.";
    "shell.stop_patience" => shell.stop_patience,
        "Seconds that clients have to take what was sent when the broker ends.",
        "5: whoever reads needs less, and whoever stops a broker waits for it.";
    "shell.tap_messages" => shell.tap_inbox.items,
        "Messages that wait for the taps. The newest is dropped beyond it.",
        "1,024: as many as wait for the broker, whose bursts these are.";
    "shell.tap_bytes" => shell.tap_inbox.bytes,
        "Their bytes, with the same effect.",
        "64 MiB: as many as wait for the broker.";
];
