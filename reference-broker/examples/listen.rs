//! A broker on the URLs given, with a certificate of an authority of its own in the directory given
//! first: `cargo run --example listen -- DIRECTORY mqtts://localhost:8883 wss://localhost:8443`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::core::Config;
use reference_broker::transport::listener::Listener;
use reference_broker::transport::tls::{Authority, ClientCertificates, ServerTls, TlsFiles};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory");
    let directory = Path::new(&directory);
    let authority = Authority::new("example authority")?;
    std::fs::write(directory.join("ca.pem"), authority.certificate())?;
    authority.client("me")?.write(directory, "client")?;
    let (certificate, key) =
        authority.server(&["localhost", "127.0.0.1", "::1"])?.write(directory, "server")?;
    let clients = ClientCertificates::Optional(directory.join("ca.pem"));
    let tls = ServerTls::from_files(&TlsFiles { certificate, key, clients })?;
    let server = Arc::new(Server::start(Config::default()));
    for url in arguments {
        let endpoint = url.parse().map_err(std::io::Error::other)?;
        let listener = Listener::bind(&endpoint, Some(&tls)).await?;
        println!("{} ({})", listener.endpoint(), listener.local_addr());
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok(raw) = listener.accept().await {
                let (handshake, server) = (listener.handshake(), Arc::clone(&server));
                tokio::spawn(async move {
                    match handshake.run(raw, Duration::from_secs(10)).await {
                        Ok(accepted) => {
                            if let Some(identity) = &accepted.identity {
                                println!("{}: {:?}", accepted.peer, identity.name());
                            }
                            let _ = server.serve(accepted.stream).await;
                        }
                        Err(error) => println!("refused: {error}"),
                    }
                });
            }
        });
    }
    std::future::pending().await
}
