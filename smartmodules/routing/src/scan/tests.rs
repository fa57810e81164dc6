//! The scanner against `serde_json` as its reference, on texts that people write and on texts that nobody should.

use std::fmt;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::*;

/// A record as `serde_json` reads it: its members in their order, doubles included.
struct Reference(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Reference;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Reference(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// What the scanner must find: `None` for no record, else the three members, decoded.
type Found = Option<[Option<String>; 3]>;

fn reference(value: &[u8]) -> Found {
    let Reference(members) = serde_json::from_slice(value).ok()?;
    let mut found = [None, None, None];
    for (wanted, found) in ["type", "subject", "orderId"].into_iter().zip(&mut found) {
        let mut values = members.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        *found = values.next().and_then(Value::as_str).map(str::to_owned);
        if values.next().is_some() {
            return None;
        }
    }
    Some(found)
}

fn scanned(value: &[u8]) -> Found {
    let Members { kind, subject, order_id } = members(value)?;
    Some([kind, subject, order_id].map(|member| member.map(|text| text.chars().collect())))
}

#[track_caller]
fn agrees(value: &[u8]) {
    assert_eq!(scanned(value), reference(value), "record {:?}", String::from_utf8_lossy(value));
}

/// The type that the scanner reads, decoded.
#[track_caller]
fn kind(value: &str) -> Option<String> {
    agrees(value.as_bytes());
    scanned(value.as_bytes()).and_then(|[kind, ..]| kind)
}

#[test]
fn reads_the_type_wherever_it_stands() {
    for record in [
        r#"{"type":"A"}"#,
        " \t\r\n{ \"type\" \n:\t\"A\" } \r\n",
        r#"{"price":-1.5e+3,"ok":true,"no":false,"none":null,"type":"A","items":[{},[],{"a":[1,"x"]}]}"#,
        r#"{"data":{"type":"B","subject":"x"},"list":[{"type":"C"}],"type":"A"}"#,
        r#"{"\u0074yp\u0065":"\u0041"}"#,
        r#"{"note":"a \" quote and a \\","type":"A"}"#,
        r#"{"note":"\"type\":\"B\"","type":"A"}"#,
    ] {
        assert_eq!(kind(record).as_deref(), Some("A"), "record {record}");
    }
}

#[test]
fn decodes_escapes_and_other_scripts() {
    assert_eq!(kind(r#"{"type":"치킨\n\u20ac\ud83c\udf57\/"}"#).as_deref(), Some("치킨\n€🍗/"));
}

#[test]
fn a_type_that_is_missing_or_no_string_is_no_type() {
    for record in ["{}", " { } ", r#"{"Type":"A"}"#, r#"{"type":1}"#, r#"{"type":null}"#, r#"{"type":{"type":"A"}}"#] {
        assert_eq!(scanned(record.as_bytes()), Some([None, None, None]), "record {record}");
        agrees(record.as_bytes());
    }
}

#[test]
fn a_member_given_twice_makes_the_record_unreadable() {
    for record in
        [r#"{"type":"A","type":"A"}"#, r#"{"type":1,"type":"A"}"#, r#"{"type":"A","\u0074ype":"B"}"#, r#"{"subject":"o-1","type":"A","subject":"o-2"}"#]
    {
        assert!(members(record.as_bytes()).is_none(), "record {record}");
    }
    assert!(members(br#"{"item":"a","item":"b","type":"A"}"#).is_some(), "other members are not routing's business");
}

#[test]
fn a_record_cut_anywhere_is_unreadable() {
    let record = r#"{"n":-12.5e-1,"a":[{"b":"\ud83c\udf57\n"},true,null],"type":"주문"}"#.as_bytes();
    assert!(members(record).is_some());
    for length in 0..record.len() {
        assert!(members(&record[..length]).is_none(), "the first {length} bytes");
    }
}

#[test]
fn rejects_what_is_not_one_json_object() {
    let records: [&[u8]; 34] = [
        b"",
        b" ",
        b"\0thinned",
        b"null",
        b"\"type\"",
        b"[]",
        b"[{\"type\":\"A\"}]",
        b"{\"type\":\"A\"}x",
        b"{\"type\":\"A\"}{}",
        b"{\"type\":\"A\",}",
        b"{,\"type\":\"A\"}",
        b"{\"type\" \"A\"}",
        b"{type:\"A\"}",
        b"{'type':'A'}",
        b"{\"type\":\"A\"",
        b"{\"type\":\"A}",
        b"{\"a\":01,\"type\":\"A\"}",
        b"{\"a\":1.,\"type\":\"A\"}",
        b"{\"a\":+1,\"type\":\"A\"}",
        b"{\"a\":.5,\"type\":\"A\"}",
        b"{\"a\":1e,\"type\":\"A\"}",
        b"{\"a\":-,\"type\":\"A\"}",
        b"{\"a\":NaN,\"type\":\"A\"}",
        b"{\"a\":tru,\"type\":\"A\"}",
        b"{\"a\":[1,],\"type\":\"A\"}",
        b"{\"a\":[1},\"type\":\"A\"}",
        b"{\"a\":{\"b\"},\"type\":\"A\"}",
        b"{\"type\":\"A\x01\"}",
        b"{\"type\":\"\\x\"}",
        b"{\"type\":\"\\u12g4\"}",
        b"{\"type\":\"\\ud83c\"}",
        b"{\"type\":\"\\udf57\"}",
        b"{\"type\":\"\\ud83c\\u0041\"}",
        b"\xef\xbb\xbf{\"type\":\"A\"}",
    ];
    for record in records {
        agrees(record);
        assert!(members(record).is_none(), "record {:?}", String::from_utf8_lossy(record));
    }
}

#[test]
fn rejects_bytes_that_are_not_utf_8() {
    for record in [&b"{\"type\":\"A\xff\"}"[..], b"{\"type\":\"A\",\"note\":\"\xc3\"}", b"\xff\xfe{\"type\":\"A\"}"] {
        agrees(record);
        assert!(members(record).is_none());
    }
}

#[test]
fn nesting_is_bounded_where_serde_json_bounds_it() {
    let nested = |depth: usize, open: &str, close: &str| format!(r#"{{"type":"A","deep":{}{}}}"#, open.repeat(depth), close.repeat(depth));
    for depth in [1, 125, 126, 127, 128, 129, 5_000] {
        agrees(nested(depth, "[", "]").as_bytes());
        agrees(nested(depth, r#"{"a":["#, "]}").replace("[]", "[1]").as_bytes());
    }
    assert!(members(nested(126, "[", "]").as_bytes()).is_some());
    assert!(members(nested(127, "[", "]").as_bytes()).is_none());
    assert!(members(nested(1_000_000, "[", "]").as_bytes()).is_none());
}

#[test]
fn the_size_of_numbers_is_left_to_the_decoder() {
    assert!(members(br#"{"price":1e999,"type":"A"}"#).is_some());
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["type", "subject", "orderId", "data", "items"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4).prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// A record as text: members in any order and possibly doubled, blanks and escapes where JSON allows them.
fn record() -> impl Strategy<Value = String> {
    let blank = || prop::sample::select(vec!["", "", "", " ", "\n\t", "\r\n  "]);
    let member = (name(), value(), any::<bool>(), blank(), blank());
    (prop::collection::vec(member, 0..6), blank(), blank()).prop_map(|(members, before, after)| {
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value, escape, left, right)| {
                let name = if escape {
                    name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
                } else {
                    let quoted = Value::from(name).to_string();
                    quoted[1..quoted.len() - 1].to_owned()
                };
                format!("{left}\"{name}\"{right}:{left}{value}{right}")
            })
            .collect();
        format!("{before}{{{}}}{after}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_records_as_serde_json_does(record in record()) {
        prop_assert_eq!(scanned(record.as_bytes()), reference(record.as_bytes()));
    }

    #[test]
    fn reads_damaged_records_as_serde_json_does(record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut bytes = record.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            _ => bytes.insert(at, byte),
        }
        prop_assert_eq!(scanned(&bytes), reference(&bytes));
    }

    #[test]
    fn reads_json_like_noise_as_serde_json_does(noise in r#"[{}\[\]",:\\utypen0-9.eE+\- ]{0,24}"#) {
        let record = format!("{{\"type\":\"A\",{noise}");
        prop_assert_eq!(scanned(record.as_bytes()), reference(record.as_bytes()));
        prop_assert_eq!(scanned(noise.as_bytes()), reference(noise.as_bytes()));
    }

    #[test]
    fn never_fails_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(scanned(&bytes), reference(&bytes));
    }
}
