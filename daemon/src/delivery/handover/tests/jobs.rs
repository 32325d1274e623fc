//! What jobs let through of a batch, and leave out.

use super::*;

#[test]
fn a_job_that_sweeps_sends_what_goes_now_and_nothing_else() {
    let mut retraction = amendment(3, 0);
    retraction.op = Op::Retract;
    let mixed = batch(&[amendment(1, 10), of_another(2), retraction, private(4)]);
    let no = subject(&of_another(2)).patient;
    let book = book(both()).with_facts(pair().source, [no], |f| {
        f.with_word(Side::ShareOut, PatientWord::No)
    });
    assert_eq!(ops(out(&book, &mixed, For::Sweep)), [(Op::Create, 1)]);
    let carrier = book.carrier(pair(), GrantId(1)).unwrap();
    let gate = Gate::new(&book, pair(), GrantId(1), &carrier, 0);
    let counters = PairCounters::default();
    let (_, told) = gate.pass(&mixed, Mask::beyond(&mixed, 0), For::Sweep, &counters);
    let withheld = [(Reason::PatientDissentOut, 2), (Reason::PrivateEntry, 4)];
    assert_eq!(told.withheld, withheld, "it is told, and not counted");
    assert_eq!(counters.read().2, []);
    for (seq, payload, looked) in [
        (1, true, Looked::Wanted),
        (1, false, Looked::Passed),
        (2, true, Looked::LeftOut(Reason::PatientDissentOut)),
        (2, false, Looked::LeftOut(Reason::PatientDissentOut)),
        (4, true, Looked::LeftOut(Reason::PrivateEntry)),
    ] {
        let subject = mixed.entry(seq - 1).subject.unwrap();
        assert_eq!(gate.look(&subject, payload, For::Sweep), looked, "{seq}");
    }
    // What it was withheld for stands since it was looked at first.
    let same = Terms::of(&both(), Policy::UnlessDissented);
    let of_dissent = mixed.entry(1).subject.unwrap();
    assert_eq!(gate.look(&of_dissent, true, For::Changes(same)), Looked::Passed);
}

#[test]
fn a_job_over_changes_sends_what_began_and_removes_what_ended() {
    let mut allergy = amendment(2, 10);
    allergy.subject = allergy.subject.map(|s| Subject {
        category: Category::Allergies,
        ..s
    });
    let batch = batch(&[amendment(1, 10), allergy, private(3)]);
    let only = |category| Scope {
        categories: CategorySet::NONE.with(category),
        ..Scope::EVERYTHING
    };
    let narrowed = |category| PairTerms {
        share_out: HalfTerms {
            scope: only(category),
            ..HalfTerms::ON
        },
        ..both()
    };
    let mut before = Terms::of(&narrowed(Category::Allergies), Policy::UnlessDissented);
    // That it would have ended by now is of no account.
    before.share_out.ends_at = Some(0);
    let book = book(narrowed(Category::Observations));
    let changed = ops(out(&book, &batch, For::Changes(before)));
    assert_eq!(changed, [(Op::Create, 1), (Op::Remove, 2)]);
    let same = Terms::of(&narrowed(Category::Observations), Policy::UnlessDissented);
    assert_eq!(ops(out(&book, &batch, For::Changes(same))), []);
    // What the recipient's half ends stays where an emergency access carries it.
    let emergency = Emergency {
        pair: pair(),
        patient: subject(&amendment(1, 0)).patient,
        window: EmergencyWindow { from: 0, until: 10 },
    };
    let nothing = narrowed(Category::Problems);
    let all = Terms::of(&both(), Policy::UnlessDissented);
    let nothing = PairTerms {
        share_in: nothing.share_out,
        ..both()
    };
    let before = book.with_pair(pair(), nothing);
    assert_eq!(
        ops(out(&before, &batch, For::Changes(all))),
        [(Op::Remove, 1), (Op::Remove, 2)]
    );
    let opened = before.with_emergency(ACCESS, emergency);
    assert_eq!(ops(out(&opened, &batch, For::Changes(all))), []);
}
