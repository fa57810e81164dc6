//! A broker in a process of its own: `orderflow-broker-alone [SC_ADDR [SPU_ADDR [DATA_DIR]]]`.
//!
//! Prints its two addresses on one line and runs until its standard input ends. Made for tests that kill it; the
//! program for people is `orderflow`.

use std::{env, io::Read, path::PathBuf};

use orderflow_broker::{Broker, DataDir, Options};

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1);
    let mut address = || arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse().expect("an address");
    let (sc_addr, spu_addr) = (address(), address());
    let data_dir = arguments.next().map_or(DataDir::Ephemeral, |dir| DataDir::Path(PathBuf::from(dir)));
    let broker = Broker::start(Options { data_dir, sc_addr, spu_addr, ..Options::default() });
    let broker = broker.await.expect("the broker starts");
    println!("{} {}", broker.sc_addr(), broker.spu_addr());
    let until_input_ends = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    until_input_ends.await.expect("the reader of the input ends").expect("the input can be read");
    broker.stop().await;
}
