"""The types and operations of the simulated service, as tables (vendor document, sections 3, 5, 6, 7 and 8)."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.billing.kareo_tebra.simulator.schema import NO_SLASH, SLASH, Schema, notation_of

ENUMERATIONS = {
    "EncounterStatusCode": ("Draft", "Submitted", "Approved", "Rejected", "Unpayable"),
    "GenderCode": ("Male", "Female", "Unknown"),
    "MaritalStatusCode": ("A", "D", "I", "L", "M", "P", "S", "T", "W"),
    "GuarantorRelationshipCode": ("Child", "Other", "Self", "Spouse"),
    "PaymentMethodCode": ("Cash", "ElectronicFundsTransfer", "Check", "Other", "CreditCard", "Unknown"),
}

ENVELOPE_TYPES = {
    "RequestHeader": "CustomerKey Password User",
    "RequestBase": "RequestHeader:RequestHeader!",
    "ErrorResponse": "ErrorMessage IsError:boolean StackTrace",
    "SecurityResponse": """Authenticated:boolean Authorized:boolean CustomerId CustomerKeyValid:boolean
        PermissionsMissing PracticesAuthorized SecurityResult SecurityResultSuccess:boolean""",
    "ResponseBase": "ErrorResponse:ErrorResponse SecurityResponse:SecurityResponse",
}

SHARED_TYPES = {
    "PracticeIdentifierReq": "PracticeExternalID PracticeID PracticeName",
    "ProviderIdentifierDetailedReq": "ExternalID FirstName LastName MiddleName Prefix ProviderID Suffix",
}

ENCOUNTER_TYPES = {
    "PatientIdentifierReq": "FirstName LastName MiddleName PatientExternalID PatientID Prefix Suffix",
    "PatientCaseIdentifierReq": "CaseExternalID CaseID CaseName CasePayerScenario",
    "EncounterServiceLocation": "LocationID LocationName",
    "EncounterPlaceOfService": "PlaceOfServiceCode PlaceOfServiceName",
    "EncounterPayment": "AmountPaid:decimal Category Description PaymentMethod:PaymentMethodCode ReferenceNumber",
    "EncounterHospitalization": "EndDate:dateTime StartDate:dateTime",
    "EncounterMiscellaneous": """DoNotSendClaimElectronically:boolean DoNotSendElectronicallyToSecondary:boolean
        EClaimNote EClaimNoteType LocalUseBox10d LocalUseBox19""",
    "ServiceLineReq": """DiagnosisCode1! DiagnosisCode2 DiagnosisCode3 DiagnosisCode4 EncounterProcedureExternalID
        LineNote Minutes ProcedureCode! ProcedureModifier1 ProcedureModifier2 ProcedureModifier3 ProcedureModifier4
        RefCode ServiceEndDate:dateTime ServiceStartDate:dateTime! TypeofService UnitCharge:decimal Units:decimal!""",
    "EncounterCreate": """Appointment AuthorizationNumber BatchNumber BusinessOfficeNotes Case:PatientCaseIdentifierReq!
        EncounterStatus:EncounterStatusCode ExternalID Hospitalization:EncounterHospitalization MedicalOfficeNotes
        Miscellaneous:EncounterMiscellaneous Patient:PatientIdentifierReq! Payment:EncounterPayment
        PlaceOfService:EncounterPlaceOfService PostDate:dateTime! Practice:PracticeIdentifierReq!
        ReferringProvider:ProviderIdentifierDetailedReq RenderingProvider:ProviderIdentifierDetailedReq!
        SchedulingProvider:ProviderIdentifierDetailedReq ServiceEndDate:dateTime ServiceLines:[ServiceLineReq]!
        ServiceLocation:EncounterServiceLocation! ServiceStartDate:dateTime!
        SupervisingProvider:ProviderIdentifierDetailedReq""",
    "EncounterUpdateStatus": "EncounterID! EncounterStatus:EncounterStatusCode! Practice:PracticeIdentifierReq!",
    "ServiceLineRes": "EncounterProcedureExternalID ServiceLineID",
}

_CASE_MEMBERS = """Active:boolean Authorizations:[InsurancePolicyAuthorization{verb}Req] {case_id} CaseName
    Condition:PatientCaseCondition Dates:PatientCaseDates Description ExternalID PayerScenario
    Policies:[InsurancePolicy{verb}Req] ReferringProviderFullName ReferringProviderID SendPatientStatements:boolean"""

_PATIENT_MEMBERS = """AddressLine1 AddressLine2 Cases:[PatientCase{verb}Req] City CollectionCategoryName Country
    DateofBirth:dateTime DefaultRenderingProvider:ProviderIdentifierDetailedReq
    DefaultServiceLocation:EncounterServiceLocation EmailAddress EmergencyName EmergencyPhone Employer:PatientEmployer
    FirstName{required} Gender:GenderCode Guarantor:PatientGuarantor HomePhone HomePhoneExt LastName{required}
    MaritalStatus:MaritalStatusCode MedicalRecordNumber MiddleName MobilePhone Note PatientExternalID {patient_id}
    Practice:PracticeIdentifierReq! Prefix PrimaryCarePhysician:ProviderIdentifierDetailedReq ReferralSource
    ReferringProvider:ProviderIdentifierDetailedReq SocialSecurityNumber State Suffix WorkPhone ZipCode"""

_POLICY_MEMBERS = """Active:boolean Adjuster CompanyID CompanyName Copay:decimal Deductible:decimal
    EffectiveEndDate:dateTime EffectiveStartDate:dateTime Insured:InsurancePolicyInsured PlanID PlanName
    PolicyGroupNumber PolicyNumber Precedence"""

_AUTHORIZATION_MEMBERS = """EndDate:dateTime InsurancePlanID InsurancePolicyID Number NumberOfVisits
    StartDate:dateTime"""

PATIENT_TYPES = {
    "PatientEmployer": "EmployerID EmployerName",
    "PatientGuarantor": """DifferentThanPatient:boolean FirstName LastName MiddleName
        RelationshiptoGuarantor:GuarantorRelationshipCode""",
    "PatientCaseCondition": """RelatedToAutoAccident:boolean RelatedToAutoAccidentState RelatedToEmployment:boolean
        RelatedToOther:boolean RelatedToPregnancy:boolean""",
    "PatientCaseDates": "AccidentDate:dateTime InjuryStartDate:dateTime LastMenstrualPeriodDate:dateTime",
    "InsurancePolicyInsured": """DateofBirth:dateTime FirstName Gender:GenderCode IDNumber LastName MiddleName
        PatientRelationshipToInsured""",
    "InsurancePolicyCreateReq": _POLICY_MEMBERS,
    "InsurancePolicyUpdateReq": _POLICY_MEMBERS,
    "InsurancePolicyAuthorizationCreateReq": _AUTHORIZATION_MEMBERS,
    "InsurancePolicyAuthorizationUpdateReq": _AUTHORIZATION_MEMBERS,
    "PatientCaseCreateReq": _CASE_MEMBERS.format(verb="Create", case_id=""),
    "PatientCaseUpdateReq": _CASE_MEMBERS.format(verb="Update", case_id="CaseID"),
    "PatientCreate": _PATIENT_MEMBERS.format(verb="Create", required="!", patient_id=""),
    "PatientUpdate": _PATIENT_MEMBERS.format(verb="Update", required="", patient_id="PatientID!"),
    "PatientExternalIDSetting": "externalID externalVendorID patientID practiceID",
    "PatientExternalIDUpdates": "UpdateBatch:[PatientExternalIDSetting]",
    "ExternalVendorReq": "ExternalVendorName!",
    "InsurancePolicyRes": "InsurancePolicyCompanyID InsurancePolicyID InsurancePolicyPlanID",
    "PatientCaseRes": "CaseExternalID CaseID Policies:[InsurancePolicyRes]",
}

_PAYER_COLUMNS = tuple(
    f"{order}Insurance{column}"
    for order in ("Primary", "Secondary", "Tertiary")
    for column in (
        "AdjudicationDate", "CompanyName", "FirstBillDate", "InsuranceAllowed", "InsuranceContractAdjustment",
        "InsuranceContractAdjustmentReason", "InsuranceDeductible", "InsurancePayment",
        "InsuranceSecondaryAdjustmentReason", "LastBillDate", "PlanName",
    )
)  # fmt: skip

ROWS = {
    "PracticeData": """Active Email Fax ID NPI Phone PracticeAddressLine1 PracticeAddressLine2 PracticeCity PracticeName
        PracticeState PracticeZipCode SubscriptionEdition TaxID WebSite""",
    "ProviderData": """Active BillingType Degree DepartmentName EmailAddress FirstName FullName ID LastName
        NationalProviderIdentifier PracticeName SpecialtyName Type WorkPhone""",
    "ServiceLocationData": """AddressLine1 AddressLine2 BillingName CLIANumber City FacilityIDType FaxPhone
        HCFABox32FacilityID ID NPI Name Phone PlaceOfService PracticeID PracticeName State ZipCode""",
    "ProcedureCodeData": """Active BillableCode CustomerSpecific DefaultUnits DrugName ID LocalName NDC OfficialName
        ProcedureCode ProcedureCodeCategoryID TypeOfServiceCode""",
    "PatientData": """Active AddressLine1 AddressLine2 City CreatedDate DOB EmailAddress FirstName Gender HomePhone ID
        LastEncounterDate LastModifiedDate LastName MedicalRecordNumber MiddleName MobilePhone PatientFullName
        PracticeName PrimaryInsurancePolicyCompanyName PrimaryInsurancePolicyPlanName
        SecondaryInsurancePolicyCompanyName SecondaryInsurancePolicyPlanName State ZipCode""",
    "EncounterDetailsData": """AppointmentID BatchNumber CaseID CaseName CasePayerScenario CreatedDate EncounterID
        EncounterStatus LastModifiedDate PatientFirstName PatientID PatientLastName PlaceOfServiceCode
        PlaceOfServiceName PostDate PracticeID PracticeName ReferringProvider RenderingProvider SchedulingProvider
        ServiceEndDate ServiceLines:[ServiceLineRes] ServiceLocationID ServiceLocationName ServiceStartDate""",
    "ChargeData": notation_of((
        "AdjustedCharges", "BatchNumber", "BilledTo", "CreatedDate", "DiagnosisCode1", "DiagnosisCode2",
        "DiagnosisCode3", "DiagnosisCode4", "EncounterID", "EncounterStatus", "ID", "InsuranceBalance",
        "LastModifiedDate", "PatientBalance", "PatientID", "PatientName", "PostingDate", "PracticeName",
        "ProcedureCode", "ProcedureModifier1", "ProcedureModifier2", "ProcedureModifier3", "ProcedureModifier4",
        "Receipts", "RenderingProviderName", "ServiceEndDate", "ServiceStartDate", "Status", "TotalBalance",
        "TotalCharges", "UnitCharge", "Units", *_PAYER_COLUMNS,
    )),
    "ExternalVendorData": "ExternalVendorID ExternalVendorName",
    "ThrottleDetail": "Endpoint ThrottleTimeMs",
    "PatientInsurancePolicyAuthorizationData": "AuthorizationNumber EndDate NumberOfVisits StartDate",
    "PatientInsurancePolicyData": """Authorizations:[PatientInsurancePolicyAuthorizationData] CompanyName Copay
        Deductible EffectiveEndDate EffectiveStartDate GroupNumber Number PlanName""",
    "PatientCaseData": """InsurancePolicies:[PatientInsurancePolicyData] IsPrimaryCase Name PatientCaseID
        PayerScenario""",
}  # fmt: skip

FILTERS = {
    "PracticeFilter": """Active FromCreatedDate FromLastModifiedDate NPI PracticeName TaxID ToCreatedDate
        ToLastModifiedDate""",
    "ProviderFilter": """DepartmentName FromCreatedDate FromLastModifiedDate FullName PracticeID PracticeName
        ToCreatedDate ToLastModifiedDate Type""",
    "PatientFilter": """FirstName FromCreatedDate FromDateOfBirth FromLastEncounterDate FromLastModifiedDate FullName
        Gender IsActive LastName MiddleName PracticeName PrimaryInsurancePolicyCompanyName ReferringProviderFullName
        ToCreatedDate ToDateOfBirth ToLastEncounterDate ToLastModifiedDate""",
    "SinglePatientFilter": "ExternalID ExternalVendorID PatientID",
    "EncounterDetailsFilter": "EncounterID Practice:PracticeIdentifierReq",
    "ChargeFilter": """BatchNumber BilledTo CasePayerScenario DiagnosisCode EncounterStatus FromCreatedDate
        FromLastModifiedDate FromPostingDate FromServiceDate IncludeUnapprovedCharges PatientName ProcedureCode
        RenderingProviderFullName Status ToCreatedDate ToLastModifiedDate ToPostingDate ToServiceDate""",
}

NO_SLASH_FILTERS = {
    "ServiceLocationFilter": """FromCreatedDate FromLastModifiedDate ID PracticeID PracticeName ToCreatedDate
        ToLastModifiedDate""",
    "ProcedureCodeFilter": """FromCreatedDate FromLastModifiedDate ID PracticeID PracticeName ProcedureCode
        ToCreatedDate ToLastModifiedDate""",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list read: the element that wraps its rows, the type of a row, and the type of its filter."""

    wrapper: str
    row: str
    filter: str
    key: str = "ID"


LISTINGS = {
    "GetPractices": Listing("Practices", "PracticeData", "PracticeFilter"),
    "GetProviders": Listing("Providers", "ProviderData", "ProviderFilter"),
    "GetServiceLocations": Listing("ServiceLocations", "ServiceLocationData", "ServiceLocationFilter"),
    "GetProcedureCodes": Listing("ProcedureCodes", "ProcedureCodeData", "ProcedureCodeFilter"),
    "GetPatients": Listing("Patients", "PatientData", "PatientFilter"),
    "GetEncounterDetails": Listing(
        "EncounterDetails", "EncounterDetailsData", "EncounterDetailsFilter", key="EncounterID"
    ),
    "GetCharges": Listing("Charges", "ChargeData", "ChargeFilter"),
}

_ENCOUNTER_RESULT = """EncounterExternalID EncounterID PatientCaseExternalID PatientCaseID PatientExternalID PatientID
    PracticeExternalID PracticeID PracticeName ReferringProviderExternalID ReferringProviderID
    RenderingProviderExternalID RenderingProviderID SchedulingProviderExternalID SchedulingProviderID
    ServiceLinesAdded:[ServiceLineRes] ServiceLocationID SupervisingProviderExternalID SupervisingProviderID"""

_PATIENT_RESULT = """Cases:[PatientCaseRes] DefaultServiceLocationID EmployerID PatientExternalID PatientID PracticeID
    PracticeName"""


@dataclass(frozen=True, slots=True)
class Operation:
    """The members of an operation's request and result, and the names that its parameter may have on the wire."""

    request: str
    result: str
    parameters: tuple[str, ...] = ("request",)


OPERATIONS = {
    **{
        name: Operation(
            f"Fields:{row.row}FieldsToReturn{'!' if row.filter in NO_SLASH_FILTERS else ''} Filter:{row.filter}",
            f"{row.wrapper}:[{row.row}]",
        )
        for name, row in LISTINGS.items()
    },
    "GetPatient": Operation("Filter:SinglePatientFilter", "Patient:SinglePatientData"),
    "CreatePatient": Operation("Patient:PatientCreate", _PATIENT_RESULT),
    "UpdatePatient": Operation("Patient:PatientUpdate", _PATIENT_RESULT, ("UpdatePatientReq",)),
    "UpdatePatientsExternalID": Operation("Updates:PatientExternalIDUpdates", "ItemsUpdated"),
    "UpdatePrimaryPatientCase": Operation("PatientCaseId!", "PatientCaseId"),
    "RegisterExternalVendor": Operation("ExternalVendor:ExternalVendorReq", "ExternalVendorID ExternalVendorName"),
    "GetExternalVendors": Operation("", "ExternalVendors:[ExternalVendorData]"),
    "CreateEncounter": Operation("Encounter:EncounterCreate", _ENCOUNTER_RESULT),
    "UpdateEncounterStatus": Operation(
        "EncounterUpdateStatus:EncounterUpdateStatus", _ENCOUNTER_RESULT, ("request", "UpdateEncounterStatusReq")
    ),
    "GetThrottles": Operation("", "Throttles:[ThrottleDetail]"),
    "GetCustomerIdFromKey": Operation("", "CustomerId"),
}


def build_schema() -> Schema:
    """All types of the service; requests are named `<Operation>Req` and results `<Operation>Resp`."""
    schema = Schema(ENUMERATIONS)
    for table in (ENVELOPE_TYPES, SHARED_TYPES, ENCOUNTER_TYPES, PATIENT_TYPES, ROWS, FILTERS):
        for name, notation in table.items():
            schema.add(name, notation)
    for name, notation in NO_SLASH_FILTERS.items():
        schema.add(name, notation, namespace=NO_SLASH)
    schema.add("SinglePatientData", ROWS["PatientData"].replace("City ", "Cases:[PatientCaseData] City ", 1))
    for listing in LISTINGS.values():
        toggles = notation_of(schema.shapes[listing.row].columns, "toggle")
        schema.add(f"{listing.row}FieldsToReturn", toggles, namespace=schema.shapes[listing.filter].namespace)
    for name, operation in OPERATIONS.items():
        read = LISTINGS.get(name)
        namespace = schema.shapes[read.filter].namespace if read else SLASH
        schema.add(f"{name}Req", operation.request, base="RequestBase", namespace=namespace)
        schema.add(f"{name}Resp", operation.result, base="ResponseBase")
    return schema


SCHEMA = build_schema()
