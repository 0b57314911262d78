//! Clients that prove who they are, over streams within the process and on paused time.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use reference_broker::actor::Server;
use reference_broker::authentication::{
    Anonymous, Authenticator, CHALLENGE, Cost, HashedPassword, Random, SCRAM_SHA_256, User,
    UserError, challenge_response, hash_password, system_random,
};
use reference_broker::codec::{
    Auth, ConnAck, Connect, Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, Will,
};
use reference_broker::core::{Access, Action, Config, Rule, RuleFilter, Users};
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SASLConfig, Session};
use tokio::io::DuplexStream;
use tokio::time::Instant;

/// What is kept of the password `pencil`.
fn pencil() -> &'static HashedPassword {
    static HASHED: OnceLock<HashedPassword> = OnceLock::new();
    HASHED.get_or_init(|| hash_password("pencil", Cost::least(), &system_random()).unwrap())
}

/// All zeros, so that challenges are known.
fn zeros() -> Random {
    Arc::new(|bytes| {
        bytes.fill(0);
        Ok(())
    })
}

fn users() -> Vec<User> {
    let user = |name: &str| User::new(name, &pencil().password).unwrap();
    vec![
        user("alice").scram(&pencil().scram).unwrap().challenge("secret"),
        user("a,b=").scram(&pencil().scram).unwrap(),
        user("plain"),
    ]
}

fn authenticator(anonymous: bool) -> Authenticator {
    Authenticator::with_random(users(), anonymous, zeros()).unwrap()
}

fn server(anonymous: bool) -> Server {
    let authenticator = authenticator(anonymous);
    let access = authenticator.access();
    Server::start_with(Config { access, ..Config::default() }, authenticator)
}

type Client = client::Client<DuplexStream>;

/// The Authentication Data of the AUTH with this code that comes next.
async fn expect_auth(client: &mut Client, reason: ReasonCode) -> Option<Bytes> {
    match client.expect().await {
        Packet::Auth(auth) if auth.reason == reason => data(&auth),
        other => panic!("no AUTH: {other:?}"),
    }
}

async fn expect_last_words(client: &mut Client, reason: ReasonCode) {
    client.expect_disconnect(reason).await;
    client.expect_end().await;
}

fn data(auth: &Auth) -> Option<Bytes> {
    auth.properties.binary(PropertyId::AuthenticationData).cloned()
}

fn with_password(user: Option<&str>, password: Option<&'static str>) -> Connect {
    Connect {
        user_name: user.map(Into::into),
        password: password.map(Bytes::from),
        ..Connect::new("c")
    }
}

/// CONNECT with this method, and the first data.
fn enhanced(method: &str, first: Option<Bytes>) -> Connect {
    let connect = Connect::new("c").with(PropertyId::AuthenticationMethod, method);
    match first {
        Some(first) => connect.with(PropertyId::AuthenticationData, first),
        None => connect,
    }
}

fn auth(reason: ReasonCode, method: &str, data: impl Into<Bytes>) -> Auth {
    let mut auth = Auth::new(reason);
    auth.properties.push(PropertyId::AuthenticationMethod, method);
    auth.properties.push(PropertyId::AuthenticationData, data.into());
    auth
}

fn go_on(method: &str, data: impl Into<Bytes>) -> Auth {
    auth(ReasonCode::ContinueAuthentication, method, data)
}

/// The client's side of SCRAM.
struct Scram(Session);

impl Scram {
    fn new(user: &str, password: &str) -> Scram {
        Scram::acting_as(None, user, password)
    }

    fn acting_as(other: Option<&str>, user: &str, password: &str) -> Scram {
        let config =
            SASLConfig::with_credentials(other.map(Into::into), user.into(), password.into());
        let method = Mechname::parse(SCRAM_SHA_256.as_bytes()).unwrap();
        Scram(SASLClient::new(config.unwrap()).start_suggested(&[method]).unwrap())
    }

    /// The next data to be sent; an error if the server's was wrong.
    fn step(&mut self, data: Option<&[u8]>) -> Result<Bytes, String> {
        let mut output = Vec::new();
        self.0.step(data, &mut output).map_err(|error| error.to_string())?;
        Ok(output.into())
    }
}

/// Connects by SCRAM. The CONNACK, whose data is right if it accepts.
async fn connect_by_scram(client: &mut Client, mut scram: Scram) -> ConnAck {
    let first = scram.step(None).unwrap();
    client.send(enhanced(SCRAM_SHA_256, Some(first))).await;
    let challenge = expect_auth(client, ReasonCode::ContinueAuthentication).await.unwrap();
    let response = scram.step(Some(&challenge)).unwrap();
    client.send(go_on(SCRAM_SHA_256, response)).await;
    let Packet::ConnAck(connack) = client.expect().await else { panic!("no CONNACK") };
    if connack.reason == ReasonCode::Success {
        let last = connack.properties.binary(PropertyId::AuthenticationData).unwrap();
        scram.step(Some(last)).expect("a server that knows the keys");
    }
    connack
}

#[tokio::test(start_paused = true)]
async fn the_right_password_opens() {
    let server = server(false);
    let mut client = Client::memory(&server).await;
    client.send(with_password(Some("alice"), Some("pencil"))).await;
    client.send(Packet::PingReq).await;
    let connack = client.expect_connack().await;
    assert!(!connack.properties.contains(PropertyId::AuthenticationMethod)); // MQTT-4.12.0-6
    assert_eq!(client.next().await, Some(Packet::PingResp));
    client.expect_alive().await;
}

#[tokio::test(start_paused = true)]
async fn anything_else_is_a_bad_user_name_or_password() {
    let server = server(true);
    for (user, password) in [
        ("alice", Some("Pencil")),
        ("alice", Some("")),
        ("alice", None),
        ("Alice", Some("pencil")),
        ("bob", Some("pencil")),
        ("", Some("pencil")),
        ("", None),
    ] {
        let mut client = Client::memory(&server).await;
        client.send(with_password(Some(user), password)).await;
        client.expect_refusal(ReasonCode::BadUserNameOrPassword).await; // MQTT-3.1.4-2
    }
}

#[tokio::test(start_paused = true)]
async fn those_without_a_name_enter_if_they_may() {
    for connect in [Connect::new("c"), with_password(None, Some("pencil"))] {
        let open = server(true);
        let mut client = Client::memory(&open).await;
        client.send(connect.clone()).await;
        client.expect_connack().await;
        let closed = server(false);
        let mut client = Client::memory(&closed).await;
        client.send(connect).await;
        client.expect_refusal(ReasonCode::NotAuthorized).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_those_of_this_machine_enter_if_they_are_to_be_local() {
    let authenticator = Authenticator::new(users(), Anonymous::Local).unwrap();
    let access = authenticator.access();
    let server = Server::start_with(Config { access, ..Config::default() }, authenticator);
    let mut client = Client::memory(&server).await;
    client.send(Connect::new("c")).await;
    client.expect_connack().await;
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    server.serve(Box::new(theirs)).await.unwrap();
    let mut client = Client::over(ours);
    client.send(Connect::new("from somewhere")).await;
    client.expect_refusal(ReasonCode::NotAuthorized).await;
}

#[tokio::test(start_paused = true)]
async fn without_an_authenticator_all_are_turned_away() {
    let access = Access { asks: true, methods: vec!["X".into()], ..Access::default() };
    let server = Server::start(Config { access, ..Config::default() });
    for connect in [with_password(Some("alice"), Some("pencil")), enhanced("X", None)] {
        let mut client = Client::memory(&server).await;
        client.send(connect).await;
        client.expect_refusal(ReasonCode::NotAuthorized).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_enters_where_there_are_no_users() {
    let authenticator = Authenticator::new([], false).unwrap();
    let access = Access { methods: vec![SCRAM_SHA_256.into()], ..authenticator.access() };
    let server = Server::start_with(Config { access, ..Config::default() }, authenticator);
    let mut client = Client::memory(&server).await;
    client.send(with_password(Some("alice"), Some("pencil"))).await;
    client.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    let mut client = Client::memory(&server).await;
    let connack = connect_by_scram(&mut client, Scram::new("alice", "pencil")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn scram_opens_by_a_proof_of_the_password() {
    let server = server(false);
    for name in ["alice", "a,b="] {
        let mut client = Client::memory(&server).await;
        let connack = connect_by_scram(&mut client, Scram::new(name, "pencil")).await;
        assert_eq!(connack.reason, ReasonCode::Success, "{name}");
        let method = connack.properties.text(PropertyId::AuthenticationMethod);
        assert_eq!(method, Some(&SCRAM_SHA_256.into())); // MQTT-4.12.0-5
        client.expect_alive().await;
        client.send(reference_broker::codec::Disconnect::default()).await;
        assert_eq!(client.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn scram_refuses_all_others_in_the_same_way() {
    let server = server(true);
    for scram in [
        Scram::new("alice", "pen"),
        Scram::new("bob", "pencil"),
        Scram::new("plain", "pencil"),
        Scram::acting_as(Some("bob"), "alice", "pencil"),
    ] {
        let mut client = Client::memory(&server).await;
        let connack = connect_by_scram(&mut client, scram).await;
        assert_eq!(connack.reason, ReasonCode::NotAuthorized); // MQTT-4.12.0-4
        let told = &connack.properties;
        assert!(!told.contains(PropertyId::AuthenticationData), "no word of why: {told:?}");
        assert_eq!(client.next().await, None);
    }
}

/// Salt and iterations that SCRAM tells this user.
async fn salt_of(server: &Server, user: &str) -> String {
    let mut client = Client::memory(server).await;
    let first = Scram::new(user, "x").step(None).unwrap();
    client.send(enhanced(SCRAM_SHA_256, Some(first))).await;
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication).await.unwrap();
    let challenge = String::from_utf8(challenge.to_vec()).unwrap();
    challenge.split_once(",s=").expect("a salt").1.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_unknown_user_has_a_salt_like_others() {
    let (one, again) = (server(false), server(false));
    let known = salt_of(&one, "alice").await;
    let unknown = salt_of(&one, "bob").await;
    assert_eq!(unknown, salt_of(&one, "bob").await, "the same each time");
    assert_eq!(unknown, salt_of(&again, "bob").await, "and after a restart");
    assert_ne!(unknown, salt_of(&one, "carol").await);
    assert_ne!(unknown, known);
    assert_eq!(unknown.len(), known.len());
    assert_eq!(unknown.split_once(",i=").unwrap().1, known.split_once(",i=").unwrap().1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_scram_is_refused() {
    let server = server(false);
    for first in ["", "n,,", "n,,n=alice", "garbage", "p=tls-unique,,n=alice,r=abc"] {
        let mut client = Client::memory(&server).await;
        client.send(enhanced(SCRAM_SHA_256, Some(first.into()))).await;
        client.expect_refusal(ReasonCode::NotAuthorized).await;
    }
    for second in ["", "c=biws", "c=biws,r=other,p=AAAA", "\u{0}"] {
        let mut client = Client::memory(&server).await;
        client.send(enhanced(SCRAM_SHA_256, Some("n,,n=alice,r=abc".into()))).await;
        expect_auth(&mut client, ReasonCode::ContinueAuthentication).await;
        client.send(go_on(SCRAM_SHA_256, second)).await;
        client.expect_refusal(ReasonCode::NotAuthorized).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_first_data_is_asked_for_it() {
    let server = server(false);
    let mut client = Client::memory(&server).await;
    client.send(enhanced(CHALLENGE, None)).await;
    assert_eq!(expect_auth(&mut client, ReasonCode::ContinueAuthentication).await, None);
    client.send(go_on(CHALLENGE, "alice")).await;
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication).await.unwrap();
    assert_eq!(challenge, [0; 32][..], "what the random source gave");
    client.send(go_on(CHALLENGE, challenge_response(b"secret", &challenge))).await;
    client.expect_connack().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_response_to_a_challenge_is_refused() {
    let server = server(false);
    for (user, secret) in [("alice", "Secret"), ("bob", "secret"), ("plain", ""), ("a\u{7}", "")] {
        let mut client = Client::memory(&server).await;
        client.send(enhanced(CHALLENGE, Some(user.to_string().into()))).await;
        let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication).await.unwrap();
        // The made-up key for those without a secret is the challenge, which all can see.
        for key in [secret.as_bytes(), &challenge] {
            let response = challenge_response(key, &challenge);
            client.send(go_on(CHALLENGE, response)).await;
            client.expect_refusal(ReasonCode::NotAuthorized).await;
            client = Client::memory(&server).await;
            client.send(enhanced(CHALLENGE, Some(user.to_string().into()))).await;
            expect_auth(&mut client, ReasonCode::ContinueAuthentication).await;
        }
    }
}

async fn join_by_challenge(server: &Server, connect: Connect) -> Client {
    let mut client = Client::memory(server).await;
    client.send(connect).await;
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication).await.unwrap();
    client.send(go_on(CHALLENGE, challenge_response(b"secret", &challenge))).await;
    client.expect_connack().await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_client_can_prove_again_who_it_is() {
    let server = server(false);
    let mut client = join_by_challenge(&server, enhanced(CHALLENGE, Some("alice".into()))).await;
    for _ in 0..2 {
        client.send(auth(ReasonCode::ReAuthenticate, CHALLENGE, "alice")).await;
        let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication).await.unwrap();
        client.send(Subscribe::new(1, "t", QoS::AtMostOnce)).await;
        assert!(matches!(client.next().await, Some(Packet::SubAck(_)))); // U-4.12.1-2
        client.send(Publish::new("t", "x")).await;
        assert!(matches!(client.next().await, Some(Packet::Publish(_))));
        client.send(go_on(CHALLENGE, challenge_response(b"secret", &challenge))).await;
        assert_eq!(expect_auth(&mut client, ReasonCode::Success).await, None); // U-4.12.1-1
    }
    client.send(auth(ReasonCode::ReAuthenticate, SCRAM_SHA_256, "")).await;
    expect_last_words(&mut client, ReasonCode::ProtocolError).await; // MQTT-4.12.1-1
}

#[tokio::test(start_paused = true)]
async fn whoever_fails_to_prove_it_again_is_gone() {
    let server = server(false);
    let mut watcher = Client::memory(&server).await;
    watcher
        .send(Connect { client_id: "w".into(), ..with_password(Some("plain"), Some("pencil")) })
        .await;
    watcher.expect_connack().await;
    watcher.send(Subscribe::new(1, "will", QoS::AtMostOnce)).await;
    assert!(matches!(watcher.next().await, Some(Packet::SubAck(_))));
    let connect = enhanced(CHALLENGE, Some("alice".into())).will(Will::new("will", "gone"));
    let mut client = join_by_challenge(&server, connect).await;
    client.send(auth(ReasonCode::ReAuthenticate, CHALLENGE, "alice")).await;
    expect_auth(&mut client, ReasonCode::ContinueAuthentication).await;
    client.send(go_on(CHALLENGE, "wrong")).await;
    expect_last_words(&mut client, ReasonCode::NotAuthorized).await; // MQTT-4.12.1-2
    match watcher.next().await {
        Some(Packet::Publish(publish)) => assert_eq!(publish.payload, "gone"),
        other => panic!("no Will: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn no_user_becomes_another() {
    let twins = users()
        .into_iter()
        .chain([User::new("bob", &pencil().password).unwrap().challenge("secret")]);
    let authenticator = Authenticator::with_random(twins, false, zeros()).unwrap();
    let access = authenticator.access();
    let server = Server::start_with(Config { access, ..Config::default() }, authenticator);
    let mut client = join_by_challenge(&server, enhanced(CHALLENGE, Some("alice".into()))).await;
    client.send(auth(ReasonCode::ReAuthenticate, CHALLENGE, "bob")).await;
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication).await.unwrap();
    client.send(go_on(CHALLENGE, challenge_response(b"secret", &challenge))).await;
    expect_last_words(&mut client, ReasonCode::NotAuthorized).await;
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_stops_ends_with_the_connect_timeout() {
    let server = server(false);
    let mut client = Client::memory(&server).await;
    let begin = Instant::now();
    client.send(enhanced(CHALLENGE, Some("alice".into()))).await;
    expect_auth(&mut client, ReasonCode::ContinueAuthentication).await;
    assert_eq!(client.next().await, None); // MQTT-3.14.0-1
    assert_eq!(begin.elapsed().as_secs(), Config::default().connect_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_logins_keeps_nobody_else_waiting() {
    let server = server(true);
    let mut client = Client::memory(&server).await;
    client.send(Connect { client_id: "calm".into(), ..Connect::default() }).await;
    client.expect_connack().await;
    let mut flood = Vec::new();
    for number in 0..50 {
        let mut one = Client::memory(&server).await;
        let connect = with_password(Some("alice"), Some(if number == 0 { "pencil" } else { "x" }));
        one.send(Connect { client_id: format!("c{number}").into(), ..connect }).await;
        flood.push(one);
    }
    drop(flood.split_off(25)); // Some give up.
    client.expect_alive().await;
    for (number, mut one) in flood.into_iter().enumerate() {
        match number {
            0 => drop(one.expect_connack().await),
            _ => one.expect_refusal(ReasonCode::BadUserNameOrPassword).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn users_have_the_rights_that_rules_give_them() {
    let authenticator = authenticator(true);
    let filter = RuleFilter::parse("home/{user}/#").unwrap();
    let rules = vec![Rule { users: Users::Any, action: Action::Both, filter, allow: true }];
    let access = Access { rules, default_allow: false, ..authenticator.access() };
    let server = Server::start_with(Config { access, ..Config::default() }, authenticator);
    let mut client = Client::memory(&server).await;
    client.send(with_password(Some("alice"), Some("pencil"))).await;
    client.expect_connack().await;
    let options = Subscribe::new(1, "x", QoS::AtMostOnce).subscriptions[0].options;
    client
        .send(Subscribe::new(1, "home/alice/#", QoS::AtMostOnce).and("home/bob/#", options))
        .await;
    match client.next().await {
        Some(Packet::SubAck(ack)) => {
            assert_eq!(ack.reasons, [ReasonCode::Success, ReasonCode::NotAuthorized]);
        }
        other => panic!("no SUBACK: {other:?}"),
    }
}

#[test]
fn what_is_kept_of_a_user_is_checked() {
    let HashedPassword { password, scram } = pencil();
    assert!(password.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{password}");
    assert!(scram.starts_with("SCRAM-SHA-256$4096:"), "{scram}");
    let wrong = |text: &str| User::new("u", text).map(|_| ()).unwrap_err();
    for text in [
        "",
        "pencil",
        &password.replace("argon2id", "argon2d"),
        &password.replace("m=8", "m=1"),
        password.rsplit_once('$').unwrap().0,
        "$argon2id$v=19$m=8,t=1,p=1",
    ] {
        assert_eq!(wrong(text), UserError::Password, "{text}");
    }
    let user = User::new("u", password).unwrap();
    let error = user.clone().scram("SCRAM-SHA-256$").map(|_| ()).unwrap_err();
    assert_eq!(error, UserError::Scram);
    let twice = Authenticator::new([user.clone(), user], false).map(|_| ()).unwrap_err();
    assert_eq!(twice, UserError::Twice);
    let again = hash_password("pencil", Cost::least(), &system_random()).unwrap();
    assert!(again.password != *password && again.scram != *scram, "salted");
}

#[test]
fn nothing_kept_is_printed() {
    let user = users().remove(0);
    let texts = [
        format!("{user:?}"),
        format!("{:?}", pencil()),
        format!("{:?}", authenticator(true)),
        format!("{:?}", reference_broker::authentication::Exchange::default()),
    ];
    for text in texts {
        assert!(!text.contains("secret") && !text.contains('$'), "{text}");
    }
}
