use std::fs;

use super::{Document, agreement, agreement::Scaler, generated};
use crate::workspace;

fn documents(path: &str) -> Vec<Document> {
    let text = fs::read_to_string(workspace::root().join(path)).expect(path);
    Document::all(&text).expect(path)
}

#[test]
fn the_rules_of_the_operator_are_those_of_the_files() {
    generated::check(workspace::root()).expect("it belongs to them");
}

#[test]
fn whoever_scales_scales_alike_and_never_beyond_the_partitions() {
    let hpas = documents("k8s/components/autoscaling-hpa/hpa.yaml");
    let keda = documents("k8s/components/autoscaling-keda/scaled-object.yaml");
    assert_eq!((hpas.len(), keda.len()), (3, 3));
    let base = documents("k8s/base/kustomization.yaml").remove(0);
    let partitions =
        base.list("/configMapGenerator/0/literals").iter().find_map(|literal| literal.as_str()?.strip_prefix("ORDERFLOW_PARTITIONS=")?.parse().ok());
    let held_by = agreement::hold_value(workspace::root()).expect("the rules hold");
    for (hpa, keda) in hpas.iter().zip(&keda) {
        let (hpa, keda) = (Scaler::of(hpa).expect("it scales"), Scaler::of(keda).expect("it scales"));
        assert_eq!(Scaler { query: keda.query.clone(), ..hpa.clone() }, keda);
        assert_eq!((Some(hpa.replicas_max), hpa.target_value), (partitions, held_by));
        let system = hpa.target.strip_suffix("-processors").expect("it scales processors");
        assert_eq!(hpa.query, format!(r#"sum(orderflow:scaling_lag:records{{system="{system}",namespace="orderflow"}})"#));
        assert_eq!(keda.query, format!(r#"sum(orderflow:scaling_lag:records{{namespace="orderflow",system="{system}"}})"#));
    }
}
