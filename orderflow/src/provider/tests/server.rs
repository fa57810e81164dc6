//! A payment provider over TCP that does to each request what it is told, byte by byte, and keeps a ledger of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is done to a `POST`. Inquiries are always answered from the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    Answer,
    AnswerTwice,
    HangBefore,
    HangAfterCharging,
    HangAfterHead,
    DropBefore,
    DropAfterCharging,
    DropAndChargeLater(Duration),
    ResetInBody,
    Redirect,
    Status(u16),
    ChargeAndStatus(u16),
    ChargeAnd(&'static str, &'static str),
    ChargeAndHuge,
    ChargeAndTalkWithoutEnd,
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Value,
}

#[derive(Default)]
struct State {
    ledger: Vec<(String, i64)>,
    requests: Vec<Request>,
    /// `POST`s seen, by key.
    seen: HashMap<String, usize>,
    running: usize,
    running_max: usize,
}

pub(super) struct Server {
    address: SocketAddr,
    authority: Option<Authority>,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

/// A certificate authority of a test's own.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        Self { issuer }
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().expect("versions");
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).expect("a certificate with its key");
        TlsAcceptor::from(Arc::new(config))
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Starts a server that does this to the n-th `POST` of each key; over all keys, if there are many.
    pub(super) async fn start(does: impl Fn(usize) -> Does + Send + Sync + Copy + 'static) -> Self {
        Self::listen(does, None).await
    }

    pub(super) async fn start_tls(does: impl Fn(usize) -> Does + Send + Sync + Copy + 'static) -> Self {
        Self::listen(does, Some(Authority::new())).await
    }

    async fn listen(does: impl Fn(usize) -> Does + Send + Sync + Copy + 'static, authority: Option<Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let state = Arc::<Mutex<State>>::default();
        let acceptor = authority.as_ref().map(Authority::acceptor);
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, &state, does).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, &state, does).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, authority, state, task }
    }

    pub(super) fn url(&self) -> String {
        format!("{}://{}/v1/", if self.authority.is_some() { "https" } else { "http" }, self.address)
    }

    pub(super) fn ca_pem(&self) -> String {
        self.authority.as_ref().expect("it speaks TLS").pem()
    }

    pub(super) fn ledger(&self) -> Vec<(String, i64)> {
        locked(&self.state).ledger.clone()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        locked(&self.state).requests.clone()
    }

    pub(super) fn running_max(&self) -> usize {
        locked(&self.state).running_max
    }

    pub(super) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Enters the money of a request, each key once.
fn charge(state: &Mutex<State>, request: &Request) {
    let body = &request.body;
    let (key, amount) = (body["idempotencyKey"].as_str().expect("a key").to_owned(), body["amount"].as_i64().expect("an amount"));
    let amount = if body["operation"] == "undo" { -amount } else { amount };
    let mut state = locked(state);
    if !state.ledger.iter().any(|(known, _)| *known == key) {
        state.ledger.push((key, amount));
    }
}

/// Serves one connection; `None` at its end.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Arc<Mutex<State>>, does: impl Fn(usize) -> Does) -> Option<()> {
    loop {
        let request = read(&mut stream).await?;
        locked(state).requests.push(request.clone());
        if let Some(path) = request.head.strip_prefix("GET /v1/charges/") {
            let key = path.split(' ').next()?.replace("%2F", "/").replace("%40", "@");
            let is_known = locked(state).ledger.iter().any(|(known, _)| *known == key);
            answer(&mut stream, "200 OK", &json!({ "outcome": if is_known { "accepted" } else { "unknown" } }).to_string()).await?;
            continue;
        }
        let number = {
            let mut state = locked(state);
            state.running += 1;
            state.running_max = state.running_max.max(state.running);
            let seen = state.seen.entry(request.body["idempotencyKey"].as_str()?.to_owned()).or_default();
            *seen += 1;
            *seen - 1
        };
        let went_on = obey(&mut stream, state, &request, does(number)).await;
        locked(state).running -= 1;
        went_on?;
    }
}

async fn obey(stream: &mut (impl AsyncWrite + Unpin), state: &Arc<Mutex<State>>, request: &Request, does: Does) -> Option<()> {
    let done = json!({ "outcome": if request.body["operation"] == "undo" { "undone" } else { "accepted" } }).to_string();
    match does {
        Does::Answer => {
            charge(state, request);
            answer(stream, "200 OK", &done).await
        }
        Does::AnswerTwice => {
            charge(state, request);
            answer(stream, "200 OK", &done).await?;
            answer(stream, "200 OK", &done).await
        }
        Does::HangBefore => std::future::pending().await,
        Does::HangAfterCharging => {
            charge(state, request);
            std::future::pending().await
        }
        Does::HangAfterHead => {
            charge(state, request);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n").await.ok()?;
            stream.flush().await.ok()?;
            std::future::pending().await
        }
        Does::DropBefore => None,
        Does::DropAfterCharging => {
            charge(state, request);
            None
        }
        Does::DropAndChargeLater(after) => {
            let (state, request) = (Arc::clone(state), request.clone());
            tokio::spawn(async move {
                sleep(after).await;
                charge(&state, &request);
            });
            None
        }
        Does::ResetInBody => {
            charge(state, request);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"outcome\":").await.ok()?;
            stream.flush().await.ok()?;
            None
        }
        Does::Redirect => {
            let head = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /v1/charges/elsewhere\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok()
        }
        Does::Status(status) => answer(stream, &format!("{status} As Told"), "").await,
        Does::ChargeAndStatus(status) => {
            charge(state, request);
            answer(stream, &format!("{status} As Told"), "").await
        }
        Does::ChargeAnd(status, body) => {
            charge(state, request);
            answer(stream, status, body).await
        }
        Does::ChargeAndHuge => {
            charge(state, request);
            answer(stream, "200 OK", &format!("{}{done}", " ".repeat(1024 * 1024))).await
        }
        Does::ChargeAndTalkWithoutEnd => {
            charge(state, request);
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(b"1\r\n \r\n").await.ok()?;
                stream.flush().await.ok()?;
                sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

/// Reads a request; `None` if the connection ends.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some(Request { head, body: serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
