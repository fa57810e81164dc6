//! The metrics that there are, as the program lists them, and those that an expression names.

use std::collections::BTreeMap;

use crate::support::run;

/// Types of metrics by name.
pub(crate) struct Catalogue(BTreeMap<String, String>);

impl Catalogue {
    /// Asks the program.
    pub(crate) async fn of_the_program() -> Self {
        let listed = run(&["metrics"]).await;
        assert!(listed.status.success());
        let text = String::from_utf8(listed.stdout).expect("names are text");
        Self(
            text.lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
                .collect(),
        )
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns true if the program exports such a series: a metric, or a part of a histogram.
    pub(crate) fn exports(&self, series: &str) -> bool {
        let is_part = |end| series.strip_suffix(end).is_some_and(|name| self.0.get(name).is_some_and(|kind| kind == "histogram"));
        self.0.get(series).is_some_and(|kind| kind != "histogram") || ["_bucket", "_sum", "_count"].into_iter().any(is_part)
    }
}

/// Returns the names of metrics of ours in an expression: not what is quoted, nor labels.
pub(crate) fn metrics_of(expression: &str) -> Vec<String> {
    let unquoted: String = expression.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = unquoted.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("orderflow_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[test]
fn an_expression_names_its_metrics() {
    let expression = r#"sum by (le) (rate(orderflow_a_bucket{group=~"orderflow_b.*"}[5m])) / orderflow_c > 0"#;
    assert_eq!(metrics_of(expression), ["orderflow_a_bucket", "orderflow_c"]);
}
