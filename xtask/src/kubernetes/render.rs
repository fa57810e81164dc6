//! Renders the overlays from a copy of `k8s/`, into which made-up secrets are put: nobody's real ones take part.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, ensure};

use super::Document;
use crate::workspace;

/// What an operator provides, by overlay, and what stands in for it here.
const PROVIDED: [(&str, &str); 5] = [
    ("local/secrets/mongodb-password", "made-up"),
    ("local/secrets/mongodb-uri", "mongodb://orderflow:made-up@mongodb:27017/orderflow?authSource=admin"),
    ("production/secrets/mongodb-uri", "mongodb://orderflow:made-up@mongodb.example.invalid:27017/orderflow"),
    ("production/secrets/payment-provider-token", "made-up"),
    ("production/config.env", "ORDERFLOW_FLUVIO=fluvio.example.invalid:9003\nORDERFLOW_PAYMENT_PROVIDER_URL=https://payments.example.invalid\n"),
];
/// How production is scaled otherwise, and what is changed for it: one line, as its comment says.
const HPA: &str = "  - ../../components/autoscaling-hpa\n";
const KEDA: &str = "  - ../../components/autoscaling-keda\n";

/// A copy of `k8s/` without anybody's secrets.
pub(super) struct Copy {
    overlays: PathBuf,
}

/// An overlay as it is applied.
pub(super) struct Rendering {
    pub(super) name: &'static str,
    pub(super) file: PathBuf,
    pub(super) documents: Vec<Document>,
}

impl Copy {
    pub(super) fn of(root: &Path, directory: &Path) -> anyhow::Result<Self> {
        let (from, to) = (root.join("k8s"), directory.join("k8s"));
        let is_provided = |path: &Path| PROVIDED.iter().any(|(provided, _)| path == Path::new("overlays").join(provided));
        for path in workspace::files(&from, &[])?.into_iter().filter(|path| !is_provided(path)) {
            let target = to.join(&path);
            let parent = target.parent().unwrap_or(&to);
            fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
            fs::copy(from.join(&path), &target).with_context(|| format!("cannot copy `{}`", path.display()))?;
        }
        Ok(Self { overlays: to.join("overlays") })
    }

    /// Fails if an overlay renders although something that must be provided is not. Provides everything, one after the other.
    pub(super) fn refuses_without_secrets(&self, kubectl: &Path) -> anyhow::Result<()> {
        for (path, content) in PROVIDED {
            let overlay = path.split('/').next().unwrap_or_default();
            ensure!(!self.kustomize(kubectl, overlay)?.status.success(), "the overlay `{overlay}` renders although nobody provided `{path}`");
            let target = self.overlays.join(path);
            let parent = target.parent().unwrap_or(&self.overlays);
            fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
            fs::write(&target, content).with_context(|| format!("cannot write `{}`", target.display()))?;
        }
        Ok(())
    }

    /// Renders everything that can be applied into files below `directory`.
    pub(super) fn render_all(&self, kubectl: &Path, directory: &Path) -> anyhow::Result<Vec<Rendering>> {
        let into = directory.join("rendered");
        fs::create_dir_all(&into).with_context(|| format!("cannot create `{}`", into.display()))?;
        let mut renderings = vec![self.render(kubectl, "local", "local", &into)?, self.render(kubectl, "production", "production", &into)?];
        let path = self.overlays.join("production/kustomization.yaml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        ensure!(text.contains(HPA), "`{}` does not name the component of the HPA", path.display());
        fs::write(&path, text.replace(HPA, KEDA)).with_context(|| format!("cannot write `{}`", path.display()))?;
        renderings.push(self.render(kubectl, "production", "production with KEDA", &into)?);
        Ok(renderings)
    }

    fn render(&self, kubectl: &Path, overlay: &str, name: &'static str, into: &Path) -> anyhow::Result<Rendering> {
        let output = self.kustomize(kubectl, overlay)?;
        ensure!(output.status.success(), "the overlay `{overlay}` does not render: {}", String::from_utf8_lossy(&output.stderr));
        let file = into.join(format!("{}.yaml", name.replace(' ', "-").to_lowercase()));
        fs::write(&file, &output.stdout).with_context(|| format!("cannot write `{}`", file.display()))?;
        let documents = Document::all(&String::from_utf8_lossy(&output.stdout))?;
        Ok(Rendering { name, file, documents })
    }

    fn kustomize(&self, kubectl: &Path, overlay: &str) -> anyhow::Result<Output> {
        let output = Command::new(kubectl).arg("kustomize").arg(self.overlays.join(overlay)).output();
        output.with_context(|| format!("cannot run `{}`", kubectl.display()))
    }
}
