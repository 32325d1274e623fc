//! Files in, amendments out: through the whole input, with the outbox beside it.

use std::{fs, path::Path, time::Duration};

use handfast_proto::amendment::Op;
use tokio::time::timeout;

use super::support::*;
use crate::status::ConnectorState;

#[tokio::test]
async fn lines_are_taken_and_the_file_is_done() {
    let stand = Stand::started().await;
    // The entry before its Patient, a byte order mark, an empty line, a carriage return, no end of line.
    let text = format!(
        "\u{feff}{}\r\n\n{PATIENT}\n{}",
        condition("a", "1"),
        condition("b", "2")
    );
    stand.drop_in("x.ndjson", text);
    stand.arrives("done/x.ndjson").await;
    let records: Vec<_> = stand
        .amendments()
        .await
        .iter()
        .map(|a| a.record.to_string())
        .collect();
    assert_eq!(records, ["Patient/p", "Condition/a", "Condition/b"]);
    // Counted right after the file is in its place.
    let counted = async {
        while !stand.board.snapshot().inputs["in"]
            .counts
            .contains_key("files_done")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), counted).await.unwrap();
}

#[tokio::test]
async fn good_lines_are_taken_and_bad_ones_named_without_their_content() {
    let stand = Stand::started().await;
    let mut text = format!("{PATIENT}\n{}\n", condition("a", "1")).into_bytes();
    text.extend_from_slice(b"{\"secret\": nonsense}\n\xff\xfe{}\n");
    text.extend_from_slice(
        PATIENT
            .replace("9990000018", "9990000019")
            .replace("\"p\"", "\"q\"")
            .as_bytes(),
    );
    text.extend_from_slice(b"\n{\"resourceType\":\"Organization\",\"id\":\"o\"}\n");
    text.extend_from_slice(format!("{}\n{}", condition("b", "2"), &condition("c", "3")[..40]).as_bytes());
    stand.drop_in("x.ndjson", text);
    stand.arrives("rejected/x.ndjson").await;
    let reason = stand.read("rejected/x.ndjson.reason");
    let lines: Vec<&str> = reason.lines().collect();
    assert_eq!(lines.len(), 5, "{reason}");
    assert!(
        lines[0].starts_with("line 3: the JSON is not well-formed at byte 11"),
        "{reason}"
    );
    assert!(lines[1].starts_with("line 4: it is not UTF-8"));
    assert!(lines[2].starts_with("line 5: invalid NHS number"));
    assert!(lines[3].starts_with("line 6: no patient"));
    assert!(lines[4].starts_with("line 8: the JSON ends too early"));
    assert!(!reason.contains("secret") && !reason.contains("nonsense") && !reason.contains("99900"));
    assert_eq!(stand.amendments().await.len(), 3);
    let counted = async {
        while stand.outbox.summary().await.unwrap().rejected != 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), counted).await.unwrap();
}

#[tokio::test]
async fn ten_thousand_bad_lines_are_counted_and_the_good_ones_taken() {
    let stand = Stand::started().await;
    let bad = "{\"resourceType\":\n".repeat(10_000);
    stand.drop_in(
        "x.ndjson",
        format!("{PATIENT}\n{bad}{}\n", condition("last", "1")),
    );
    stand.arrives("rejected/x.ndjson").await;
    let reason = stand.read("rejected/x.ndjson.reason");
    assert_eq!(reason.lines().count(), 1001);
    assert!(reason.ends_with("and 9000 more\n"));
    assert_eq!(stand.amendments().await.len(), 2);
}

#[tokio::test]
async fn five_mebibytes_are_taken_and_fifty_refused_with_size_and_bound() {
    let stand = Stand::started().await;
    let large = condition("five", &"x".repeat(5 << 20));
    let too_large = condition("fifty", &"x".repeat(50 << 20));
    stand.drop_in(
        "a.ndjson",
        format!("{PATIENT}\n{large}\n{too_large}\n{}\n", condition("after", "1")),
    );
    stand.arrives("rejected/a.ndjson").await;
    let expected = format!(
        "line 3: it has {} bytes and the bound is 16777216",
        too_large.len()
    );
    assert!(stand.read("rejected/a.ndjson.reason").starts_with(&expected));
    stand.drop_in("b.json", &too_large);
    stand.arrives("rejected/b.json").await;
    assert!(
        stand
            .read("rejected/b.json.reason")
            .contains("the bound is 16777216")
    );
    let amendments = stand.amendments().await;
    let taken: Vec<_> = amendments
        .iter()
        .map(|a| (a.record.to_string(), a.payload.len()))
        .collect();
    assert_eq!(taken[1], ("Condition/five".to_owned(), large.len()));
    assert_eq!(taken[2].0, "Condition/after");
}

#[tokio::test]
async fn files_go_in_the_order_of_their_names() {
    let mut stand = Stand::new().await;
    stand.drop_in("2.ndjson", condition("a", "second"));
    stand.drop_in("10.ndjson", condition("a", "first"));
    stand.drop_in("0.json", PATIENT);
    stand.drop_in("3.ndjson", condition("a", "third"));
    stand.start();
    stand.arrives("done/3.ndjson").await;
    let texts: Vec<_> = stand
        .amendments()
        .await
        .iter()
        .skip(1)
        .map(|a| {
            String::from_utf8_lossy(&a.payload)
                .split('"')
                .rev()
                .nth(1)
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(texts, ["first", "second", "third"]);
}

#[tokio::test]
async fn bundles_are_taken_apart_and_delete_entries_retract() {
    let stand = Stand::started().await;
    let collection = format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{}}},{{"resource":{PATIENT}}}]}}"#,
        condition("a", "1")
    );
    stand.drop_in("1.json", collection);
    let transaction = |extra: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"transaction","entry":[
            {{"request":{{"method":"DELETE","url":"Condition/a"}}}},
            {{"resource":{},"request":{{"method":"PUT","url":"Condition/b"}}}}{extra}]}}"#,
            condition("b", "1")
        )
    };
    stand.arrives("done/1.json").await;
    stand.drop_in(
        "2.json",
        transaction(r#",{"resource":{"resourceType":"Organization","id":"o"}}"#),
    );
    stand.arrives("rejected/2.json").await;
    assert_eq!(
        stand.amendments().await.len(),
        2,
        "of a transaction with a fault nothing is taken"
    );
    assert!(
        stand
            .read("rejected/2.json.reason")
            .starts_with("entry 3: no patient")
    );
    stand.drop_in("3.json", transaction(""));
    stand.arrives("done/3.json").await;
    let ops: Vec<_> = stand
        .amendments()
        .await
        .iter()
        .skip(2)
        .map(|a| (a.op, a.record.to_string()))
        .collect();
    assert_eq!(
        ops,
        [
            (Op::Retract, "Condition/a".into()),
            (Op::Create, "Condition/b".into())
        ]
    );
}

#[tokio::test]
async fn a_document_at_fault_names_the_line() {
    let stand = Stand::started().await;
    stand.drop_in("1.json", "\n{\n\"resourceType\": \"Condition\",\n\"id\": oops }");
    stand.arrives("rejected/1.json").await;
    assert!(
        stand
            .read("rejected/1.json.reason")
            .starts_with("line 4: the JSON is not well-formed")
    );
    stand.drop_in("2.json", "{\n\"resourceType\": \"Condition\",\n");
    stand.arrives("rejected/2.json").await;
    assert!(
        stand
            .read("rejected/2.json.reason")
            .starts_with("line 2: the JSON ends too early")
    );
}

#[tokio::test]
async fn what_is_older_is_named_beside_the_file() {
    let stand = Stand::started().await;
    let at = |day: u8, text: &str| {
        condition("a", text).replacen(
            '{',
            &format!(r#"{{"meta":{{"lastUpdated":"2026-01-{day:02}T00:00:00Z"}},"#),
            1,
        )
    };
    stand.drop_in("1.ndjson", format!("{PATIENT}\n{}\n", at(5, "new")));
    stand.drop_in("2.ndjson", at(4, "old"));
    stand.arrives("done/2.ndjson").await;
    assert_eq!(stand.read("done/2.ndjson.older"), "Condition/a\n");
    assert_eq!(stand.amendments().await.len(), 2);
}

#[tokio::test]
async fn a_file_cut_off_by_a_kill_goes_on_where_it_was() {
    let mut stand = Stand::new().await;
    // Without lastUpdated only the place in the file tells which version is the newer.
    let mut text = format!("{PATIENT}\n");
    for version in 0..40 {
        for record in 0..100 {
            text += &condition(&format!("c{record}"), &format!("v{version}"));
            text.push('\n');
        }
        text += "{}\n";
    }
    stand.drop_in("x.ndjson", &text);
    let mut kills = 0;
    while !stand.folder().join("rejected/x.ndjson").exists() {
        stand.start();
        tokio::time::sleep(Duration::from_millis(40 + 15 * kills)).await;
        stand.kill().await;
        kills += 1;
        assert!(kills < 500);
    }
    let amendments = stand.amendments().await;
    assert_eq!(
        amendments.len(),
        1 + 40 * 100,
        "each version once, after {kills} kills"
    );
    assert_eq!(stand.read("rejected/x.ndjson.reason").lines().count(), 40);
}

#[tokio::test]
async fn links_and_unreadable_things_are_not_followed() {
    let mut stand = Stand::new().await;
    let outside = stand.dir.path().join("outside.json");
    fs::write(&outside, PATIENT).unwrap();
    fs::create_dir_all(stand.folder()).unwrap();
    std::os::unix::fs::symlink(&outside, stand.folder().join("link.json")).unwrap();
    fs::write(stand.folder().join("half.ndjson.part"), PATIENT).unwrap();
    fs::write(stand.folder().join(".hidden.json"), PATIENT).unwrap();
    stand.start();
    stand.arrives("rejected/link.json").await;
    assert!(stand.amendments().await.is_empty());
    assert!(outside.exists() && stand.folder().join("half.ndjson.part").exists());
    assert!(stand.folder().join(".hidden.json").exists());
}

#[tokio::test]
async fn a_folder_that_is_gone_is_waited_for() {
    let stand = Stand::started().await;
    stand.drop_in("a.json", PATIENT);
    stand.arrives("done/a.json").await;
    fs::rename(stand.folder(), stand.dir.path().join("away")).unwrap();
    let paused = async {
        while stand.board.snapshot().inputs["in"].state == ConnectorState::Running {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), paused).await.unwrap();
    fs::rename(stand.dir.path().join("away"), stand.folder()).unwrap();
    stand.drop_in("b.ndjson", condition("a", "1"));
    stand.arrives("done/b.ndjson").await;
    let running = async {
        while stand.board.snapshot().inputs["in"].state != ConnectorState::Running {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), running).await.unwrap();
    assert_eq!(stand.amendments().await.len(), 2);
}

#[tokio::test]
async fn a_file_is_not_taken_while_it_is_written() {
    let stand = Stand::started().await;
    fs::create_dir_all(stand.folder()).unwrap();
    let path = stand.folder().join("slow.ndjson");
    let writer = async {
        use std::io::Write as _;
        let mut file = fs::File::create(&path).unwrap();
        for piece in PATIENT.as_bytes().chunks(20) {
            file.write_all(piece).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    writer.await;
    assert!(stand.arrives("done/slow.ndjson").await.exists());
    assert!(!Path::new(&stand.folder().join("rejected/slow.ndjson")).exists());
}

#[tokio::test]
async fn a_consent_is_said_and_how_it_is_read_stands_beside_its_file() {
    let stand = Stand::started().await;
    let consent = |id: &str, provision: &str| {
        format!(
            r#"{{"resourceType":"Consent","id":"{id}","status":"active","scope":{{"coding":[{{"code":"patient-privacy"}}]}},"patient":{{"reference":"Patient/p"}},"dateTime":"2025-01-01T00:00:00Z","provision":{provision}}}"#
        )
    };
    let narrow = consent("b", r#"{"type":"permit","period":{"end":"2030-01-01"}}"#);
    let lines = [PATIENT.to_owned(), consent("a", r#"{"type":"deny"}"#), narrow];
    stand.drop_in("c.ndjson", lines.join("\n"));
    stand.arrives("done/c.ndjson").await;
    let notes = stand.read("done/c.ndjson.notes");
    assert!(
        notes.starts_with("line 3: it permits only in part") && notes.lines().count() == 1,
        "{notes}"
    );
    let ops: Vec<_> = stand.amendments().await.iter().map(|a| a.op).collect();
    assert_eq!(ops, [Op::Create, Op::Statement]);
    assert_eq!(stand.board.snapshot().inputs["in"].counts["taken"], 3);
}

#[tokio::test]
async fn a_file_copied_from_an_output_folder_is_no_record_of_this_unit() {
    use crate::store::inbox::testing::*;
    let stand = Stand::started().await;
    let theirs = condition("z00101-7", "a");
    let lines = [(1, Op::Create, "Condition/z00101-7", theirs.as_str())];
    let contents = vec![
        welcome(true, &[("Z00101", 1)]),
        begins("Z00101", 1, 5),
        in_job("Z00101", 1, 5, &lines),
    ];
    stand.inbox.apply(&group(7, 1, contents)).await.unwrap();
    stand.drop_in("z00101-7.json", &theirs);
    stand.arrives("done/z00101-7.json").await;
    let changed = theirs.replace("\"code\"", "\"clinicalStatus\":{\"text\":\"gone\"},\"code\"");
    stand.drop_in("changed.json", &changed);
    stand.arrives("rejected/changed.json").await;
    let why = stand.read("rejected/changed.json.reason");
    assert!(
        why.contains("line 1: it is a changed copy of a record of Z00101"),
        "{why}"
    );
    assert!(stand.amendments().await.is_empty());
    let counts = &stand.board.snapshot().inputs["in"].counts;
    assert_eq!((counts["echoes"], counts["rejected"]), (1, 1));
    assert_eq!(stand.outbox.summary().await.unwrap().echoes, 1);
}
