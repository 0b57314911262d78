//! Who clients say they are, and how they prove it.

use bytes::Bytes;
use reference_broker::codec::{Auth, Connect, Properties, PropertyId, ReasonCode, Text};

use crate::script::{ANSWER, FIRST, NOBODY, OTHER, OWN, UNKNOWN, WRONG};
use crate::target::SCRAM_SHA_256;

use super::moves::{Authentication, Who};
use super::writer::Writer;

impl Writer {
    /// Connects with a method.
    pub(super) fn authenticate(&mut self, client: usize, connect: Connect, how: Authentication) {
        let connect = match how {
            Authentication::Stray | Authentication::Success => connect,
            how => Connect { properties: said_first(connect.properties, how), ..connect },
        };
        self.send(client, connect);
        self.goes_on(client, how);
    }

    /// Begins another exchange.
    pub(super) fn authenticate_again(&mut self, client: usize, how: Authentication) {
        if !matches!(how, Authentication::Stray | Authentication::Success) {
            let again = Auth::new(ReasonCode::ReAuthenticate);
            let properties = said_first(again.properties, how);
            self.send(client, Auth { properties, ..again });
        }
        self.goes_on(client, how);
    }

    /// What a client says after it has begun.
    fn goes_on(&mut self, client: usize, how: Authentication) {
        let (reason, data) = match how {
            Authentication::Right
            | Authentication::Unknown
            | Authentication::ChangesMethod
            | Authentication::OtherMethod(_) => (ReasonCode::ContinueAuthentication, ANSWER),
            Authentication::Wrong => (ReasonCode::ContinueAuthentication, WRONG),
            Authentication::Stray => (ReasonCode::ContinueAuthentication, FIRST),
            Authentication::Success => (ReasonCode::Success, ANSWER),
            Authentication::Nonsense => (ReasonCode::ContinueAuthentication, "no message"),
            Authentication::NoData => {
                let auth = Auth::new(ReasonCode::ContinueAuthentication);
                return self
                    .send(client, auth.with(PropertyId::AuthenticationMethod, SCRAM_SHA_256));
            }
            Authentication::Begun | Authentication::NoMethod => return,
        };
        let method =
            if how == Authentication::ChangesMethod { "SCRAM-SHA-1" } else { SCRAM_SHA_256 };
        let auth = Auth::new(reason).with(PropertyId::AuthenticationMethod, method);
        self.send(
            client,
            auth.with(PropertyId::AuthenticationData, Bytes::from_static(data.as_bytes())),
        );
    }
}

/// User Name and Password, as scripts have them.
pub(super) fn of_user(who: Who) -> (Option<Text>, Option<Bytes>) {
    let password = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    match who {
        Who::Own => (None, None),
        Who::Other => (Some(OTHER.into()), password(OTHER)),
        Who::Nobody => (Some(NOBODY.into()), None),
        Who::WrongPassword => (Some(OWN.into()), password("wrong")),
        Who::NoPassword => (Some(OWN.into()), None),
        Who::Unknown => (Some("unknown".into()), password(OWN)),
        Who::PasswordAlone => (None, password("alone")),
        Who::BytesForPassword => (Some(OWN.into()), Some(Bytes::from_static(b"\xFF\xFE\x00"))),
        Who::EmptyPassword => (Some(OWN.into()), password("")),
        Who::MoreThanPassword => (Some(OWN.into()), password("~own and more")),
        Who::EmptyName => (Some("".into()), None),
    }
}

/// What an exchange begins with.
fn said_first(mut properties: Properties, how: Authentication) -> Properties {
    let method = match how {
        Authentication::NoMethod => None,
        Authentication::OtherMethod(method) => Some(method),
        _ => Some(SCRAM_SHA_256),
    };
    if let Some(method) = method {
        properties.push(PropertyId::AuthenticationMethod, method);
    }
    let data = match how {
        Authentication::NoData => None,
        Authentication::Nonsense => Some("no message"),
        Authentication::Unknown => Some(UNKNOWN),
        _ => Some(FIRST),
    };
    if let Some(data) = data {
        properties.push(PropertyId::AuthenticationData, Bytes::from_static(data.as_bytes()));
    }
    properties
}
