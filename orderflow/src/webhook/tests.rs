use std::sync::{Arc, Mutex};
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::telemetry::Telemetry;

const TIMEOUT: Duration = Duration::from_millis(300);

/// (idempotency key, content type, body) of what a receiver got.
type Received = Vec<(String, String, Value)>;

/// A receiver that misbehaves as the idempotency key says.
struct Receiver {
    url: Url,
    received: Arc<Mutex<Received>>,
    _running: JoinSet<()>,
}

fn with(url: Option<Url>, ca_pem: Option<&str>, timeout: Duration, places_max: usize) -> anyhow::Result<Webhook> {
    let telemetry = Telemetry::new(&[], 1).expect("the catalog is right");
    Webhook::with(url, ca_pem, timeout, places_max, Arc::clone(&telemetry.webhook))
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}/notifications", listener.local_addr().expect("it has an address")).parse().expect("an address");
        let received: Arc<Mutex<Received>> = Arc::default();
        let kept = Arc::clone(&received);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { url, received, _running: running }
    }

    fn webhook(&self, places_max: usize) -> Webhook {
        with(Some(self.url.clone()), None, TIMEOUT, places_max).expect("a client can be made")
    }

    fn keys(&self) -> Vec<String> {
        self.received.lock().expect("nobody panicked").iter().map(|(key, ..)| key.clone()).collect()
    }
}

async fn serve(stream: TcpStream, received: Arc<Mutex<Received>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut key, mut content_type, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim().split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "idempotency-key" => value.trim().clone_into(&mut key),
                "content-type" => value.trim().clone_into(&mut content_type),
                "content-length" => length = value.trim().parse().expect("a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("the body comes");
        received.lock().expect("nobody panicked").push((key.clone(), content_type, serde_json::from_slice(&body).expect("the body is JSON")));
        if !answer(&mut stream, &key).await {
            return;
        }
    }
}

/// Answers as the key says; returns true if the connection goes on.
async fn answer(stream: &mut BufReader<TcpStream>, key: &str) -> bool {
    let head = match key {
        "hang" => std::future::pending().await,
        "close" => return false,
        "reset" => {
            stream.get_ref().set_zero_linger().expect("the connection can be reset");
            return false;
        }
        "garbage" => "what?\r\n\r\n".to_owned(),
        "half-a-head" => "HTTP/1.1 200 O".to_owned(),
        "body-hangs" => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_owned(),
        "huge" => "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_owned(),
        "redirect" => "HTTP/1.1 307 Elsewhere\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "429-later" => "HTTP/1.1 429 Slowly\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "503-some-day" => "HTTP/1.1 503 Away\r\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\ncontent-length: 0\r\n\r\n".to_owned(),
        status => format!("HTTP/1.1 {status} So\r\ncontent-length: 2\r\n\r\nno"),
    };
    let _ = stream.write_all(head.as_bytes()).await;
    while key == "huge" && stream.write_all(&[b' '; 4096]).await.is_ok() {}
    if key == "body-hangs" {
        std::future::pending::<()>().await;
    }
    !matches!(key, "garbage" | "half-a-head" | "huge")
}

fn call(key: &str) -> Call {
    let body = Map::from_iter([("notificationId".to_owned(), json!(key)), ("message".to_owned(), json!("주문이 접수되었습니다"))]);
    let delivery = Delivery { notification_id: key.to_owned(), try_number: 1, body };
    Call {
        id: format!("{key}#1"),
        target: notifications::WEBHOOK.to_owned(),
        request: serde_json::to_string(&delivery).expect("it serializes"),
        correlation: String::new(),
        trace: None,
    }
}

async fn outcome(webhook: &Webhook, key: &str) -> Answer {
    serde_json::from_str(&webhook.call(&call(key)).await).expect("an answer is JSON")
}

fn is_retry(answer: &Answer, word: &str) -> bool {
    matches!(answer, Answer::Retry { reason, .. } if reason.contains(word))
}

#[tokio::test]
async fn a_receiver_gets_the_notification_with_its_key_once_for_each_try() {
    let receiver = Receiver::start().await;
    let webhook = receiver.webhook(8);
    for status in ["200", "201", "202", "204", "299"] {
        assert_eq!(outcome(&webhook, status).await, Answer::Delivered, "{status}");
    }
    let received = receiver.received.lock().expect("nobody panicked");
    assert_eq!(received.len(), 5);
    let body = json!({"notificationId": "200", "message": "주문이 접수되었습니다"});
    assert_eq!(received[0], ("200".to_owned(), "application/json".to_owned(), body));
}

#[tokio::test]
async fn what_may_change_is_tried_again_and_what_stays_is_not() {
    let receiver = Receiver::start().await;
    let webhook = receiver.webhook(8);
    for status in ["408", "429", "500", "501", "502", "503", "504", "599"] {
        let answer = outcome(&webhook, status).await;
        assert!(is_retry(&answer, status), "{status}: {answer:?}");
    }
    for status in ["400", "401", "403", "404", "405", "409", "410", "413", "422", "304"] {
        let answer = outcome(&webhook, status).await;
        assert!(matches!(&answer, Answer::Refused { reason } if reason.contains(status)), "{status}: {answer:?}");
    }
    let redirected = outcome(&webhook, "redirect").await;
    assert!(matches!(&redirected, Answer::Refused { reason } if reason.contains("307")), "{redirected:?}");
    assert_eq!(receiver.keys().len(), 19, "each was sent once, and nothing was sent elsewhere");
}

#[tokio::test]
async fn a_receiver_says_how_long_it_wants_to_be_left_alone() {
    let receiver = Receiver::start().await;
    let webhook = receiver.webhook(8);
    let after = |answer: Answer| if let Answer::Retry { retry_after_ms, .. } = answer { retry_after_ms } else { panic!("{answer:?} is no retry") };
    assert_eq!(after(outcome(&webhook, "429-later").await), Some(7_000));
    assert_eq!(after(outcome(&webhook, "503-some-day").await), None);
    assert_eq!(after(outcome(&webhook, "500").await), None);
}

#[tokio::test]
async fn whatever_breaks_off_is_tried_again_and_the_reason_does_not_tell_the_address() {
    let receiver = Receiver::start().await;
    let webhook = receiver.webhook(8);
    for (key, word) in [("hang", "in time"), ("reset", "broke off"), ("close", "broke off"), ("garbage", "broke off"), ("half-a-head", "broke off")] {
        let began = Instant::now();
        let answer = outcome(&webhook, key).await;
        assert!(is_retry(&answer, word), "{key}: {answer:?}");
        assert!(!format!("{answer:?}").contains("/notifications"), "{key}: {answer:?}");
        assert!(began.elapsed() < 10 * TIMEOUT, "{key} took {:?}", began.elapsed());
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port").local_addr().expect("it has an address");
    for url in [format!("http://{nobody}/s3cret"), format!("https://{}/s3cret", receiver.url.authority())] {
        let webhook = with(Some(url.parse().expect("an address")), None, TIMEOUT, 1).expect("a client can be made");
        let answer = outcome(&webhook, "200").await;
        assert!(is_retry(&answer, "cannot be reached") && !format!("{answer:?}").contains("s3cret"), "{url}: {answer:?}");
    }
}

/// Returns the certificate of an authority of the test's own, and the port of one who speaks TLS under it and hands everything on to the receiver.
async fn with_tls(receiver: &Receiver, running: &mut JoinSet<()>) -> (String, u16) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name").signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let (port, behind) = (listener.local_addr().expect("it has an address").port(), receiver.url.authority().to_owned());
    running.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut behind = TcpStream::connect(&behind).await.expect("the receiver runs");
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
        }
    });
    (authority.pem(), port)
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_given_authority_knows_and_nobody_else() {
    let receiver = Receiver::start().await;
    let mut running = JoinSet::new();
    let (pem, port) = with_tls(&receiver, &mut running).await;
    let (stranger, _) = with_tls(&receiver, &mut running).await;
    let url: Url = format!("https://127.0.0.1:{port}/notifications").parse().expect("an address");
    let to = |pem| with(Some(url.clone()), pem, 10 * TIMEOUT, 1);
    assert_eq!(outcome(&to(Some(&pem)).expect("a client can be made"), "200").await, Answer::Delivered);
    for pem in [Some(stranger.as_str()), None] {
        let answer = outcome(&to(pem).expect("a client can be made"), "201").await;
        assert!(is_retry(&answer, "cannot be reached"), "{answer:?}");
    }
    assert_eq!(receiver.keys(), ["200"]);
    let error = to(Some("no certificate")).err().expect("it holds none");
    assert!(error.to_string().contains("--webhook-ca-file"), "{error}");
}

/// The status is the answer: what a receiver does after it has said so is its own affair.
#[tokio::test]
async fn a_body_that_never_ends_takes_nothing_back() {
    let receiver = Receiver::start().await;
    let webhook = receiver.webhook(1);
    for key in ["body-hangs", "huge", "200"] {
        let began = Instant::now();
        assert_eq!(outcome(&webhook, key).await, Answer::Delivered, "{key}");
        assert!(began.elapsed() < 10 * TIMEOUT, "{key} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn deliveries_that_hang_leave_places_to_the_others_and_their_own_in_the_end() {
    let receiver = Receiver::start().await;
    let webhook = receiver.webhook(2);
    let slow = async { tokio::join!(outcome(&webhook, "hang"), outcome(&webhook, "200"), outcome(&webhook, "201"), outcome(&webhook, "202")) };
    let (hung, first, second, third) = slow.await;
    assert!(is_retry(&hung, "in time"), "{hung:?}");
    assert_eq!([first, second, third], [Answer::Delivered, Answer::Delivered, Answer::Delivered]);
    // Those that waited for a place had all the time of their own.
    let all = async {
        tokio::join!(outcome(&webhook, "hang"), outcome(&webhook, "hang"), outcome(&webhook, "200"), outcome(&webhook, "hang"), outcome(&webhook, "201"))
    };
    let (.., last) = all.await;
    assert_eq!(last, Answer::Delivered);
    assert_eq!(webhook.places.available_permits(), 2);
}

#[tokio::test]
async fn tries_are_timed_by_what_came_of_them() {
    let receiver = Receiver::start().await;
    let telemetry = Telemetry::new(&[], 1).expect("the catalog is right");
    let webhook = Webhook::with(Some(receiver.url.clone()), None, TIMEOUT, 8, Arc::clone(&telemetry.webhook)).expect("a client can be made");
    for key in ["200", "204", "503", "hang", "reset", "404"] {
        outcome(&webhook, key).await;
    }
    let shown = telemetry.render();
    let line = |name: &str, outcome: &str, rest: &str| format!("orderflow_webhook_call_duration_seconds_{name}{{outcome=\"{outcome}\"{rest}}}");
    for (outcome, times) in [("delivered", 2), ("retried", 3), ("refused", 1)] {
        let count = format!("{} {times}", line("count", outcome, ""));
        assert!(shown.lines().any(|shown| shown == count), "no line `{count}` in {shown}");
    }
    // Who hung was given all of its time, and no other.
    let within = format!("{} 2", line("bucket", "retried", ",le=\"0.25\""));
    assert!(shown.lines().any(|shown| shown == within), "no line `{within}` in {shown}");
}

#[tokio::test]
async fn without_a_webhook_and_without_sense_a_delivery_is_refused() {
    let webhook = with(None, None, TIMEOUT, 1).expect("a client can be made");
    assert!(matches!(outcome(&webhook, "200").await, Answer::Refused { .. }));
    let receiver = Receiver::start().await;
    let garbage = Call { request: "{".to_owned(), ..call("200") };
    let answer: Answer = serde_json::from_str(&receiver.webhook(1).call(&garbage).await).expect("an answer is JSON");
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    assert_eq!(receiver.keys(), [""; 0]);
}

#[test]
fn customers_are_told_in_sentences_made_for_their_business() {
    use business::front::state::Status;
    for names in [food_delivery::names::NAMES, mask_shop::names::NAMES, movie_booking::names::NAMES] {
        let statuses = Status::all(&names).into_iter().map(|status| status.name(&names));
        for subject in statuses.chain([names.words.undone]) {
            let sentence = notifications::sentences::sentence(&names, subject, None, "x-1");
            assert!(sentence.contains("x-1") && !sentence.contains("x-1: "), "{}, {subject}: {sentence}", names.system);
        }
    }
}
