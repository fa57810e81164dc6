//! The scripted evening.

use crate::support::{Instance, run};

#[tokio::test]
async fn the_evening_goes_as_it_should_on_an_instance_of_its_own() {
    let output = run(&["demo"]).await;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{complained}");
    for title in ["cooked and delivered", "payment declined", "payment after the deadline", "cancelled after it was paid"] {
        assert!(said.contains(title), "{said}");
    }
    assert!(said.contains("each as expected"), "{said}");
}

#[tokio::test]
async fn the_evening_can_be_played_twice_on_a_running_instance() {
    let instance = Instance::start(&[]).await;
    for _ in 0..2 {
        let output = run(&["demo", "--http", &instance.address("http")]).await;
        assert_eq!(output.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
}
