//! What is known of the last messages that a change ended (S1), in words and for programs.

use handfast_proto::v1::{PairReceipt, RevocationReceipt};
use serde_json::{Value, json};

use super::show::number_json;

/// A receipt in words; `grant` is the one in force now.
pub(super) fn receipt_lines(to: &str, receipt: &RevocationReceipt, grant: u64) -> Vec<String> {
    let ended = receipt.ended_grant;
    let mut lines = vec![if ended == grant {
        format!("Grant {ended} goes on for the rest.")
    } else {
        format!("Grant {ended} has ended.")
    }];
    lines.push(match receipt.received_through {
        0 => format!("{to} had confirmed nothing of it."),
        seq => format!("{to} received everything that was handed over up to seq {seq}."),
    });
    lines.push(
        match (receipt.may_have_received_from, receipt.may_have_received_to) {
            (0, 0) => "Nothing else was on its way.".to_owned(),
            (from, upto) if from == upto => {
                format!("It may have received seq {from}: handed over and not confirmed.")
            }
            (from, upto) => {
                format!("It may have received seq {from} to {upto}: handed over and not confirmed.")
            }
        },
    );
    if receipt.connection_cut {
        lines.push(format!(
            "{to} did not answer in time: its connection was cut, and nothing was written to it since."
        ));
    }
    lines
}

/// What is known of the last messages of each pair, a line each.
pub(super) fn pair_lines(receipts: &[PairReceipt]) -> Vec<String> {
    let line = |of: &PairReceipt| {
        let receipt = of.receipt.unwrap_or_default();
        let lines = receipt_lines(&of.recipient, &receipt, receipt.ended_grant);
        format!(
            "{} → {}: {}",
            of.source,
            of.recipient,
            lines.get(1..).unwrap_or_default().join(" ")
        )
    };
    receipts.iter().map(line).collect()
}

/// For a program.
pub(super) fn pairs_json(receipts: &[PairReceipt]) -> Value {
    let each = receipts.iter().map(|of| {
        json!({
            "source": of.source,
            "recipient": of.recipient,
            "receipt": of.receipt.as_ref().map(receipt_json),
        })
    });
    each.collect()
}

/// For a program.
pub(super) fn receipt_json(receipt: &RevocationReceipt) -> Value {
    json!({
        "ended_grant": receipt.ended_grant,
        "received_through": receipt.received_through,
        "may_have_received_from": number_json(receipt.may_have_received_from),
        "may_have_received_to": number_json(receipt.may_have_received_to),
        "connection_cut": receipt.connection_cut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_pair_is_a_line() {
        let receipt = RevocationReceipt {
            ended_grant: 13,
            received_through: 40,
            ..RevocationReceipt::default()
        };
        let pair = PairReceipt {
            source: "Z00101".to_owned(),
            recipient: "Z00303".to_owned(),
            receipt: Some(receipt),
        };
        let line = "Z00101 → Z00303: Z00303 received everything that was handed over up to seq 40. \
                    Nothing else was on its way.";
        assert_eq!(pair_lines(&[pair]), [line]);
    }
}
