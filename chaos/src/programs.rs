//! By which program a process is started: always by the same, or now by one version and now by another, as a seed says. Then old and new take turns on the same topics and disks.

use std::path::{Path, PathBuf};

use crate::random::Random;

/// The programs of one process.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    usual: PathBuf,
    other: Option<(PathBuf, Random)>,
    starts_of_other: u64,
}

impl Programs {
    /// Always the same.
    pub(crate) fn only(usual: &Path) -> Self {
        Self { usual: usual.to_owned(), other: None, starts_of_other: 0 }
    }

    /// One or the other. `name` tells the process from others, which decide for themselves.
    pub(crate) fn or(self, other: Option<&Path>, seed: u64, name: &str) -> Self {
        let stream = name.bytes().fold(0x0107, |stream: u64, byte| stream.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Self { other: other.map(|other| (other.to_owned(), Random::of(seed, stream))), ..self }
    }

    /// Returns the one by which it is started next.
    pub(crate) fn next(&mut self) -> &Path {
        match &mut self.other {
            Some((other, random)) => {
                if !random.percent(50) {
                    return &self.usual;
                }
                self.starts_of_other += 1;
                other
            }
            None => &self.usual,
        }
    }

    /// Returns how often it was the other one.
    pub(crate) fn starts_of_other(&self) -> u64 {
        self.starts_of_other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_take_turns_as_the_seed_says() {
        let turns = |seed| {
            let mut programs = Programs::only(Path::new("new")).or(Some(Path::new("old")), seed, "orders");
            let turns: Vec<PathBuf> = (0..40).map(|_| programs.next().to_owned()).collect();
            assert_eq!(turns.iter().filter(|turn| turn.as_path() == Path::new("old")).count() as u64, programs.starts_of_other());
            turns
        };
        assert_eq!(turns(1), turns(1));
        assert_ne!(turns(1), turns(2));
        assert!(turns(1).iter().any(|turn| turn == Path::new("old")) && turns(1).iter().any(|turn| turn == Path::new("new")));
        let mut alone = Programs::only(Path::new("new")).or(None, 1, "orders");
        assert!((0..40).all(|_| alone.next() == Path::new("new")));
    }
}
