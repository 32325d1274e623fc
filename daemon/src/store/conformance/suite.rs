//! The list of promises, and the macro that makes a test of each for a backend.

/// Makes a module of tests for a type that implements `Backend`.
macro_rules! conformance_suite {
    ($backend:ty) => {
        $crate::store::conformance::suite::conformance_suite! { $backend:
            access_grants::{
                an_access_ends_with_its_grant, a_grant_holds_as_long_as_the_longest_access_that_it_carries,
                an_access_of_which_the_time_is_over_holds_no_grant, a_grant_that_is_over_carries_no_further_access,
                open_is_what_holds_or_is_not_reviewed, grants_that_were_not_noted_are_found,
            }
            accesses::{
                a_privacy_officer_is_there_once_enrolled, an_access_is_kept_with_an_alert_a_source,
                what_cannot_be_an_access_is_refused, accesses_are_found_by_whom_they_concern,
            }
            alerts::{
                alerts_are_found_by_whom_they_concern, the_first_review_closes_and_further_ones_are_added,
                nobody_reviews_what_they_did, what_nobody_reviews_is_escalated_once,
                each_target_is_owed_each_alert_until_it_was_told, what_was_told_is_owed_again_when_it_changes,
                targets_come_and_go,
            }
            agreements::{
                one_half_alone_starts_nothing, both_halves_start_a_grant, a_grant_starts_at_the_head,
                either_half_off_ends_the_grant, numbers_are_never_used_twice,
                the_same_again_changes_only_by_whom, agreements_are_listed_by_pair,
                halves_need_units_that_take_part, agreements_are_durable,
            }
            append::{
                a_group_is_kept_whole, a_group_is_durable, an_empty_group_changes_nothing,
                what_does_not_follow_the_head_is_a_conflict, the_first_batch_may_name_any_chain,
                one_bad_batch_keeps_nothing_of_its_group, a_group_takes_many_sources,
                a_group_takes_hundreds_of_batches, another_outbox_goes_on_from_the_head,
                large_bodies_are_kept, numbers_that_cannot_be_are_refused,
            }
            audit::{
                entries_are_kept_in_order, entries_go_with_their_effect_or_not_at_all,
                a_patients_entries_are_found, personal_values_are_erased_and_leaves_stay,
                heads_and_subtrees_are_kept, entries_are_found_by_unit_kind_and_time,
                entries_are_found_by_seq, a_patients_seqs_are_found, a_full_store_enters_nothing,
            }
            told::{
                what_was_told_is_found_by_whom_and_what_was_withheld_is_not,
            }
            caseloads::{
                patients_are_put_on_caseloads_and_taken_off, claimed_patients_are_read_in_pages, a_caseload_needs_its_unit,
                the_policy_is_changed_with_what_follows,
            }
            current::{
                a_patients_records_are_found, who_has_records_is_known, what_changes_among_what_stays_is_kept, recorded_patients_are_read_in_pages,
                records_are_counted_by_what_the_gate_reads, counts_never_part_a_patient,
            }
            emergencies::{
                an_access_is_a_grant_of_its_own, an_access_that_is_over_is_withdrawn,
                an_access_that_is_over_leaves_what_the_agreement_carries, an_access_outlives_the_recipients_half,
                both_grants_end_with_the_sources_half, a_unit_that_retires_loses_its_accesses,
                an_access_carries_every_number_of_its_patient,
                accesses_to_several_sources_are_opened_together_or_not_at_all,
                a_suspension_that_withdraws_ends_grants_until_it_is_over,
            }
            erasures::{
                a_patients_payloads_are_erased, how_far_payloads_were_erased_is_said, erasing_does_not_wait_for_the_projection,
                what_is_erased_is_not_current, a_records_payloads_are_erased,
                what_is_private_is_not_asked_for_again, a_record_goes_to_and_fro_between_patients,
                many_payloads_are_erased, what_is_not_projected_yet_goes_by_its_own_patient_alone,
            }
            faults::{
                a_full_store_keeps_nothing_and_recovers, a_write_that_is_dropped_is_kept_whole_or_not_at_all,
                writers_and_readers_do_not_wait_for_one_another, the_deployment_is_kept,
            }
            log::{
                reading_begins_with_the_batch_that_holds_the_next, reading_stops_at_its_bound,
                reading_is_per_source,
            }
            moves::{
                a_cursor_goes_forward_only, a_cursor_of_another_grant_stays, a_catch_up_goes_forward_only,
                a_complete_catch_up_is_over, a_reach_goes_forward_only, a_receipt_goes_forward_only, many_moves_go_in_one_group,
            }
            people::{
                people_are_added_and_listed, a_role_is_changed, a_revoked_person_stays_so,
                people_that_are_not_there_are_missing,
            }
            projection::{
                it_begins_at_nothing, the_last_version_counts, retractions_are_not_current,
                ranges_and_limits_are_kept, it_catches_up_from_behind, it_never_goes_back,
                many_records_are_projected, sources_do_not_mix,
            }
            reconciles::{
                jobs_are_entered_in_their_order, a_patients_job_takes_the_place_of_an_older,
                a_reconcile_goes_its_way, what_ends_with_its_grant_is_dropped,
                a_new_inbox_is_owed_everything_once, jobs_go_in_with_every_change,
            }
            scopes::{
                a_half_is_narrowed_and_stays_so, an_end_has_a_day_and_a_moment,
                a_scope_changes_under_a_grant_that_stays, a_half_that_has_ended_counts_as_off,
                what_has_run_out_is_ended,
            }
            statements::{
                what_is_stated_is_applied_with_its_batch, what_is_stated_is_not_kept_without_its_batch,
            }
            subscriptions::{
                the_first_inbox_is_new, an_inbox_resumes, an_older_inbox_is_refused,
                an_inbox_that_never_took_part_is_taken, another_inbox_starts_anew,
                an_inbox_of_the_past_is_refused, a_session_that_never_was_is_refused,
                a_late_receipt_of_the_last_inbox_is_nothing, jobs_can_be_asked_for,
                sessions_are_durable,
            }
            tokens::{
                a_token_is_used_once, a_token_used_twice_at_once_holds_once, a_token_expires,
                a_newer_token_voids_the_older, expired_tokens_are_forgotten_with_the_next,
                token_and_certificate_go_together, those_who_left_enrol_no_more, certificates_are_renewed,
            }
            units::{
                units_are_registered_and_listed, a_unit_is_there_once, a_unit_is_suspended_and_resumed,
                a_retired_unit_stays_so, retiring_turns_off_its_own_halves, an_agent_enrols,
                a_unit_has_an_administrator_while_one_may_come,
            }
            withdrawals::{
                a_withdrawal_goes_its_way, a_confirmation_may_come_first_and_again,
                only_its_recipient_confirms, what_a_former_inbox_received_is_sent_again, dead_letters_are_counted, dead_letters_need_units,
            }
            words::{
                the_later_word_stands, words_are_of_one_unit_patient_and_side, every_word_is_kept,
                words_need_their_units, a_word_is_followed_by_its_jobs, words_are_read_in_pages,
                standing_words_are_read_in_pages,
            }
        }
    };
    ($backend:ty: $($module:ident::{$($promise:ident),+ $(,)?})+) => {
        $($(
            #[tokio::test]
            async fn $promise() {
                $crate::store::conformance::$module::$promise::<$backend>().await;
            }
        )+)+
    };
}

pub(crate) use conformance_suite;
