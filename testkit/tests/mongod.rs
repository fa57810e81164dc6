//! The servers that tests get are real, theirs alone, and gone afterwards.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use orderflow_testkit::{Mongod, tools};

const PATIENCE: Duration = Duration::from_secs(30);

fn address(mongod: &Mongod) -> SocketAddr {
    let uri = mongod.uri();
    let authority = uri.trim_start_matches("mongodb://").split('/').next().expect("a URI has an authority");
    authority.parse().expect("a server of our own has a numeric address")
}

/// Asks a server `{command: 1, $db: "admin"}` and returns its answer, a BSON document.
fn ask(address: SocketAddr, command: &str) -> Vec<u8> {
    let mut document = vec![0x10];
    document.extend([command.as_bytes(), b"\0", &1_i32.to_le_bytes(), b"\x02$db\0", &6_i32.to_le_bytes(), b"admin\0"].concat());
    document.push(0);
    let document = [&(document.len() as i32 + 4).to_le_bytes()[..], &document].concat();
    let body = [&0_i32.to_le_bytes()[..], b"\0", &document].concat();
    let header = [body.len() as i32 + 16, 1, 0, 2013].map(i32::to_le_bytes).concat();

    let mut stream = TcpStream::connect(address).expect("the server accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    stream.write_all(&[header, body].concat()).expect("the server takes a request");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("the server answers");
    let mut answer = vec![0; i32::from_le_bytes(length) as usize - 4];
    stream.read_exact(&mut answer).expect("the server answers in full");
    answer
}

#[track_caller]
fn answers(mongod: &Mongod) {
    let answer = ask(address(mongod), "hello");
    let writable = b"\x08isWritablePrimary\0\x01";
    assert!(answer.windows(writable.len()).any(|window| window == writable), "the server says that it takes writes");
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn two_servers_run_at_once_and_die_with_their_owners() {
    let (first, second) = (Mongod::start_owned(), Mongod::start_owned());
    assert_ne!(first.uri(), second.uri());
    assert_ne!(first.database(), second.database());
    answers(&first);
    answers(&second);
    let gone = address(&first);
    drop(first);
    assert!(TcpStream::connect(gone).is_err(), "a dropped server is gone");
    answers(&second);
}

#[test]
fn a_killed_server_comes_back_at_the_same_address() {
    let mut mongod = Mongod::start_owned();
    let uri = mongod.uri().to_owned();
    mongod.kill().expect("our own server can be killed");
    assert!(TcpStream::connect(address(&mongod)).is_err(), "a killed server is gone");
    mongod.kill().expect("killing twice is harmless");
    mongod.restart().expect("a killed server starts again");
    assert_eq!(mongod.uri(), uri);
    answers(&mongod);
}

/// Not a test of its own but the process that the next one kills: this same test binary, run for this one function
/// with the marker set. Without the marker it only shows that a server starts.
#[test]
fn holds_a_server_until_it_is_killed() {
    let mongod = Mongod::start_owned();
    answers(&mongod);
    if std::env::var_os("TESTKIT_HOLD_SERVER").is_some() {
        println!("\nholding {}", address(&mongod));
        std::io::stdin().read_to_end(&mut Vec::new()).expect("standard input ends");
    }
}

#[test]
fn a_server_does_not_outlive_a_killed_test_process() {
    let mut holder = Command::new(std::env::current_exe().expect("a running test has a path"))
        .args(["--exact", "holds_a_server_until_it_is_killed", "--nocapture"])
        .env("TESTKIT_HOLD_SERVER", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the test binary runs");
    let output = std::io::BufReader::new(holder.stdout.take().expect("its output is piped"));
    let server: SocketAddr = std::io::BufRead::lines(output)
        .map(|line| line.expect("its output is text"))
        .find_map(|line| line.strip_prefix("holding ").map(str::to_owned))
        .expect("it says which server it holds")
        .parse()
        .expect("it prints an address");
    TcpStream::connect(server).expect("the server runs");
    holder.kill().expect("a process can be killed");
    holder.wait().expect("a killed process ends");
    eventually("the server is gone", || TcpStream::connect(server).is_err());
}

#[test]
fn the_pinned_tool_is_installed_once_for_all() {
    let paths: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| tools::pinned_mongod(&tools::directory()))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics").expect("the tool is there")).collect()
    });
    assert!(paths.iter().all(|path| path == &paths[0] && path.is_file()));
}
