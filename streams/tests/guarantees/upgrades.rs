//! `U1`-`U3`: programs of several versions take turns on one state, and one that cannot go on with it says so and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluvio_streams::journal::{JournalRecord, Transaction};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::state::store::MemoryStore;
use fluvio_streams::task::{Stop, Task};
use fluvio_streams::testing::{Answer, Random, TestDriver};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, Topology};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PARTITIONS: u32 = 2;
const JOURNAL: &str = "savings-journal";
const DEPOSITS: i64 = 30;
const ACCOUNTS: i64 = 4;

/// An account as the first program has it.
#[derive(Serialize, Deserialize)]
struct Account {
    balance: i64,
}

/// An account as the second one has it: with a limit, which is a hundred times what an account that came without one had at first.
#[derive(Serialize, Deserialize)]
struct AccountWithLimit {
    balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
}

/// An account as the third one has it: in coins of ten.
#[derive(Serialize, Deserialize)]
struct Coins {
    coins: i64,
    rest: i64,
    limit: Option<i64>,
}

fn with_limit(mut value: Value) -> Value {
    value["limit"] = json!(100);
    value
}

fn in_coins(value: Value) -> Value {
    let balance = value["balance"].as_i64().unwrap_or_default();
    json!({"coins": balance / 10, "rest": balance % 10, "limit": value["limit"]})
}

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    First,
    Second,
    Third,
}

impl Program {
    fn store(self) -> StoreSpec {
        match self {
            Self::First => StoreSpec::of::<Account>("accounts").keyed_by("account"),
            Self::Second => StoreSpec::of::<AccountWithLimit>("accounts").keyed_by("account").compatible(with_limit),
            Self::Third => StoreSpec::of::<Coins>("accounts").keyed_by("account").compatible(with_limit).breaking(in_coins),
        }
    }
}

/// Takes deposits, has a receipt printed for each, and reminds once an account: the same in every version, but for how it remembers it.
struct Savings(Program);

impl Savings {
    fn deposit(&self, cx: &mut Context<'_>, account: &str, amount: i64) -> Result<i64, Failure> {
        let balance = match self.0 {
            Program::First => {
                let balance = cx.get::<Account>("accounts", account)?.map_or(0, |account| account.balance) + amount;
                cx.put("accounts", account, &Account { balance });
                balance
            }
            Program::Second => {
                let known: Option<AccountWithLimit> = cx.get("accounts", account)?;
                let (before, limit) = known.map_or((0, Some(100)), |known| (known.balance, known.limit));
                assert_eq!(limit, Some(100), "what another program wrote has been brought up to date");
                cx.put("accounts", account, &AccountWithLimit { balance: before + amount, limit });
                before + amount
            }
            Program::Third => {
                let known: Option<Coins> = cx.get("accounts", account)?;
                let balance = known.map_or(0, |known| known.coins * 10 + known.rest) + amount;
                cx.put("accounts", account, &Coins { coins: balance / 10, rest: balance % 10, limit: Some(100) });
                balance
            }
        };
        Ok(balance)
    }
}

impl Processor for Savings {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.kind == "Leave" => {
                let account = message.subject.clone().unwrap_or_default();
                cx.delete("accounts", &account);
                cx.cancel_timer("remind", &account)?;
            }
            Input::Message(message) => {
                let amount = message.decode::<Value>()?["amount"].as_i64().unwrap_or_default();
                let account = message.subject.clone().unwrap_or_default();
                let balance = self.deposit(cx, &account, amount)?;
                cx.emit("savings-events", "Deposited", &account, &json!({"balance": balance}));
                cx.call("printer", &format!("{}/{account}", message.id), &json!({"amount": amount}));
                cx.set_timer("remind", &account, cx.now_ms() + 60_000)?;
            }
            Input::Timer(timer) => cx.emit("savings-events", "Reminded", &timer.key, &json!({})),
            Input::CallResult(result) => cx.emit("savings-events", "Printed", &result.call.id, &json!({"receipt": result.response})),
        }
        Ok(())
    }

    fn timers(&self) -> Option<Vec<String>> {
        Some(vec!["remind".to_owned()])
    }
}

fn spec(stores: Vec<StoreSpec>, calls: &[&str], logic: Arc<dyn Processor>) -> ProcessorSpec {
    ProcessorSpec {
        name: "savings".into(),
        sources: vec![Source::commands("commands", "account", Routing::Except(vec![]))],
        sinks: vec!["savings-events".into()],
        journal: JOURNAL.into(),
        stores,
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic,
    }
}

fn topology(program: Program) -> Topology {
    of(spec(vec![program.store()], &["printer"], Arc::new(Savings(program))))
}

fn of(savings: ProcessorSpec) -> Topology {
    Topology { application: "bank".into(), processors: vec![savings] }
}

fn driver(program: Program) -> TestDriver {
    TestDriver::new(topology(program), PARTITIONS).with_calls(|call| Some(Answer { after_ms: 5, response: json!(call.id).to_string() }))
}

fn deposit(driver: &mut TestDriver, number: i64) {
    let account = format!("a-{}", number % ACCOUNTS);
    let command = json!({"type": "Deposit", "commandId": format!("c-{number}"), "account": account, "amount": number});
    driver.pipe("commands", &account, &command.to_string());
}

/// What anybody can see: the events about each subject in their order.
fn seen(driver: &TestDriver) -> BTreeMap<String, Vec<(String, Value)>> {
    assert_eq!(driver.refusals(), [""; 0]);
    assert_eq!(driver.events("dead-letters"), []);
    let mut seen = BTreeMap::<_, Vec<_>>::new();
    for event in driver.distinct_events("savings-events") {
        seen.entry(event.subject).or_default().push((event.kind, event.data));
    }
    seen
}

/// Plays the evening, with somebody who may interfere after each deposit.
fn play(driver: &mut TestDriver, mut interfere: impl FnMut(&mut TestDriver)) -> BTreeMap<String, Vec<(String, Value)>> {
    for number in 1..=DEPOSITS {
        deposit(driver, number);
        interfere(driver);
    }
    driver.advance(10);
    driver.advance(61_000);
    driver.run_until_idle();
    seen(driver)
}

/// `U1`: old and new take turns on one journal and on the same disks, in both orders, killed wherever they are, and it comes out as if one had done it.
#[test]
fn programs_that_are_compatible_take_turns() {
    let alone = play(&mut driver(Program::First), |_| {});
    assert_eq!(alone.len() as i64, ACCOUNTS + DEPOSITS);
    assert_eq!(play(&mut driver(Program::Second), |_| {}), alone);
    let (mut switches, mut newer) = (0, 0);
    for seed in 0..150 {
        let programs = if seed % 2 == 0 { [Program::First, Program::Second] } else { [Program::Second, Program::First] };
        let (mut driver, mut random) = (driver(programs[0]).with_seed(seed), Random::new(seed ^ 0xfeed));
        let mut turn = 0;
        let world = play(&mut driver, |driver| {
            for _ in 0..random.below(6) {
                driver.turn();
            }
            if random.once_in(3) {
                turn += 1;
                driver.switch_to(topology(programs[turn % 2]));
            }
            if random.once_in(8) {
                (0..PARTITIONS).for_each(|partition| driver.kill_and_lose_store("savings", partition));
            }
        });
        assert_eq!(world, alone, "seed {seed}, which begins with {:?}", programs[0]);
        switches += turn;
        newer += layouts(&driver).into_iter().filter(|layout| *layout == 3).count();
    }
    assert!(switches > 1_000 && newer > 1_000, "{switches} switches, {newer} records that an older program could not have written");
}

/// Returns the layout version of each record of the journals.
fn layouts(driver: &TestDriver) -> Vec<u8> {
    journals(driver).concat().iter().map(|record| record[0]).collect()
}

fn journals(driver: &TestDriver) -> Vec<Vec<bytes::Bytes>> {
    let of = |partition| driver.log().fetch(JOURNAL, partition, 0, None, usize::MAX).expect("it can be read").records;
    (0..PARTITIONS).map(|partition| of(partition).into_iter().map(|record| record.value).collect()).collect()
}

/// Whoever comes later reads what all before wrote, also after two versions at once.
#[test]
fn values_of_all_versions_are_brought_up_to_date() {
    let alone = play(&mut driver(Program::First), |_| {});
    let mut left = DEPOSITS;
    let mut driver = driver(Program::First);
    let world = play(&mut driver, |driver| {
        left -= 1;
        driver.turn();
        match left {
            20 => driver.switch_to(topology(Program::Second)),
            10 => driver.switch_to(topology(Program::Third)),
            _ => {}
        }
    });
    assert_eq!(world, alone);
}

/// `U2`: what a program cannot read it refuses, names, and leaves alone; whoever can read it goes on.
#[test]
fn a_program_that_cannot_read_the_state_changes_nothing() {
    let alone = play(&mut driver(Program::Third), |_| {});
    let mut driver = driver(Program::Third);
    let mut count = 0;
    let world = play(&mut driver, |driver| {
        count += 1;
        driver.turn();
        if count % 10 != 0 {
            return;
        }
        driver.run_until_idle();
        let before = journals(driver);
        let lose = |driver: &mut TestDriver| (0..PARTITIONS).for_each(|partition| driver.kill_and_lose_store("savings", partition));
        for program in [Program::First, Program::Second] {
            for is_lost in [false, true] {
                driver.switch_to(topology(program));
                if is_lost {
                    lose(driver);
                }
                driver.run_until_idle();
                let known = program.store().version();
                let refusals = driver.refusals();
                assert_eq!(refusals.len(), PARTITIONS as usize, "every task is refused");
                for refusal in refusals {
                    let expected = format!(
                        "store `accounts` of processor `savings` holds values of version 3, which programs read that know version 3; this one knows version {known}"
                    );
                    assert!(refusal.starts_with(&expected), "{refusal}");
                }
                assert_eq!(journals(driver), before, "not even a fence");
            }
        }
        driver.switch_to(topology(Program::Third));
    });
    assert_eq!(world, alone);
}

/// Once nothing is left that it could not read, an older program may come back.
#[test]
fn a_store_without_entries_asks_for_nothing() {
    let mut driver = driver(Program::Third);
    (1..=ACCOUNTS).for_each(|number| deposit(&mut driver, number));
    driver.advance(10);
    for number in 0..ACCOUNTS {
        driver.pipe("commands", &format!("a-{number}"), &json!({"type": "Leave", "account": format!("a-{number}")}).to_string());
    }
    driver.run_until_idle();
    driver.switch_to(topology(Program::First));
    deposit(&mut driver, 7);
    driver.advance(10);
    assert_eq!(driver.refusals(), [""; 0]);
    assert_eq!(driver.state::<Value>("savings", "accounts", "a-3"), Some(json!({"balance": 7})));
}

/// What a changed topology is told, with entries, a timer and a call pending.
fn refusal(changed: ProcessorSpec) -> Option<String> {
    // The printer never answers.
    let mut driver = TestDriver::new(topology(Program::First), PARTITIONS);
    (1..=ACCOUNTS).for_each(|number| deposit(&mut driver, number));
    driver.run_until_idle();
    let before = journals(&driver);
    driver.switch_to(of(changed));
    driver.run_until_idle();
    let refusals = driver.refusals();
    if !refusals.is_empty() {
        assert_eq!(journals(&driver), before, "not even a fence");
    }
    refusals.into_iter().next()
}

/// Does nothing, and knows these timers.
struct Idle(Option<Vec<String>>);

impl Processor for Idle {
    fn process(&self, _input: Input<'_>, _cx: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn timers(&self) -> Option<Vec<String>> {
        self.0.clone()
    }
}

/// `U3`: a change that would lose something, or find it no more, is refused by name; nothing else is.
#[test]
fn incompatible_topologies_are_refused_by_name() {
    let same = || Program::First.store();
    let idle = |timers: Option<&[&str]>| Arc::new(Idle(timers.map(|timers| timers.iter().map(|timer| (*timer).to_owned()).collect())));
    let all = || idle(Some(&["remind", "another"]));
    let refused: [(&str, ProcessorSpec, &[&str]); 5] = [
        ("the store is gone", spec(vec![], &["printer"], all()), &["store `accounts` of processor `savings` has entries (such as `a-", "no such store"]),
        (
            "it has another name",
            spec(vec!["konten".into()], &["printer"], all()),
            &["store `accounts` of processor `savings`", "give a renamed store its old name"],
        ),
        (
            "it is keyed by something else",
            spec(vec![StoreSpec::from("accounts").keyed_by("customer")], &["printer"], all()),
            &["store `accounts` of processor `savings`", "keyed by `account`", "keys them by `customer`"],
        ),
        ("the timer is gone", spec(vec![same()], &["printer"], idle(Some(&["another"]))), &["timers `remind`", "such as that of `a-"]),
        ("nobody calls the printer", spec(vec![same()], &["fax"], all()), &["call `c-", "to `printer`"]),
    ];
    for (what, changed, words) in refused {
        let refusal = refusal(changed).unwrap_or_else(|| panic!("{what}: it is refused"));
        for word in words {
            assert!(refusal.contains(word), "{what}: {refusal}");
        }
    }
    let more_sources = |mut spec: ProcessorSpec| {
        spec.sources.push(Source::events("others-events", &["Merged"]));
        spec
    };
    let taken = [
        ("the same", spec(vec![same()], &["printer"], all())),
        ("a new store, timer, call and source", more_sources(spec(vec![same(), "notes".into()], &["printer", "fax"], all()))),
        ("nothing is said of keys and timers", spec(vec!["accounts".into()], &["printer"], idle(None))),
        ("a new version", spec(vec![Program::Third.store()], &["printer"], all())),
    ];
    for (what, changed) in taken {
        assert_eq!(refusal(changed), None, "{what}");
    }
}

/// A journal with one account, as a task with so many partitions writes it.
fn journal_of(partitions: u32) -> Vec<bytes::Bytes> {
    let mut driver = TestDriver::new(topology(Program::First), partitions);
    deposit(&mut driver, 1);
    driver.run_until_idle();
    let partition = partition_for(b"a-1", partitions);
    driver.log().fetch(JOURNAL, partition, 0, None, usize::MAX).expect("it can be read").records.into_iter().map(|record| record.value).collect()
}

fn restored(journal: &[bytes::Bytes], partitions: u32) -> Task {
    let spec = topology(Program::First).processors.remove(0);
    let mut task = Task::open("bank", spec, 0, partitions, "next".to_owned(), Box::new(MemoryStore::default())).expect("it opens");
    for (offset, record) in (0..).zip(journal) {
        task.replay(offset, record).expect("it replays");
    }
    task
}

/// `U3`: with another number of partitions, keys belong to other tasks.
#[test]
fn another_number_of_partitions_is_refused() {
    let journal = journal_of(2);
    assert!(restored(&journal, 2).check_compatible().is_ok());
    match restored(&journal, 3).check_compatible() {
        Err(Stop::Incompatible(refused)) => {
            let expected = "the state of processor `savings` (store `accounts`) was written for 2 partitions, its topics have 3: ";
            assert!(refused.to_string().starts_with(expected), "{refused}");
        }
        other => panic!("{other:?}"),
    }
}

/// What programs wrote that said nothing of versions is taken as it is; from then on it is said.
#[test]
fn a_journal_of_before_is_adopted() {
    let schema = |(key, _): &(Vec<u8>, Option<Vec<u8>>)| key.first() == Some(&b'v');
    let without = |record: &bytes::Bytes| match JournalRecord::decode(record).expect("it decodes") {
        JournalRecord::Transaction(mut transaction) => {
            transaction.changes.retain(|change| !schema(change));
            JournalRecord::Transaction(transaction).encode().into()
        }
        fence @ JournalRecord::Fence(_) => fence.encode().into(),
    };
    let before: Vec<bytes::Bytes> = journal_of(1).iter().map(without).collect();
    assert!(before.iter().all(|record| record[0] == 2), "as the program of before wrote it");
    let mut task = restored(&before, 1);
    task.check_compatible().expect("it is taken");
    let fence = task.fence(0);
    task.replay(before.len() as i64, &fence.into()).expect("it replays");
    task.own().expect("it owns");
    let work = task.due_timers(i64::MAX);
    let (record, _) = task.step(&mut work.into(), i64::MAX / 2).expect("it works");
    let Ok(JournalRecord::Transaction(Transaction { changes, .. })) = JournalRecord::decode(&record.expect("a timer fires")) else {
        panic!("it is a transaction")
    };
    let schema = changes.into_iter().find(schema).and_then(|(_, value)| value).expect("it says what it writes");
    let schema: Value = serde_json::from_slice(&schema).expect("it is JSON");
    assert_eq!(schema, json!({"layout": 1, "partitions": 1, "stores": {"accounts": {"version": 1, "readableFrom": 1, "key": "account"}}}));
}

/// What a topology does not name would be refused at the next start, when it is too late: so it is refused at once.
#[test]
#[should_panic(expected = "processor `savings` keeps what its topology does not name: store `accounts`")]
fn nothing_is_kept_that_the_topology_does_not_name() {
    let mut driver = TestDriver::new(of(spec(vec!["konten".into()], &["printer"], Arc::new(Savings(Program::First)))), PARTITIONS);
    deposit(&mut driver, 1);
    driver.run_until_idle();
}
