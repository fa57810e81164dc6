//! An in-memory log for tests.
