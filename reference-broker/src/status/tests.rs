use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::codec::{Connect, Framer, Packet, PropertyId, Publish, QoS, Side, Subscribe};
use crate::core::{Config, Input, Moment, Output};

/// What is answered to a request, head and body.
async fn ask(server: &Arc<Server>, request: &str) -> (String, String) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(connection(theirs, Arc::clone(server), Arc::default()));
    ours.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.unwrap();
    serving.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn get(server: &Arc<Server>, path: &str) -> (String, String) {
    let (head, body) =
        ask(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    (head.lines().next().unwrap().to_owned(), body)
}

/// A client that sends packets one after another and waits for an answer to each.
async fn client(server: &Server, packets: Vec<Packet>) -> DuplexStream {
    let mut stream = server.connect().await.unwrap();
    let mut framer = Framer::new(u32::MAX);
    for packet in packets {
        let mut bytes = BytesMut::new();
        packet.encode(&mut bytes).unwrap();
        stream.write_all(&bytes).await.unwrap();
        loop {
            if let Some(frame) = framer.next_frame().unwrap() {
                Packet::decode(&frame, Side::Server).unwrap();
                break;
            }
            assert!(stream.read_buf(framer.buffer()).await.unwrap() > 0);
        }
    }
    stream
}

async fn busy_server() -> (Arc<Server>, Vec<DuplexStream>) {
    let server = Arc::new(Server::start(Config::default()));
    let mut connect = Connect::new("alice").with(PropertyId::SessionExpiryInterval, 60_u32);
    connect.user_name = Some("a user".into());
    connect.password = Some(Bytes::from_static(b"a secret"));
    let alice = client(
        &server,
        vec![
            connect.into(),
            Subscribe::new(1, "alice/#", QoS::AtLeastOnce).into(),
            Subscribe::new(2, "$share/all/+", QoS::ExactlyOnce).into(),
        ],
    )
    .await;
    let mut kept = Publish::new("kept", Bytes::from_static(b"a payload")).qos(QoS::AtLeastOnce, 1);
    kept.retain = true;
    let bob = client(&server, vec![Connect::new("bob").into(), kept.into()]).await;
    (server, vec![alice, bob])
}

#[tokio::test(start_paused = true)]
async fn state_shows_what_is_there_and_no_secret() {
    let (server, _clients) = busy_server().await;
    let (status, body) = get(&server, "/state").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let state: serde_json::Value = serde_json::from_str(&body).unwrap();
    let alice = &state["sessions"][0];
    assert_eq!(alice["client_id"], "alice");
    assert_eq!(
        (&alice["connected"], &alice["session_expiry_interval"]),
        (&true.into(), &60.into())
    );
    assert_eq!(alice["subscriptions"][1]["filter"], "alice/#");
    assert_eq!(alice["subscriptions"][1]["qos"], 1);
    assert_eq!(state["retained"][0]["topic"], "kept");
    assert_eq!(state["shared"][0]["members"][0], "alice");
    assert_eq!(state["total"]["sessions"], 2);
    for secret in ["a payload", "a secret", "a user"] {
        assert!(!body.contains(secret), "{body}");
    }
    let (_, body) = get(&server, "/state?limit=1&after=alice").await;
    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(page["sessions"][0]["client_id"], "bob");
    assert_eq!(page.get("retained"), None);
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_happened() {
    let (server, _clients) = busy_server().await;
    let (status, body) = get(&server, "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "mqtt_sessions{state=\"connected\"} 2",
        "mqtt_subscriptions 1",
        "mqtt_shared_members 1",
        "mqtt_retained_messages 1",
        "mqtt_messages_total{direction=\"received\",qos=\"1\"} 1",
        "mqtt_messages_total{direction=\"sent\",qos=\"1\"} 1",
        "mqtt_payload_bytes_total{direction=\"received\"} 9",
        "mqtt_accepted_total 2",
        "mqtt_dropped_total{cause=\"queue_full\"} 0",
        "mqtt_shell_connections 2",
        "mqtt_restarts_total 0",
        "mqtt_inbox_depth 0",
        "mqtt_outbox_bytes 0",
        "mqtt_tap_inbox_depth 0",
        "mqtt_tap_queues_depth 0",
        "mqtt_tap_dropped_total 0",
        "# EOF",
    ] {
        assert!(body.lines().any(|it| it == line), "{line} is not in\n{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_there_is_not_is_refused() {
    let server = Arc::new(Server::start(Config::default()));
    assert_eq!(get(&server, "/healthz").await, ("HTTP/1.1 200 OK".into(), "ok\n".into()));
    assert_eq!(get(&server, "/secrets").await.0, "HTTP/1.1 404 Not Found");
    assert_eq!(get(&server, "/state?limit=many").await.0, "HTTP/1.1 400 Bad Request");
    let (head, _) =
        ask(&server, "POST /state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    assert!(head.to_lowercase().contains("allow: get, head"), "{head}");
}

/// An engine that shows no core.
struct Hidden;

impl crate::actor::Engine for Hidden {
    fn handle(&mut self, _: Moment, _: Input) {}

    fn next_output(&mut self) -> Option<Output> {
        None
    }

    fn next_deadline(&self) -> Option<Moment> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_cannot_be_looked_at_is_not_healthy() {
    let server = Arc::new(Server::start_engine(Box::new(Hidden), 1000, None));
    assert_eq!(get(&server, "/healthz").await.0, "HTTP/1.1 503 Service Unavailable");
    let (status, body) = get(&server, "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("mqtt_shell_connections 0") && !body.contains("mqtt_sessions"), "{body}");
    server.stop().await;
    assert_eq!(get(&server, "/healthz").await.0, "HTTP/1.1 503 Service Unavailable");
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_keeps_no_place() {
    let server = Arc::new(Server::start(Config::default()));
    let (mut ours, theirs) = tokio::io::duplex(1024);
    let began = Instant::now();
    let serving = tokio::spawn(connection(theirs, server, Arc::default()));
    ours.write_all(b"GET /healthz HT").await.unwrap();
    let mut rest = Vec::new();
    ours.read_to_end(&mut rest).await.unwrap();
    serving.await.unwrap();
    assert!((PATIENCE..=2 * PATIENCE).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_is_read_as_far_as_there_is_room_for_it() {
    let server = Arc::new(Server::start(Config::default()));
    const END: &[u8] = b"\r\n\r\n";
    // One that fits in with its end; one of which that is still to come, and never does.
    for (size, end, status) in [(BUFFER - END.len(), END, "200"), (BUFFER, b"", "431")] {
        let (mut ours, theirs) = tokio::io::duplex(2 * BUFFER);
        let serving = tokio::spawn(connection(theirs, Arc::clone(&server), Arc::default()));
        let mut head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned();
        head.push_str(&"x".repeat(size - head.len()));
        ours.write_all(head.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        ours.write_all(end).await.unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await.unwrap();
        serving.await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{size}: {answer}");
    }
}

#[tokio::test]
async fn for_one_too_many_the_oldest_has_to_go() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener, Arc::new(Server::start(Config::default())), Arc::default()));
    let mut early = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /healthz HT").await.unwrap();
        early.push(client);
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE / 2, late.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let ended = timeout(PATIENCE / 2, early[0].read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    early[1].write_all(b"TP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE / 2, early[1].read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "the others still have their places: {answer}");
}

#[tokio::test]
async fn under_a_name_that_is_not_its_own_nothing_is_told() {
    let server = Arc::new(Server::start(Config::default()));
    for (host, status) in [("127.0.0.1:80", "200"), ("evil.example", "421")] {
        let request = format!("GET /state HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (head, body) = ask(&server, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(body == NOT_A_NAME, status == "421", "{body}");
    }
}
