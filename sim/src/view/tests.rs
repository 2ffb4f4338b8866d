use super::messages::Messages;
use super::picture::{Window, draw};
use super::{html, perfetto, story};
use crate::check::Violation;
use crate::run::{Check, Failure, Options, Outcome, Part, run};
use crate::scenario::Scenario;
use weir_core::time::{Duration, Instant};

/// A short run with a fault, and a violation that was made up: the answer that the first client got at five seconds or before.
fn outcome() -> Outcome {
    let text = "
        title = 'x'
        duration = '2s'
        calm = '1s'
        [[clients]]
        workload = 'register'
        count = 2
        pause = '20ms'
        [[faults]]
        at = '1s'
        lasts = '500ms'
        kind = 'kill'
        on = 'server 3'
    ";
    let scenario = Scenario::parse(text).expect("it is right");
    let mut outcome = run(&scenario, 1, Options { records_max: 1_000_000, messages: true, ..Options::default() });
    assert_eq!(outcome.failures, []);
    let messages = Messages::of(&outcome);
    let is_read = |message: &&super::messages::Message| {
        messages.part(message.from) == Some(Part::Client) && messages.label(message).starts_with("SELECT v")
    };
    let asked = messages.at(messages.all().iter().rfind(is_read).expect("clients read").sent);
    let violation =
        Violation::new("made up", "<it> happened").seen(1_000_001, asked.0).seen(2_000_001, asked.0 + 5_000_000);
    outcome.failures.push(Failure { check: Check::Session, violation });
    outcome
}

#[test]
fn messages_arrive_where_they_were_sent() {
    let outcome = outcome();
    let messages = Messages::of(&outcome);
    assert!(messages.all().len() > 1000);
    for message in messages.all() {
        let Some(arrived) = message.arrived else { continue };
        assert!(messages.at(arrived) > messages.at(message.sent));
        assert_ne!(message.to, Some(message.from));
    }
}

#[test]
fn a_story_leads_from_a_request_to_its_answer() {
    let outcome = outcome();
    let story = story::of(&outcome, &outcome.failures[0].violation);
    let told = story.messages.join("\n");
    assert!(
        told.contains("client 1 -> gateway") && told.contains("-> server") && told.contains("-> client 2"),
        "{told}"
    );
    assert!(story.messages.len() >= 6, "two requests, each from client to server and back: {told}");
    assert!(story.messages.is_sorted(), "{told}");
    assert_eq!(story.faults.len() + story.other_faults, 1);
}

#[test]
fn a_picture_stays_in_bounds_and_needs_nothing_else() {
    let outcome = outcome();
    let window = Window { from: Instant(1_000_000_000), until: Instant(4_000_000_000), arrows_max: 50 };
    let picture = draw("a <title>".to_owned(), &outcome, window);
    assert_eq!((picture.arrows.len(), picture.faults.len(), picture.violations.len()), (50, 1, 1));
    assert!(picture.left_out > 100);
    assert!(picture.arrows.iter().all(|arrow| arrow.arrives.unwrap_or(arrow.at) >= picture.from));
    let states: Vec<&str> = picture.spans.iter().map(|span| span.state).collect();
    for state in ["primary", "replica", "sees-primary", "down", "up"] {
        assert!(states.contains(&state), "{state} in {states:?}");
    }
    let page = html::render(&picture).expect("it is plain data");
    assert!(page.contains("a &lt;title>") && page.contains("made up: \\u003cit>"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("{{"));
    let events: serde_json::Value = serde_json::from_str(&perfetto::render(&picture)).expect("it is JSON");
    let phase =
        |phase: &str| events["traceEvents"].as_array().expect("events").iter().filter(|e| e["ph"] == phase).count();
    assert_eq!(phase("s"), phase("f"));
    assert!(phase("s") > 10 && phase("i") == 1);
}

#[test]
fn what_surrounds_a_violation_is_what_is_drawn() {
    let outcome = outcome();
    let window = Window::around(&outcome);
    assert!(window.until.since(window.from) < Duration::from_secs(5));
}
