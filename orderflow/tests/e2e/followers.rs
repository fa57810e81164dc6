//! Followers that can be taken away, with the real binary. What is to be seen of one stands in its crate, in `tests/scenario.json`: deleting the crate deletes its scenario.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::support::{Instance, until};

/// What is done and seen, in this order.
#[derive(Deserialize)]
struct Scenario {
    about: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    /// Somebody produces a record.
    Produce { topic: String, key: String, record: Value },
    /// A document becomes so, at a JSON pointer.
    See { path: String, at: String, is: Value },
    /// A text stands, or does not stand, in what the broker holds of a topic.
    Find {
        text: String,
        #[serde(rename = "in")]
        topic: String,
        stands: bool,
    },
}

fn scenarios() -> Vec<Scenario> {
    let processors = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("processors");
    let crates = fs::read_dir(processors).expect("there are processors").map(|entry| entry.expect("it can be read").path());
    let texts = crates.filter_map(|path| fs::read_to_string(path.join("tests/scenario.json")).ok());
    texts.map(|text| serde_json::from_str(&text).expect("it is a scenario")).collect()
}

#[tokio::test]
async fn every_follower_does_what_its_scenario_says() {
    for scenario in scenarios() {
        let instance = Instance::start(&[]).await;
        for step in scenario.steps {
            match step {
                Step::Produce { topic, key, record } => instance.produce(&topic, Some(key.as_bytes()), record.to_string()).await,
                Step::See { path, at, is } => {
                    let what = format!("{path} has {is} at {at}: {}", scenario.about);
                    until(&what, async || instance.get(&path).await.1.pointer(&at) == Some(&is)).await;
                }
                Step::Find { text, topic, stands } => {
                    let logs = logs(&instance.data(), &topic);
                    assert!(!logs.is_empty(), "the broker holds {topic}");
                    let found = logs.iter().any(|path| fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes())));
                    assert_eq!(found, stands, "`{text}` in {topic}: {}", scenario.about);
                }
            }
        }
    }
}

/// Every file of the broker that belongs to a topic.
fn logs(below: &Path, topic: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(logs(&path, topic));
        } else if path.iter().any(|part| part.to_string_lossy().starts_with(topic)) {
            found.push(path);
        }
    }
    found
}
