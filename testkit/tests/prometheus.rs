//! The Prometheus that tests get is a real one: pinned, theirs alone, and gone afterwards.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use orderflow_testkit::{Prometheus, tools};

/// Returns the body of an answer.
fn get(prometheus: &Prometheus, path: &str) -> String {
    let mut stream = TcpStream::connect(prometheus.address()).expect("it accepts connections");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn two_servers_run_at_once_and_scrape_each_other() {
    let first = Prometheus::start(&[], &[]);
    let second = Prometheus::start(&[first.address().to_string()], &[]);
    let is_up = |prometheus: &Prometheus| get(prometheus, "/api/v1/query?query=up").contains(",\"1\"]");
    while !is_up(&second) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!is_up(&first));
    first.set_targets(&[second.address().to_string()]).expect("targets can be changed");
    while !is_up(&first) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn the_pinned_programs_are_what_they_are_said_to_be() {
    let pinned = tools::pinned_prometheus(&tools::directory()).expect("they can be installed");
    for program in [pinned.server, pinned.promtool] {
        let output = Command::new(&program).arg("--version").output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("version 2.42.0"), "{}", program.display());
    }
}
