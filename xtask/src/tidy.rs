//! Skeleton.
pub(crate) fn check(_root: &std::path::Path) -> anyhow::Result<()> {
    Ok(())
}
