//! What came of turning a half, in words: whether it is in force, the receipt of what the recipient may
//! have, and the withdrawal that follows (S1, W1).

use handfast_proto::{
    ids::OdsCode,
    v1::{InForce, PreviewAgreementResponse, SetAgreementResponse, Side, Withdrawal, WithdrawalState},
};
use serde_json::{Value, json};

use super::{
    preview,
    receipts::{receipt_json, receipt_lines},
    scope,
    show::{agreement_json, moment, withdrawal_json},
    terms,
};

/// A half that was turned.
pub(super) struct Turned {
    pub(super) source: OdsCode,
    pub(super) recipient: OdsCode,
    pub(super) side: Side,
    pub(super) on: bool,
    pub(super) answer: SetAgreementResponse,
    /// What it sends, as it was told before it was turned on.
    pub(super) preview: Option<PreviewAgreementResponse>,
}

impl Turned {
    /// `share-out of Z00101 → Z00303`.
    pub(super) fn name(&self) -> String {
        format!(
            "{} of {} → {}",
            terms::side(self.side),
            self.source,
            self.recipient
        )
    }

    pub(super) fn in_force(&self) -> bool {
        self.answer.in_force() == InForce::Yes
    }

    /// The withdrawal that follows: the receipt's, or else the newest of the pair.
    pub(super) fn withdrawal(&self) -> Option<&Withdrawal> {
        if self.on {
            return None;
        }
        let of_receipt = self.answer.receipt.as_ref().and_then(|r| r.withdrawal.as_ref());
        of_receipt.or_else(|| self.answer.agreement.as_ref().and_then(|a| a.withdrawal.as_ref()))
    }

    /// The withdrawal has got further.
    pub(super) fn withdrawal_is(&mut self, now: Withdrawal) {
        if let Some(receipt) = &mut self.answer.receipt {
            receipt.withdrawal = Some(now);
        }
        if let Some(agreement) = &mut self.answer.agreement {
            agreement.withdrawal = Some(now);
        }
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        if !self.in_force() {
            let turned = if self.on {
                "on, for less than before,"
            } else {
                "off"
            };
            lines.push(format!(
                "PENDING: {} is {turned} and that is committed, but it could not be established in time that \
                 nothing of what it ended is on its way any more. Run the same command again.",
                self.name()
            ));
        } else if self.on {
            lines.push(self.text_on());
            let recipient = self.recipient.to_string();
            lines.extend(self.preview.as_ref().and_then(|p| preview::sends(&recipient, p)));
        } else {
            lines.push(format!("{} is off, in force.", self.name()));
        }
        match &self.answer.receipt {
            Some(receipt) => lines.extend(receipt_lines(&self.recipient.to_string(), receipt, self.grant())),
            None if self.on => {}
            None => lines.push("No grant was in force: nothing was being forwarded.".to_owned()),
        }
        lines.extend(self.withdrawal().map(|w| self.withdrawal_line(w)));
        let notices = self.answer.agreement.iter().flat_map(|a| &a.notices);
        lines.extend(notices.map(|n| format!("note: {}.", scope::notice(n))));
        lines.join("\n")
    }

    fn grant(&self) -> u64 {
        self.answer.agreement.as_ref().map_or(0, |a| a.grant)
    }

    fn text_on(&self) -> String {
        let grant = self.grant();
        if grant != 0 {
            return format!(
                "{} is on. Both halves are on: grant {grant} is in force, and what {} may see is on its way.",
                self.name(),
                self.recipient
            );
        }
        let (other, owner) = match self.side {
            Side::ShareIn => ("share-out", self.source),
            _ => ("share-in", self.recipient),
        };
        format!(
            "{} is on. Nothing is forwarded until {other} is on too, which an administrator of {owner} turns.",
            self.name()
        )
    }

    fn withdrawal_line(&self, w: &Withdrawal) -> String {
        let to = self.recipient;
        let mut line = match w.state() {
            WithdrawalState::Confirmed => format!(
                "Withdrawal confirmed: {to} removed {} of {}'s records ({}).",
                w.removed,
                self.source,
                moment(w.confirmed_at)
            ),
            WithdrawalState::Received => format!(
                "Withdrawal received: {to} is removing what it holds of {}. See 'agreement list'.",
                self.source
            ),
            WithdrawalState::Pending | WithdrawalState::Unspecified => format!(
                "Withdrawal pending: {to} has not been told yet; it will be as soon as its agent is \
                 connected. See 'agreement list'."
            ),
        };
        if w.not_removed > 0 {
            line.push_str(&format!(
                "\n{} records could not be removed by an output there: ask {to} to look at its dead letters.",
                w.not_removed
            ));
        }
        line
    }

    /// For a program.
    pub(super) fn json(&self) -> Value {
        json!({
            "source": self.source.to_string(),
            "recipient": self.recipient.to_string(),
            "side": terms::side(self.side),
            "on": self.on,
            "in_force": if self.in_force() { "yes" } else { "pending" },
            "agreement": self.answer.agreement.as_ref().map(agreement_json),
            "receipt": self.answer.receipt.as_ref().map(receipt_json),
            "withdrawal": withdrawal_json(self.withdrawal()),
            "preview": self.preview.as_ref().map(preview::preview_json),
        })
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{Agreement, RevocationReceipt};

    use super::*;

    fn turned(side: Side, on: bool, answer: SetAgreementResponse) -> Turned {
        Turned {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00303".parse().unwrap(),
            side,
            on,
            answer,
            preview: None,
        }
    }

    fn withdrawal(state: WithdrawalState) -> Withdrawal {
        Withdrawal {
            job: 9,
            ended_grant: 12,
            state: state.into(),
            removed: 120,
            since: 1_795_392_000_000,
            confirmed_at: 1_795_392_001_000,
            ..Withdrawal::default()
        }
    }

    fn off(in_force: InForce, receipt: Option<RevocationReceipt>) -> Turned {
        let answer = SetAgreementResponse {
            in_force: in_force.into(),
            receipt,
            ..SetAgreementResponse::default()
        };
        turned(Side::ShareOut, false, answer)
    }

    #[test]
    fn a_receipt_in_words() {
        let receipt = RevocationReceipt {
            ended_grant: 12,
            received_through: 812,
            withdrawal: Some(withdrawal(WithdrawalState::Confirmed)),
            ..RevocationReceipt::default()
        };
        assert_eq!(
            off(InForce::Yes, Some(receipt)).text(),
            "share-out of Z00101 → Z00303 is off, in force.\n\
             Grant 12 has ended.\n\
             Z00303 received everything that was handed over up to seq 812.\n\
             Nothing else was on its way.\n\
             Withdrawal confirmed: Z00303 removed 120 of Z00101's records (2026-11-23 00:00:01 UTC)."
        );
    }

    #[test]
    fn a_cut_connection_and_what_may_have_been_received() {
        let mut pending = withdrawal(WithdrawalState::Pending);
        pending.not_removed = 2;
        let receipt = RevocationReceipt {
            ended_grant: 12,
            received_through: 0,
            may_have_received_from: 813,
            may_have_received_to: 820,
            connection_cut: true,
            withdrawal: Some(pending),
        };
        let text = off(InForce::Yes, Some(receipt)).text();
        for want in [
            "Z00303 had confirmed nothing of it.",
            "may have received seq 813 to 820",
            "its connection was cut",
            "Withdrawal pending: Z00303 has not been told yet",
            "2 records could not be removed",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
    }

    #[test]
    fn pending_never_looks_like_done() {
        let pending = off(InForce::Pending, None);
        assert!(!pending.in_force());
        assert!(
            pending
                .text()
                .starts_with("PENDING: share-out of Z00101 → Z00303")
        );
        assert!(!pending.text().contains("in force."));
        assert_eq!(pending.json()["in_force"], "pending");
        // An answer of a version that says something else is not in force either.
        assert!(!off(InForce::Unspecified, None).in_force());
    }

    #[test]
    fn turning_on_says_what_is_still_missing() {
        let half = |side, grant| {
            let answer = SetAgreementResponse {
                agreement: Some(Agreement {
                    grant,
                    ..Agreement::default()
                }),
                in_force: InForce::Yes.into(),
                receipt: None,
            };
            turned(side, true, answer).text()
        };
        assert!(
            half(Side::ShareOut, 0).contains("until share-in is on too, which an administrator of Z00303")
        );
        assert!(
            half(Side::ShareIn, 0).contains("until share-out is on too, which an administrator of Z00101")
        );
        assert!(half(Side::ShareIn, 13).contains("grant 13 is in force"));
    }

    #[test]
    fn a_half_that_was_narrowed_says_what_of_it_was_on_its_way() {
        let receipt = RevocationReceipt {
            ended_grant: 13,
            received_through: 40,
            ..RevocationReceipt::default()
        };
        let answer = |in_force: InForce| SetAgreementResponse {
            agreement: Some(Agreement {
                grant: 13,
                ..Agreement::default()
            }),
            in_force: in_force.into(),
            receipt: Some(receipt),
        };
        let text = turned(Side::ShareOut, true, answer(InForce::Yes)).text();
        assert!(
            text.contains("grant 13 is in force") && text.contains("Grant 13 goes on for the rest."),
            "{text}"
        );
        let pending = turned(Side::ShareOut, true, answer(InForce::Pending)).text();
        assert!(
            pending.starts_with("PENDING: share-out of Z00101 → Z00303 is on, for less"),
            "{pending}"
        );
        assert!(!pending.contains("is in force"), "{pending}");
    }

    #[test]
    fn json_has_the_receipt_and_the_withdrawal() {
        let receipt = RevocationReceipt {
            ended_grant: 12,
            received_through: 812,
            withdrawal: Some(withdrawal(WithdrawalState::Received)),
            ..RevocationReceipt::default()
        };
        let mut turned = off(InForce::Yes, Some(receipt));
        turned.withdrawal_is(withdrawal(WithdrawalState::Confirmed));
        let json = turned.json();
        assert_eq!(json["receipt"]["received_through"], 812);
        assert_eq!(json["receipt"]["may_have_received_from"], Value::Null);
        assert_eq!(json["withdrawal"]["state"], "confirmed");
        assert_eq!(json["side"], "share-out");
    }
}
