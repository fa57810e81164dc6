//! Names of the topics. All topics of a system have the same number of partitions; those of one aggregate are keyed by its id, so that everything about it meets in tasks of one partition.

/// Returns the topic for what people ask for: plain JSON commands.
pub fn commands(system: &str) -> String {
    format!("{system}-commands")
}

/// Returns the topic for what happened in a processor.
pub fn events(system: &str, processor: &str) -> String {
    format!("{system}-{processor}-events")
}

/// Returns the topic for what a front asks of its partner. Any program may answer.
pub fn requests(system: &str, pair: &str) -> String {
    format!("{system}-{pair}-requests")
}

/// Returns the topic for what a partner, or a stand-in, answers.
pub fn replies(system: &str, pair: &str) -> String {
    format!("{system}-{pair}-replies")
}

/// Returns the topic for commands that a rule refused.
pub fn rejections(system: &str) -> String {
    format!("{system}-rejections")
}

/// Returns the topic for records that nobody could read.
pub fn dead_letters(system: &str) -> String {
    format!("{system}-dead-letters")
}

/// Returns the name of a processor's journal.
pub fn journal(system: &str, processor: &str) -> String {
    format!("{system}-{processor}-journal")
}
