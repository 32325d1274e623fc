//! What kind of entry a resource type is (FHIR R4, "Resource index").

use handfast_proto::amendment::Category;

/// The category of a resource type; a type that is not listed is `Other`.
pub fn category(resource_type: &str) -> Category {
    match resource_type {
        "Patient" | "RelatedPerson" | "Person" => Category::Demographics,
        "Condition" | "ClinicalImpression" | "DetectedIssue" | "FamilyMemberHistory" => Category::Problems,
        "AllergyIntolerance" | "AdverseEvent" => Category::Allergies,
        "MedicationRequest"
        | "MedicationStatement"
        | "MedicationDispense"
        | "MedicationAdministration"
        | "MedicationOrder"
        | "Medication" => Category::Medications,
        "Immunization" | "ImmunizationEvaluation" | "ImmunizationRecommendation" => Category::Immunisations,
        "Observation" | "QuestionnaireResponse" | "RiskAssessment" | "Specimen" | "BodyStructure" => {
            Category::Observations
        }
        "DiagnosticReport" | "ImagingStudy" | "Media" | "MolecularSequence" => Category::Reports,
        "Procedure" | "DeviceUseStatement" => Category::Procedures,
        "Encounter" | "Appointment" | "AppointmentResponse" | "EpisodeOfCare" => Category::Encounters,
        "DocumentReference" | "DocumentManifest" | "Composition" | "Bundle" | "List" => Category::Documents,
        "CarePlan" | "Goal" | "CareTeam" | "NutritionOrder" => Category::CarePlans,
        "ServiceRequest" | "ReferralRequest" | "Task" | "DeviceRequest" | "VisionPrescription" => {
            Category::Referrals
        }
        "Account"
        | "ChargeItem"
        | "Claim"
        | "ClaimResponse"
        | "Coverage"
        | "ExplanationOfBenefit"
        | "Flag"
        | "Communication"
        | "CommunicationRequest"
        | "Consent" => Category::Administrative,
        _ => Category::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_category() {
        for (kind, expected) in [
            ("Patient", Category::Demographics),
            ("AllergyIntolerance", Category::Allergies),
            ("MedicationStatement", Category::Medications),
            ("EpisodeOfCare", Category::Encounters),
            ("CareTeam", Category::CarePlans),
            ("Composition", Category::Documents),
            ("Basic", Category::Other),
        ] {
            assert_eq!(category(kind), expected, "{kind}");
        }
    }
}
