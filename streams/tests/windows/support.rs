//! Specs and disturbances.

use std::sync::Arc;

use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::testing::TestDriver;
use fluvio_streams::topology::{ProcessorSpec, Source, StoreSpec, Topology};

pub(crate) const PARTITIONS: u32 = 3;

/// What a processor does, as a function.
pub(crate) struct Step<F>(pub(crate) F);

impl<F: Fn(Input<'_>, &mut Context<'_>) -> Result<(), Failure> + Send + Sync + 'static> Processor for Step<F> {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        (self.0)(input, cx)
    }
}

pub(crate) fn spec(name: &str, sources: Vec<Source>, sink: &str, stores: Vec<StoreSpec>, logic: Arc<dyn Processor>) -> ProcessorSpec {
    ProcessorSpec {
        name: name.to_owned(),
        sources,
        sinks: vec![sink.to_owned()],
        journal: format!("{name}-journal"),
        stores,
        calls: vec![],
        rejections: "rejections".to_owned(),
        dead_letters: "dead-letters".to_owned(),
        logic,
    }
}

pub(crate) fn topology(processors: Vec<ProcessorSpec>) -> Topology {
    Topology { application: "test".to_owned(), processors }
}

/// Plays a story as it is, then with a kill at each crash point, then under seeds with another kill, and with lost disks and second owners: what is seen in the end must be the same.
pub(crate) fn whatever_happens<T: PartialEq + std::fmt::Debug>(
    driver: impl Fn() -> TestDriver,
    processors: &[&str],
    story: impl Fn(&mut TestDriver, &dyn Fn(&mut TestDriver)) -> T,
) -> T {
    let mut quiet = driver();
    let expected = story(&mut quiet, &|_| {});
    let steps = quiet.steps();
    assert!(steps > 20, "{steps} crash points");
    for step in 1..=steps {
        let mut driver = driver();
        driver.crash_at(step);
        assert_eq!(story(&mut driver, &|_| {}), expected, "killed at crash point {step}");
        assert_eq!(driver.crashes(), 1);
    }
    let each = |driver: &mut TestDriver, act: &dyn Fn(&mut TestDriver, &str, u32)| {
        processors.iter().for_each(|processor| (0..PARTITIONS).for_each(|partition| act(driver, processor, partition)));
    };
    let lost = story(&mut driver(), &|driver| each(driver, &|driver, processor, partition| driver.kill_and_lose_store(processor, partition)));
    assert_eq!(lost, expected, "all disks were lost in the middle");
    let usurped = story(&mut driver(), &|driver| each(driver, &|driver, processor, partition| driver.usurp(processor, partition)));
    assert_eq!(usurped, expected, "all tasks were taken over in the middle");
    for seed in 0..60 {
        let mut driver = driver().with_seed(seed);
        driver.crash_at(1 + seed * 11 % steps);
        assert_eq!(story(&mut driver, &|_| {}), expected, "seed {seed}");
    }
    expected
}
