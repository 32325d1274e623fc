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
            lines.extend(self.what_follows());
        } else {
            lines.push(format!("{} is off, in force.", self.name()));
        }
        match &self.answer.receipt {
            Some(receipt) => lines.extend(receipt_lines(&self.recipient.to_string(), receipt, self.grant())),
            None if self.on => {}
            None => {
                lines.push(
                    "No grant of the agreement was in force: nothing was being forwarded by it.".to_owned(),
                );
            }
        }
        lines.extend(self.withdrawal().map(|w| self.withdrawal_line(w)));
        if !self.on && self.side == Side::ShareOut {
            let to = self.recipient;
            lines.push(format!(
                "What emergency accesses at {to} opened of it, if there were any, ends and is removed as well."
            ));
        }
        let notices = self.answer.agreement.iter().flat_map(|a| &a.notices);
        lines.extend(notices.map(|n| format!("note: {}.", scope::notice(n))));
        lines.join("\n")
    }

    fn grant(&self) -> u64 {
        self.answer.agreement.as_ref().map_or(0, |a| a.grant)
    }

    /// What a half that is on sends, and what it removes.
    fn what_follows(&self) -> Vec<String> {
        let recipient = self.recipient.to_string();
        let previewed = self.preview.iter();
        let sends = previewed.clone().filter_map(|p| preview::sends(&recipient, p));
        let removes = previewed.filter_map(|p| preview::removes(&recipient, p));
        let mut lines: Vec<String> = sends.chain(removes).collect();
        if self.preview.is_none() && self.grant() != 0 {
            lines.push(preview::not_counted_in_time());
        }
        if self.is_narrowed() && !self.counts_removals() {
            lines.push(preview::removal(&format!("What {recipient} holds outside it")));
        }
        lines
    }

    /// Whether what it ends was counted before it was set.
    fn counts_removals(&self) -> bool {
        let ends = self.preview.as_ref().and_then(|p| p.ends.as_ref());
        ends.is_some_and(|counts| counts.records > 0)
    }

    /// Whether the daemon says that the grant goes on for less.
    fn is_narrowed(&self) -> bool {
        let ended = self.answer.receipt.as_ref().map(|receipt| receipt.ended_grant);
        self.on && ended == Some(self.grant())
    }

    fn text_on(&self) -> String {
        let grant = self.grant();
        let begins = self.preview.as_ref().and_then(|p| p.begins.as_ref());
        let sends = begins.is_some_and(|counts| counts.records > 0);
        if grant != 0 && !sends && (self.counts_removals() || self.is_narrowed()) {
            return format!(
                "{} is on. Both halves are on: grant {grant} goes on for less than before.",
                self.name()
            );
        }
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
mod tests;
