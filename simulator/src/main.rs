//! `simulate`: runs seeds until one breaks a law, or shows one seed. `cargo xtask simulate` runs it in a fast build.

use std::process::ExitCode;
use std::time::Instant;

use orderflow_simulator::{Bug, Options, Report, run};

const USAGE: &str = "usage: simulate [--seeds N] [--from SEED] [--seed SEED] [--bug NAME] [--lose-tails] [--trace]

  --seeds N      how many seeds to run, one after the other (default 1000)
  --from SEED    the first of them (default 0)
  --seed SEED    runs only this one
  --bug NAME     plants a bug, to see that it is found
  --lose-tails   brokers lose tails that they had acknowledged: that must be told, or do no harm
  --trace        prints everything that happened";

struct Arguments {
    seeds: u64,
    options: Options,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => simulate(&arguments),
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments { seeds: 1_000, options: Options::default() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("`{text}` is no number: {error}"));
        match word.as_str() {
            "--seeds" => arguments.seeds = number(value()?)?,
            "--from" => arguments.options.seed = number(value()?)?,
            "--seed" => (arguments.options.seed, arguments.seeds) = (number(value()?)?, 1),
            "--bug" => arguments.options.bug = Some(value()?.parse::<Bug>().map_err(|error| error.to_string())?),
            "--lose-tails" => arguments.options.loses_tails = true,
            "--trace" => arguments.options.is_traced = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    Ok(Some(arguments))
}

fn simulate(arguments: &Arguments) -> ExitCode {
    // A panic is a broken law: it is told with the seed, not where it happens.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let first = arguments.options.seed;
    let (mut steps, mut incarnations, mut counts) = (0, 0, std::collections::BTreeMap::<&str, u64>::new());
    for seed in first..first.saturating_add(arguments.seeds) {
        let options = Options { seed, ..arguments.options };
        let report = run(&options);
        report.trace.iter().for_each(|line| println!("{line}"));
        if report.violation.is_some() {
            tell(&options, &report);
            return ExitCode::FAILURE;
        }
        steps += report.steps;
        incarnations += report.incarnations;
        report.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    }
    let seconds = began.elapsed().as_secs_f64();
    let per_minute = arguments.seeds as f64 * 60.0 / seconds.max(0.001);
    println!(
        "{} seeds from {first}, no law broken; {steps} steps, {incarnations} incarnations, in {seconds:.1} s: {per_minute:.0} seeds a minute",
        arguments.seeds
    );
    counts.iter().for_each(|(what, count)| println!("{count:>9}  {what}"));
    ExitCode::SUCCESS
}

/// Tells which law is broken, and what came before it.
fn tell(options: &Options, report: &Report) {
    let Some(violation) = &report.violation else { return };
    if !options.is_traced {
        // The same seed is the same run: what was not written down is seen the second time.
        run(&Options { is_traced: true, ..*options }).tail().iter().for_each(|line| println!("{line}"));
    }
    println!("seed {} breaks {violation} at step {}", options.seed, report.steps);
}
