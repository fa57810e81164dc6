//! The local store: a cache of what the journal says.
