use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn spec() -> Spec {
    Spec {
        replicas_min: 2,
        replicas_max: 10,
        target_value: 100.0,
        up: Rules { window: Duration::ZERO, select: Select::Max, policies: vec![Policy::Percent { value: 1_000, period: 15 * SECOND }] },
        down: Rules { window: Duration::ZERO, select: Select::Max, policies: vec![Policy::Percent { value: 100, period: 15 * SECOND }] },
    }
}

/// Lets it decide once a second about these metrics, of which there is one for each second.
fn decisions(spec: Spec, first: u32, metrics: impl IntoIterator<Item = f64>) -> Vec<u32> {
    let (mut hpa, mut current) = (Hpa::new(spec), first);
    let decide = |(second, metric)| {
        current = hpa.decide(second * SECOND, current, Some(metric));
        current
    };
    (0..).zip(metrics).map(decide).collect()
}

#[test]
fn it_proposes_as_many_as_the_metric_needs_and_leaves_what_is_within_the_tolerance() {
    for (metric, current, wanted) in [(400.0, 4, 4), (439.0, 4, 4), (441.0, 4, 5), (361.0, 4, 4), (359.0, 4, 4), (299.0, 4, 3), (0.0, 4, 0), (401.0, 2, 5)] {
        assert_eq!(propose(metric, 100.0, current), wanted, "{metric} of {current}");
    }
}

#[test]
fn it_stays_within_its_bounds_whatever_the_metric_says() {
    assert_eq!(decisions(spec(), 2, [1e9]), [10]);
    assert_eq!(decisions(spec(), 10, [0.0]), [2]);
    assert_eq!(decisions(spec(), 20, [1e9]), [10], "somebody else set too many");
    assert_eq!(decisions(spec(), 1, [0.0]), [2], "somebody else set too few");
}

#[test]
fn without_a_metric_nothing_changes() {
    let mut hpa = Hpa::new(spec());
    assert_eq!([None, Some(f64::NAN), Some(f64::INFINITY)].map(|metric| hpa.decide(SECOND, 4, metric)), [4, 4, 4]);
}

#[test]
fn what_is_gone_within_the_window_starts_nobody() {
    let mut spec = spec();
    spec.up.window = 3 * SECOND;
    assert_eq!(decisions(spec.clone(), 2, [200.0, 900.0, 900.0, 200.0, 200.0]), [2, 2, 2, 2, 2]);
    assert_eq!(decisions(spec, 2, [200.0, 900.0, 900.0, 900.0]), [2, 2, 2, 9], "once the calm second is out of the window");
}

#[test]
fn nobody_goes_before_the_most_that_was_needed_is_out_of_the_window() {
    let mut spec = spec();
    spec.down.window = 5 * SECOND;
    let metrics = [800.0, 300.0, 300.0, 600.0, 300.0, 300.0, 300.0, 300.0, 300.0];
    assert_eq!(decisions(spec, 8, metrics), [8, 8, 8, 8, 8, 6, 6, 6, 3]);
}

#[test]
fn policies_bound_the_change_within_their_periods() {
    let mut spec = spec();
    spec.up.policies = vec![Policy::Percent { value: 100, period: 3 * SECOND }, Policy::Pods { value: 1, period: 3 * SECOND }];
    spec.down.policies = vec![Policy::Pods { value: 1, period: 2 * SECOND }];
    assert_eq!(decisions(spec.clone(), 2, [1e9; 7]), [4, 4, 4, 8, 8, 8, 10]);
    assert_eq!(decisions(spec.clone(), 5, [0.0; 7]), [4, 4, 3, 3, 2, 2, 2]);
    spec.up.select = Select::Min;
    assert_eq!(decisions(spec.clone(), 2, [1e9; 4]), [3, 3, 3, 4]);
    spec.up.select = Select::Disabled;
    assert_eq!(decisions(spec, 2, [1e9; 4]), [2, 2, 2, 2]);
}

#[test]
fn a_held_metric_moves_nobody() {
    for replicas in 2..=10 {
        assert_eq!(decisions(spec(), replicas, [100.0 * f64::from(replicas); 5]), [replicas; 5]);
    }
}

#[test]
fn time_that_runs_faster_shortens_windows_and_periods_alike() {
    let faster = Spec { down: Rules { window: 300 * SECOND, ..spec().down }, ..spec() }.faster(15);
    assert_eq!(faster.down.window, 20 * SECOND);
    assert_eq!(faster.up.policies, [Policy::Percent { value: 1_000, period: SECOND }]);
}
