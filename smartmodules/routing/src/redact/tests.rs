//! Redaction against a reference that takes records apart and puts them together again.

use proptest::prelude::*;

use super::*;

const NAMES: &str = "address,name";
/// Stands in every value that must be gone, and nowhere else.
const SECRET: &str = "s3cret";

fn redaction(types: &str) -> Redaction {
    Redaction::from_params(Some(types), None, Some(NAMES)).expect("the parameters are right")
}

/// A value as its text, and what must be left of it; blanks apart.
#[derive(Debug, Clone)]
struct Both {
    text: String,
    rest: String,
}

fn leaf() -> impl Strategy<Value = Both> {
    let plain = prop::sample::select(vec![
        "null",
        "true",
        "-1.50e+3",
        "12345678901234567890",
        "\"\"",
        "\"address\"",
        "\"name\\\":\\\\\"",
        "\"주소 \\u00e9\"",
        "{}",
        "[ ]",
    ]);
    plain.prop_map(|text| Both { text: text.to_owned(), rest: text.to_owned() })
}

/// A member's name: one that is redacted, escaped anyhow, or another.
fn name() -> impl Strategy<Value = (String, bool)> {
    let escape = |name: &'static str| {
        prop::collection::vec(any::<bool>(), name.len()).prop_map(move |escaped| {
            let letters = name.chars().zip(escaped).map(|(letter, escaped)| if escaped { format!("\\u{:04X}", letter as u32) } else { letter.to_string() });
            (letters.collect::<String>(), true)
        })
    };
    prop_oneof![
        2 => escape("address"),
        2 => escape("name"),
        4 => prop::sample::select(vec!["item", "Address", "names", "addres", "\\\"name\\\"", "data", "주소", "address\\u0000", "a\\tb"]).prop_map(|name| (name.to_owned(), false)),
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n\t", "\r\n  "])
}

/// A value below a redacted member: whatever it is, it holds the secret.
fn secret() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        format!("\"{SECRET}\""),
        format!("\"\\\"}},{{\\\\{SECRET}\\\\\""),
        format!("[1, [\"{SECRET}\"], {{\"item\":\"{SECRET}\"}}]"),
        format!("{{ \"name\" : \"{SECRET}\", \"{SECRET}\":[{{}}] }}"),
    ])
}

fn value() -> impl Strategy<Value = Both> {
    leaf().prop_recursive(5, 40, 5, |inner| {
        let member = (name(), inner.clone(), secret(), blank(), blank(), blank());
        let array = (prop::collection::vec((inner, blank()), 0..4), blank()).prop_map(|(values, blank)| Both {
            text: format!("[{blank}{}]", values.iter().map(|(value, blank)| format!("{}{blank}", value.text)).collect::<Vec<_>>().join(",")),
            rest: format!("[{}]", values.into_iter().map(|(value, _)| value.rest).collect::<Vec<_>>().join(",")),
        });
        prop_oneof![array, prop::collection::vec(member, 0..6).prop_map(|members| object(&members))]
    })
}

type Member = ((String, bool), Both, String, &'static str, &'static str, &'static str);

fn object(members: &[Member]) -> Both {
    let text = members.iter().map(|((name, redacted), value, secret, before, between, after)| {
        format!("{before}\"{name}\"{between}:{between}{}{after}", if *redacted { secret } else { &value.text })
    });
    let rest = members.iter().filter(|((_, redacted), ..)| !redacted).map(|((name, _), value, ..)| format!("\"{name}\":{}", value.rest));
    Both { text: format!("{{{}}}", text.collect::<Vec<_>>().join(",")), rest: format!("{{{}}}", rest.collect::<Vec<_>>().join(",")) }
}

/// A record of type `A`, its type first, last or in between.
fn record() -> impl Strategy<Value = Both> {
    let member = (name(), value(), secret(), blank(), blank(), blank());
    (prop::collection::vec(member, 0..6), any::<prop::sample::Index>()).prop_map(|(mut members, at)| {
        let kind = (("type".to_owned(), false), Both { text: "\"A\"".to_owned(), rest: "\"A\"".to_owned() }, String::new(), "", " ", "\n");
        members.insert(at.index(members.len() + 1), kind);
        object(&members)
    })
}

/// The text without the blanks between its tokens.
fn tight(text: &str) -> String {
    let (mut tight, mut within, mut escaped) = (String::new(), false, false);
    for letter in text.chars() {
        if within || !letter.is_ascii_whitespace() {
            tight.push(letter);
        }
        within ^= letter == '"' && !escaped;
        escaped = within && letter == '\\' && !escaped;
    }
    tight
}

fn rest(redaction: &Redaction, text: &str) -> String {
    match redaction.apply(text.as_bytes()) {
        Redacted::Nothing => text.to_owned(),
        Redacted::Rest(rest) => String::from_utf8(rest).expect("what is left is text"),
        Redacted::Stub => panic!("{text} is a record"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_the_members_go_and_everything_else_stays(record in record()) {
        let left = rest(&redaction("A"), &record.text);
        prop_assert!(!left.contains(SECRET), "{} became {left}", record.text);
        prop_assert_eq!(tight(&left), tight(&record.rest), "of {}", record.text);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&left).is_ok(), "{left} is JSON");
        // What is left has nothing more to take out, and so is handed on untouched.
        prop_assert_eq!(redaction("A").apply(left.as_bytes()), Redacted::Nothing);
    }

    #[test]
    fn nothing_leaks_from_a_damaged_record(record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut bytes = record.text.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            _ => bytes.insert(at, byte),
        }
        let everything = Redaction::from_params(None, Some("B"), Some(NAMES)).expect("the parameters are right");
        let left = match everything.apply(&bytes) {
            Redacted::Stub => return Ok(()),
            Redacted::Nothing => bytes,
            Redacted::Rest(left) => left,
        };
        // A damage that leaves a record may have made another name of one: what passes is what a reader would find there.
        let found: serde_json::Value = serde_json::from_slice(&left).expect("what passes is JSON");
        prop_assert!(!has_redacted(&found), "{found}");
    }

    #[test]
    fn never_fails_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = redaction("A").apply(&bytes);
    }
}

fn has_redacted(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(members) => members.iter().any(|(name, value)| name == "address" || name == "name" || has_redacted(value)),
        serde_json::Value::Array(values) => values.iter().any(has_redacted),
        _ => false,
    }
}

/// Blanks are dropped as they are passed, so that no record costs more than a look at each of its bytes.
#[test]
fn a_record_full_of_blanks_and_members_takes_no_time() {
    let members = "\"name\":1,".repeat(40_000);
    let text = format!("{{{}{members}\"type\":\"A\"}}", " ".repeat(400_000));
    assert_eq!(rest(&redaction("A"), &text), "{\"type\":\"A\"}");
}
